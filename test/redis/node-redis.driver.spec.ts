import { singleRows } from './rows.js';
import { describeSingleServer } from './single-server.js';

describeSingleServer(singleRows.filter(({ name }) => name.startsWith('redis')));
