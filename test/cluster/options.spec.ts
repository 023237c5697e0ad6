import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  DEFAULT_OPTIONS,
  InvalidOptionError,
  resolveDisconnectionDuration,
  resolveOptions,
} from '../../lib/cluster/options.js';
import { streamIndexOf, streamNames } from '../../lib/wire/keys.js';

const names = Object.keys(DEFAULT_OPTIONS);

describe('the options', () => {
  test('have the names and defaults of the reference', () => {
    expect(resolveOptions()).toMatchObject({
      streamName: 'socket.io',
      streamCount: 1,
      channelPrefix: 'socket.io',
      useShardedPubSub: false,
      maxLen: 10_000,
      readCount: 100,
      blockTimeInMs: 5_000,
      sessionKeyPrefix: 'sio:session:',
      heartbeatInterval: 5_000,
      heartbeatTimeout: 10_000,
      onlyPlaintext: false,
    });
  });

  test('that are undefined have their default', () => {
    const nothing = Object.fromEntries(names.map((name) => [name, undefined]));
    expect(resolveOptions(nothing)).toEqual(DEFAULT_OPTIONS);
  });

  test('that are given are taken', () => {
    const given = {
      streamName: 'chat',
      streamCount: 3,
      ordering: 'log',
      closeTimeout: 0,
      replayMaxEntries: 0,
    } as const;
    expect(resolveOptions(given)).toEqual({ ...DEFAULT_OPTIONS, ...given });
  });

  test.each<[string, unknown, string]>([
    ['streamName', '', 'streamName: "" is not allowed. Give a string that is not empty.'],
    ['streamName', 5, 'streamName: 5 is not allowed. Give a string that is not empty.'],
    ['streamName', 'chat\ud83d', 'Give a string without half of a surrogate pair.'],
    ['channelPrefix', '\ude00', 'Give a string without half of a surrogate pair.'],
    ['sessionKeyPrefix', '\ude00\ud83d:', 'Give a string without half of a surrogate pair.'],
    ['streamCount', 0, 'streamCount: 0 is not allowed. Give a whole number from 1 to 1024.'],
    ['streamCount', 1.5, 'streamCount: 1.5 is not allowed. Give a whole number from 1 to 1024.'],
    ['streamCount', '3', 'streamCount: "3" is not allowed. Give a whole number from 1 to 1024.'],
    ['channelPrefix', null, 'channelPrefix: null is not allowed. Give a string that is not empty.'],
    ['referenceNames', 'yes', 'referenceNames: "yes" is not allowed. Give true or false.'],
    ['useShardedPubSub', 'yes', 'useShardedPubSub: "yes" is not allowed. Give true or false.'],
    ['maxLen', -1, 'maxLen: -1 is not allowed. Give a whole number from 1 to 9007199254740991.'],
    ['readCount', NaN, 'readCount: NaN is not allowed. Give a whole number from 1 to 100000.'],
    ['blockTimeInMs', 0, 'blockTimeInMs: 0 is not allowed. Give a whole number from 1 to 600000.'],
    ['sessionKeyPrefix', {}, 'sessionKeyPrefix: an object is not allowed. Give a string that is not empty.'],
    ['heartbeatInterval', 1, 'heartbeatInterval: 1 is not allowed. Give a whole number from 10 to 2147483647.'],
    [
      'heartbeatInterval',
      Infinity,
      'heartbeatInterval: Infinity is not allowed. Give a whole number from 10 to 2147483647.',
    ],
    [
      'heartbeatTimeout',
      2 ** 31,
      'heartbeatTimeout: 2147483648 is not allowed. Give a whole number from 20 to 2147483647.',
    ],
    ['onlyPlaintext', 1, 'onlyPlaintext: 1 is not allowed. Give true or false.'],
    ['ordering', 'global', 'ordering: "global" is not allowed. Give "log" or "local-first".'],
    ['outboxMaxEntries', 0, 'outboxMaxEntries: 0 is not allowed. Give a whole number from 1 to 9007199254740991.'],
    ['outboxMaxBytes', 10n, 'outboxMaxBytes: 10 is not allowed. Give a whole number from 1 to 9007199254740991.'],
    ['replayMaxEntries', -1, 'replayMaxEntries: -1 is not allowed. Give a whole number from 0 to 9007199254740991.'],
    ['replayMaxBytes', true, 'replayMaxBytes: true is not allowed. Give a whole number from 0 to 9007199254740991.'],
    ['sessionCheckpoints', 'no', 'sessionCheckpoints: "no" is not allowed. Give true or false.'],
    ['announceOffset', 0, 'announceOffset: 0 is not allowed. Give true or false.'],
    ['commandTimeout', 0, 'commandTimeout: 0 is not allowed. Give a whole number from 10 to 2147483647.'],
    ['startTimeout', -5, 'startTimeout: -5 is not allowed. Give a whole number from 0 to 2147483647.'],
    ['onStartTimeout', 'wait', 'onStartTimeout: "wait" is not allowed. Give "fail" or "degrade".'],
    ['closeTimeout', [], 'closeTimeout: an object is not allowed. Give a whole number from 0 to 2147483647.'],
  ])('%s: %p is refused, with its name, its value and what is allowed', (name, value, message) => {
    expect(() => resolveOptions({ [name]: value })).toThrow(InvalidOptionError);
    expect(() => resolveOptions({ [name]: value })).toThrow(message);
  });

  test('each refuse what is of no use to any of them', () => {
    for (const name of names) {
      expect(() => resolveOptions({ [name]: Symbol('no') })).toThrow(InvalidOptionError);
      expect(() => resolveOptions({ [name]: () => 1 })).toThrow(`${name}: `);
    }
  });

  test('a timeout that is not longer than the interval is refused', () => {
    expect(() => resolveOptions({ heartbeatInterval: 20_000 })).toThrow(
      'heartbeatTimeout: 10000 is not allowed. Give more than heartbeatInterval, which is 20000.',
    );
  });

  test.each(['streamname', 'maxlen', 'toString', '__proto__', 'constructor'])(
    '%s is not known, and the error names those that are',
    (name) => {
      const options = JSON.parse(`{"${name}":1}`) as object;
      expect(() => resolveOptions(options)).toThrow(`${name}: 1 is not allowed. Give one of the options streamName, `);
    },
  );
});

describe('maxDisconnectionDuration', () => {
  test.each([NaN, -1, 0, -Infinity, '60000', null, {}, 5n])('%p is refused by name', (value) => {
    expect(() => resolveDisconnectionDuration(value)).toThrow(InvalidOptionError);
    expect(() => resolveDisconnectionDuration(value)).toThrow(
      'is not allowed. Give a number of milliseconds above 0 (Infinity: without a limit), or leave ' +
        'connectionStateRecovery out.',
    );
  });

  test.each([
    [120_000, 120_000],
    [undefined, 120_000],
    [0.5, 1],
    [Number.MAX_VALUE, 4_320_000_000_000_000],
    [Infinity, 4_320_000_000_000_000],
  ])('%p is %p milliseconds, which Redis takes', (value, expected) => {
    expect(resolveDisconnectionDuration(value)).toBe(expected);
  });
});

test('Options that are null are the defaults', () => {
  expect(resolveOptions(null)).toEqual(resolveOptions());
});

test.each(['chat', 5, true, [], [{ streamName: 'chat' }], () => ({})])('Options that are %p are refused', (options) => {
  expect(() => resolveOptions(options as object)).toThrow(InvalidOptionError);
  expect(() => resolveOptions(options as object)).toThrow(/^options: .+ is not allowed\. Give an object such as/);
});

describe('streams', () => {
  test('are numbered when there are several', () => {
    expect(streamNames(resolveOptions())).toEqual(['socket.io']);
    expect(streamNames(resolveOptions({ streamName: 'chat', streamCount: 3 }))).toEqual(['chat-0', 'chat-1', 'chat-2']);
  });

  test('carry each namespace, whatever its name, in one of them', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 1_024 }), (nsp, count) => {
        const index = streamIndexOf(nsp, count);
        expect(Number.isInteger(index) && index >= 0 && index < count).toBe(true);
        expect(streamIndexOf(nsp, count)).toBe(index);
      }),
    );
  });

  test('carry them evenly', () => {
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 4_000; i++) {
      counts[streamIndexOf(`/tenant-${i}`, 4)]!++;
    }
    expect(Math.min(...counts)).toBeGreaterThan(700);
  });
});
