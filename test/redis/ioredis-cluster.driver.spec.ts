import { describeClusterDriver } from './cluster-driver.js';
import { clusterRows } from './rows.js';

describeClusterDriver(
  'IoredisClusterDriver',
  clusterRows.filter(({ name }) => name.startsWith('ioredis')),
);
