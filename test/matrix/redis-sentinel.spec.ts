import { describeRows } from './rows.js';

describeRows('Redis', 'sentinel');
