import { singleRows } from './rows.js';
import { describeSingleServer } from './single-server.js';

describeSingleServer(
  'IoredisDriver, IoredisSocket',
  singleRows.filter(({ name }) => !name.startsWith('redis')),
);
