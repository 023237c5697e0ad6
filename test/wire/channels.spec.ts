import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { REFERENCE_SCOPE, scopeText } from '../../lib/wire/app-scope.js';
import { ChannelNames } from '../../lib/wire/channels.js';

const scope = fc.record({
  database: fc.integer({ min: 0, max: 15 }),
  keyPrefix: fc.string({ maxLength: 6 }),
  streamName: fc.string({ minLength: 1, maxLength: 6 }),
});

describe('ChannelNames', () => {
  test('are those of the reference adapter where nothing tells the application from one of it', () => {
    const channels = new ChannelNames('socket.io', 'socket.io', REFERENCE_SCOPE);
    expect(channels.requests('/chat')).toBe('socket.io#/chat#');
    expect(channels.responses('/chat', 'a1')).toBe('socket.io#/chat#a1#');
    expect(channels.control).toBe('socket.io#heartbeat#socket.io#');
  });

  test('carry what tells an application apart, escaped', () => {
    const channels = new ChannelNames('p', 'a', { database: 1, keyPrefix: 'x:{y}', streamName: 'a&b' });
    expect(channels.requests('/')).toBe('p#db=1&prefix=x%3A%7By%7D&stream=a%26b#/#');
  });

  test('of two applications are never the same', () => {
    const named = ({ streamName, ...rest }: typeof REFERENCE_SCOPE): string[] => {
      const channels = new ChannelNames('p', streamName, { streamName, ...rest });
      return [channels.control, channels.requests('/'), channels.requests('/a'), channels.responses('/', 'a1')];
    };
    fc.assert(
      fc.property(scope, scope, (a, b) => {
        fc.pre(JSON.stringify(a) !== JSON.stringify(b));
        expect(scopeText(a)).not.toBe(scopeText(b));
        expect(named(a).filter((name) => named(b).includes(name))).toEqual([]);
      }),
    );
  });
});
