import { describe, expect, test } from '@jest/globals';
import { numbers, RedisServer, until } from '../kit/index.js';
import { socketsOf, startNode } from './recovery-node.js';
import { receives, visit, visits } from './visitor.js';

describe('a client that has never received anything', () => {
  test('recovers if the offset was announced to it', async () => {
    const redis = await RedisServer.start();
    const adapter = { announceOffset: true };
    const [a, b] = [await startNode({ port: redis.port, adapter }), await startNode({ port: redis.port, adapter })];
    const visitor = await visit(a, { rooms: ['red'] });
    const seen: string[] = [];
    visitor.socket.onAny((event: string) => seen.push(event));
    await until(() => visitor.offset !== undefined, { what: 'the offset to be announced' });
    await visitor.stayAway();
    b.io.to('red').emit('msg', 0);
    await until(() => a.counters.read === 1, { what: 'the message to be read' });

    visitor.comeBack(b.url);
    await visits(visitor, 2);
    b.io.emit('msg', 1);

    await receives(visitor, 2);
    expect(visitor.values).toEqual([0, 1]);
    expect(visitor.refused).toBe(0);
    expect(seen.filter((event) => event !== 'msg').length).toBeLessThanOrEqual(1); // not again when it is back
  });

  test('is not given the offset without that option, and does not recover', async () => {
    const redis = await RedisServer.start();
    const a = await startNode({ port: redis.port });
    const visitor = await visit(a);
    await visitor.stayAway();
    expect(visitor.offset).toBeUndefined();
    visitor.comeBack();
    await visits(visitor, 2);
    expect(visitor.socket.recovered).toBe(false);
  });
});

describe('what is not in the log', () => {
  test.each(['volatile', 'local', 'with an acknowledgement', 'volatile from another node'])(
    'does not spoil the offset of its client: %s',
    async (kind) => {
      const redis = await RedisServer.start();
      const [a, b] = [await startNode({ port: redis.port }), await startNode({ port: redis.port })];
      const visitor = await visit(a);
      const extra: unknown[] = [];
      visitor.socket.on('extra', (value: unknown, ...rest: unknown[]) => {
        extra.push(value);
        const done = rest.at(-1);
        if (typeof done === 'function') {
          (done as () => void)();
        }
      });
      for (let round = 0; round < 5; round++) {
        const [here, there] = round % 2 ? [b, a] : [a, b];
        a.io.emit('msg', 3 * round);
        await receives(visitor, 3 * round + 1);
        await until(
          () => {
            switch (kind) {
              case 'volatile':
                here.io.volatile.emit('extra', 'hello');
                break;
              case 'local':
                here.io.local.emit('extra', 'hello');
                break;
              case 'with an acknowledgement':
                socketsOf(here, visitor)[0]!.emit('extra', 'hello', () => undefined);
                break;
              default:
                there.io.volatile.emit('extra', 'hello');
            }
            return extra.length > round;
          },
          { what: 'the packet', interval: 20 },
        );
        visitor.goTo(there.url);
        visitor.cut();
        b.io.emit('msg', 3 * round + 1);
        await visits(visitor, round + 2);
        a.io.emit('msg', 3 * round + 2);
        await receives(visitor, 3 * round + 3);
      }
      expect(visitor.values).toEqual(numbers(15));
      expect(visitor.refused).toBe(0);
      expect(new Set(extra)).toEqual(new Set(['hello']));
    },
  );
});
