import { describeRows } from './rows.js';

describeRows('Valkey', 'cluster');
