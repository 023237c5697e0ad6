import { singleRows } from './rows.js';
import { describeSingleServer } from './single-server.js';

describeSingleServer(
  'NodeRedisDriver, NodeRedisSocket',
  singleRows.filter(({ name }) => name.startsWith('redis')),
);
