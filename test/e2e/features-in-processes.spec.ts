import { describeFeatures } from './features.js';

describeFeatures({
  client: 'ioredis 6',
  server: 'Redis',
  topology: 'single',
  nodes: ['ours', 'ours', 'ours'],
  recovery: true,
  processes: true,
});
