import { describeRows } from './rows.js';

describeRows('Redis', 'cluster');
