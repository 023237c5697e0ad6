import { describeClusterDriver } from './cluster-driver.js';
import { clusterRows, redis4Cluster } from './rows.js';

describeClusterDriver('NodeRedisClusterDriver', [
  redis4Cluster,
  ...clusterRows.filter(({ name }) => name.startsWith('redis')),
]);
