import { describeRow } from './rows.js';

// Streams on several masters, and channels on all of them.
const row = { server: 'Redis', topology: 'cluster', options: { streamCount: 3, useShardedPubSub: true } } as const;

describeRow({ ...row, client: 'ioredis 6' });
describeRow({ ...row, client: 'redis 6' });
