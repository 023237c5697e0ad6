import { describe, expect, test } from '@jest/globals';
import { encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { allReceived, Member, RedisServer, RespClient, until } from '../kit/index.js';
import { observe } from './record.js';

describe('garbage', () => {
  test('in the stream is passed over, counted and reported once for each reason; nothing reaches the app', async () => {
    const redis = await RedisServer.start();
    const sender = await Member.start({ port: redis.port });
    const receiver = await Member.start({ port: redis.port, server: { connectionStateRecovery: {} } });
    const entry = (fields: Record<string, string>): string[] => Object.entries(fields).flat();
    const valid = { uid: 'x', nsp: '/', type: '3' };
    const opts = { rooms: [], except: [], flags: {} };
    const huge = Buffer.from([0xdd, 0xff, 0xff, 0xff, 0xff]).toString('base64');
    const deep = Buffer.alloc(100_000, 0x91).toString('base64');
    const hostile: Record<string, string>[] = [
      { a: 'b' },
      { uid: 'x' },
      { ...valid },
      { ...valid, data: '' },
      { ...valid, data: '{' },
      { ...valid, data: '{}' },
      { ...valid, data: 'null' },
      { ...valid, data: huge },
      { ...valid, data: deep },
      { ...valid, data: Buffer.from(encode({ opts })).toString('base64').slice(0, -4) },
      { ...valid, data: JSON.stringify({ opts: null, packet: { type: 2, data: ['msg', 1] } }) },
      { ...valid, data: JSON.stringify({ opts: { rooms: 'a', except: 1 }, packet: { type: 2, data: ['msg', 1] } }) },
      { ...valid, data: JSON.stringify({ opts, packet: { type: 0, data: ['msg'] } }) },
      { ...valid, data: JSON.stringify({ opts, packet: { type: 2, data: 'msg' } }) },
      { ...valid, data: JSON.stringify({ opts, packet: { type: 2, data: [] } }) },
      {
        ...valid,
        data: `{"opts":{"rooms":[],"except":[]},"packet":{"type":2,"data":${'['.repeat(50_000)}${']'.repeat(50_000)}}}`,
      },
      { ...valid, from: 'no-number', data: '{}' },
      { ...valid, rooms: '{"a":1}', data: '{}' },
      { ...valid, rooms: '[[]]', data: '{}' },
      { ...valid, type: '99', data: '{}' },
      { ...valid, type: '-1', data: '{}' },
      { ...valid, type: 'NaN', data: '{}' },
      { ...valid, type: '4', data: JSON.stringify({ opts, rooms: 5 }) },
      // Clients that are given such an event close their connections, and servers take the second one for a socket.
      { ...valid, data: JSON.stringify({ opts, packet: { type: 2, data: ['disconnect', 1] } }) },
      { ...valid, data: JSON.stringify({ opts, packet: { type: 2, data: [null, 1] } }) },
      { ...valid, type: '9', data: JSON.stringify({ packet: ['connection', 1] }) },
    ];
    for (const fields of [...hostile, ...hostile]) {
      await redis.command('XADD', 'socket.io', '*', ...entry(fields));
    }
    sender.io.emit('msg', 'after');
    await allReceived([receiver], 1);
    expect(receiver.received).toEqual(['after']);
    expect(receiver.counters.rejected).toBeGreaterThanOrEqual(2 * hostile.length - 2);
    const reasons = receiver.eventsOf('entry-rejected').map(({ reason }) => reason);
    expect(new Set(reasons).size).toBe(reasons.length);
    expect(reasons).toContain('the type 99 is not known to this version');
    expect(receiver.node.status().state).toBe('running');
    observe(
      `${2 * hostile.length} hostile entries in the stream, each of ${hostile.length} twice`,
      `${receiver.counters.rejected} counted, reported once for each of ${reasons.length} reasons; the broadcast after arrived`,
    );
  });

  test('with the name of a prototype touches none', async () => {
    const redis = await RedisServer.start();
    const receiver = await Member.start({ port: redis.port });
    const data =
      '{"opts":{"rooms":[],"except":[],"flags":{"__proto__":{"polluted":1}},"__proto__":{"polluted":1}},' +
      '"packet":{"type":2,"data":["msg",{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}]}}';
    await redis.command('XADD', 'socket.io', '*', 'uid', 'x', 'nsp', '/', 'type', '3', 'data', data);
    await redis.command('XADD', 'socket.io', '*', 'uid', '__proto__', 'nsp', '__proto__', 'type', '3', 'data', data);
    await allReceived([receiver], 1);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
    expect(Object.prototype).not.toHaveProperty('polluted');
  });

  test('of 50 MB arrives like any other payload', async () => {
    const redis = await RedisServer.start();
    const adapter = { commandTimeout: 30_000 }; // a reply must come within it, and all this is one process
    const [sender, receiver] = [
      await Member.start({ port: redis.port, adapter, client: false }),
      await Member.start({ port: redis.port, adapter, server: { maxHttpBufferSize: 1e9 } }),
    ];
    sender.io.emit('msg', 'x'.repeat(50_000_000));
    sender.io.emit('msg', 'after');
    await allReceived([receiver], 2, 50_000);
    expect((receiver.received[0] as string).length).toBe(50_000_000);
  }, 60_000);

  test('of 5 MB that is the last of an idle stream is not read again and again', async () => {
    const redis = await RedisServer.start();
    const [sender, receiver] = [
      await Member.start({ port: redis.port, client: false }),
      await Member.start({ port: redis.port, adapter: { blockTimeInMs: 50 }, server: { maxHttpBufferSize: 1e9 } }),
    ];
    sender.io.emit('msg', 'x'.repeat(5_000_000));
    await allReceived([receiver], 1);
    const calls = async (command: string): Promise<number> =>
      Number(/calls=(\d+)/.exec((await redis.info('commandstats'))[`cmdstat_${command}`] ?? '')?.[1] ?? 0);
    await until(async () => (await calls('xlen')) > 0, { what: 'the first look' });
    const [looks, reads] = [await calls('xlen'), await calls('xrange')];
    await until(async () => (await calls('xlen')) >= looks + 5, { what: 'five more looks' });
    expect(await calls('xrange')).toBeLessThanOrEqual(reads + 1);

    await redis.command('DEL', 'socket.io');
    await until(() => receiver.eventsOf('stream-replaced').length === 1, { what: 'the deletion to be noticed' });
    sender.io.emit('msg', 'after');
    await allReceived([receiver], 2);
  });

  test('in the channels, 10,000 random messages and mutated valid ones, is passed over', async () => {
    const redis = await RedisServer.start();
    const sender = await Member.start({ port: redis.port });
    const receiver = await Member.start({
      port: redis.port,
      adapter: { heartbeatInterval: 5_000, heartbeatTimeout: 10_000 },
    });
    const client = await RespClient.connect(redis.port);
    const channels = ['socket.io#/#', `socket.io#/#${receiver.node.id}#`, 'socket.io#heartbeat#socket.io#'];
    const flags = { rooms: ['r'], except: [], flags: {} };
    const plausible = fc.record({
      uid: fc.oneof(fc.string(), fc.constant('other')),
      nsp: fc.oneof(fc.constant('/'), fc.string()),
      type: fc.oneof(fc.integer({ min: -2, max: 20 }), fc.double()),
      data: fc.oneof(
        fc.anything({ maxDepth: 2 }),
        fc.record({
          requestId: fc.oneof(fc.string(), fc.anything({ maxDepth: 1 })),
          opts: fc.oneof(fc.constant(flags), fc.anything({ maxDepth: 2 })),
          packet: fc.oneof(fc.anything({ maxDepth: 2 }), fc.constant({ type: 2, data: ['x'] })),
          sockets: fc.anything({ maxDepth: 1 }),
          clientCount: fc.anything({ maxDepth: 1 }),
        }),
      ),
    });
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      plausible.map((value) => {
        try {
          return encode(JSON.parse(JSON.stringify(value) ?? 'null'));
        } catch {
          return new Uint8Array([0xc1]);
        }
      }),
    );
    const samples = fc.sample(bytes, { numRuns: 10_000, seed: 20_261 });
    await Promise.all(
      samples.map((payload, i) =>
        client.command('PUBLISH', channels[i % channels.length]!, Buffer.from(payload) as never),
      ),
    );
    sender.io.emit('msg', 'after');
    await allReceived([receiver], 1);
    expect(receiver.received).toEqual(['after']);
    expect(receiver.node.status().counters.rejectedMessages).toBeGreaterThan(1_000);
    expect(receiver.eventsOf('message-rejected').length).toBeLessThanOrEqual(200);
    await until(async () => (await receiver.io.fetchSockets()).length === 2, { what: 'requests to work on' });
    client.close();
    observe(
      '10,000 random messages and mutated valid ones in the channels',
      `${receiver.node.status().counters.rejectedMessages} counted; the app was given nothing but the broadcast after`,
    );
  });
});
