import { describe, expect, jest, test } from '@jest/globals';
import debug from 'debug';
import { Redis } from 'ioredis';
import { createAdapter } from '../../lib/adapter/index.js';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import { closeAfterwards, RedisServer, until } from '../kit/index.js';

/** The lines of `debug`, and of the console, from now on. */
function captured(): { debugged: string[]; printed: string[] } {
  const [debugged, printed]: string[][] = [[], []];
  const spy = jest.spyOn(console, 'error').mockImplementation((line) => void printed!.push(String(line)));
  const before = debug.log;
  debug.log = (...args: unknown[]) => void debugged!.push(args.join(' '));
  closeAfterwards({
    close: () => {
      spy.mockRestore();
      debug.log = before;
      debug.disable();
    },
  });
  return { debugged: debugged!, printed: printed! };
}

async function start(): Promise<{ redis: RedisServer; client: Redis; id: string }> {
  const redis = await RedisServer.start();
  const client = new Redis(redis.port);
  closeAfterwards({ close: () => client.disconnect() });
  const { node } = createAdapter(client);
  closeAfterwards(node);
  await node.start();
  return { redis, client, id: node.id };
}

async function refuse(redis: RedisServer): Promise<void> {
  await redis.command('SET', 'socket.io', 'not a stream');
}

describe('without a logger', () => {
  test('all lines go to debug, in a namespace of its own; they name the node and the stream', async () => {
    const { debugged, printed } = captured();
    debug.enable('redis-streams-adapter');
    const { redis, id } = await start();
    expect(debugged).toHaveLength(1);
    expect(debugged[0]).toContain('redis-streams-adapter ');
    expect(debugged[0]).toContain(`this node is ${id} (pid ${process.pid} on `);
    expect(debugged[0]).toContain('it reads the stream "socket.io"');
    await refuse(redis);
    await until(() => debugged.length > 1, { what: 'the refusal' });
    expect(debugged[1]).toMatch(/stream "socket.io": read refused: WRONGTYPE .*It is tried again until it works/);
    expect(printed).toEqual([]);
  });

  test('and without DEBUG, nothing but errors is on the console', async () => {
    const { debugged, printed } = captured();
    const { redis } = await start();
    await refuse(redis);
    await until(() => printed.length > 0, { what: 'the refusal' });
    expect(printed).toEqual([
      expect.stringMatching(/^redis-streams-adapter: stream "socket.io": read refused: WRONGTYPE /),
    ]);
    expect(debugged).toEqual([]);
  });

  test('an emitter says what it cannot send, unless the application listens to its events', async () => {
    const { printed } = captured();
    const redis = await RedisServer.start();
    await refuse(redis);
    const client = new Redis(redis.port);
    closeAfterwards({ close: () => client.disconnect() });
    const heard: string[] = [];
    const listening = closeAfterwards(
      new RedisStreamsEmitter(client, { closeTimeout: 10 }, ({ type }) => heard.push(type)),
    );
    listening.emit('hello');
    await until(() => heard.length > 0, { what: 'the event' });
    expect(printed).toEqual([]);
    closeAfterwards(new RedisStreamsEmitter(client, { closeTimeout: 10 })).emit('hello');
    await until(() => printed.length > 0, { what: 'the line' });
    expect(printed[0]).toMatch(/stream "socket.io": append refused: WRONGTYPE /);
  });

  test.each<[string, unknown]>([
    ['null', null],
    ['a logger without log, as that of pino', { info() {}, warn() {}, error() {} }],
  ])('%s is refused at once instead of failing with the first line', (_name, logger) => {
    const client = new Redis({ lazyConnect: true });
    expect(() => createAdapter(client, {}, logger as never)).toThrow(
      /^logger: .* is not allowed. Give an object with the methods log, warn and error, such as console.$/,
    );
  });
});
