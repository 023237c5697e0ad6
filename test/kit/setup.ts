import { afterAll, afterEach, beforeEach } from '@jest/globals';
import { closeFrom, openCount } from './cleanup.js';

let openBeforeTest = 0;

beforeEach(() => {
  openBeforeTest = openCount();
});
afterEach(() => closeFrom(openBeforeTest));
afterAll(() => closeFrom(0));
