import { describe, expect, test } from '@jest/globals';
import { isTransient, isWrongServer, replyCode } from '../../lib/redis/reply-code.js';

describe('replyCode', () => {
  test.each([
    ['WRONGTYPE Operation against a key holding the wrong kind of value', 'WRONGTYPE'],
    ['MOVED 3999 127.0.0.1:6381', 'MOVED'],
    ['NOAUTH Authentication required.', 'NOAUTH'],
    ["NOPERM User app has no permissions to run the 'multi' command", 'NOPERM'],
    ["OOM command not allowed when used memory > 'maxmemory'.", 'OOM'],
    ['ERR max number of clients reached', 'ERR'],
    ['NOSCRIPT', 'NOSCRIPT'],
  ])('is the first word of a reply: %s', (message, code) => {
    expect(replyCode(new Error(message))).toBe(code);
  });

  test.each([
    'connect ECONNREFUSED 127.0.0.1:6379',
    'Connection is closed.',
    'Socket closed unexpectedly',
    'Redis did not answer XADD within 100 ms',
    'A sentence that begins with one capital',
    '',
  ])('is undefined of what is no reply: %s', (message) => {
    expect(replyCode(new Error(message))).toBeUndefined();
  });
});

test.each(['READONLY x', 'LOADING x', 'MASTERDOWN x', 'UNBLOCKED x'])('%s: another server may do', (message) => {
  expect(isWrongServer(new Error(message))).toBe(true);
  expect(isTransient(new Error(message))).toBe(true);
});

test.each(['CLUSTERDOWN x', 'TRYAGAIN x', 'MOVED 1 a:1', 'connect ECONNREFUSED'])('%s may pass', (message) => {
  expect(isWrongServer(new Error(message))).toBe(false);
  expect(isTransient(new Error(message))).toBe(true);
});

test.each(['WRONGTYPE x', 'NOPERM x', 'OOM x', 'ERR x', 'NOAUTH x'])('%s is the last word', (message) => {
  expect(isTransient(new Error(message))).toBe(false);
});
