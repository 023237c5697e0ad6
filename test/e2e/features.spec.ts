import { describeFeatures } from './features.js';

const row = { client: 'ioredis 6', server: 'Redis', topology: 'single', nodes: ['ours', 'ours', 'ours'] } as const;

describeFeatures(row);
describeFeatures({ ...row, options: { ordering: 'log', streamCount: 3, useShardedPubSub: true } });
