import { describeFaults } from './faults.js';
const nodes = ['ours', 'ours', 'ours'] as const;
for (const client of ['ioredis 5', 'ioredis 6', 'redis 4', 'redis 5', 'redis 6'] as const)
describeFaults({ client, server: 'Redis', topology: 'cluster', nodes });
for (const client of ['ioredis 6', 'redis 6'] as const)
describeFaults({ client, server: 'Redis', topology: 'sentinel', nodes });
