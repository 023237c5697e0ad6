import { describeFeatures } from './features.js';
const nodes = ['ours', 'ours', 'ours'] as const;
describeFeatures({ client: 'redis 6', server: 'Valkey', topology: 'single', nodes, recovery: true });
describeFeatures({ client: 'ioredis 5', server: 'Redis', topology: 'cluster', nodes, recovery: true, options: { streamCount: 3, useShardedPubSub: true } });
describeFeatures({ client: 'redis 5', server: 'Redis', topology: 'cluster', nodes });
describeFeatures({ client: 'redis 5', server: 'Redis', topology: 'sentinel', nodes });
describeFeatures({ client: 'iovalkey', server: 'Valkey', topology: 'single', nodes, recovery: true });
describeFeatures({ client: 'redis 4', server: 'Redis', topology: 'single', nodes });
