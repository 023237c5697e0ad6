import { encode } from '@msgpack/msgpack';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { ClusterEvent } from '../../lib/adapter/index.js';
import { Fleet, type FleetNode } from '../kit/fleet.js';
import type { RedisServer } from '../kit/index.js';

const STREAM = 'socket.io';
const opts = { rooms: [], except: [], flags: {} };

describe('what a node of a later version may send', () => {
  let fleet: Fleet;
  let ours: FleetNode;
  let redis: RedisServer;

  beforeAll(async () => {
    fleet = await Fleet.start({
      client: 'ioredis 6',
      server: 'Redis',
      topology: 'single',
      nodes: ['ours', 'reference'],
      recovery: true,
    });
    ours = fleet.node(0);
    redis = fleet.deployment.servers[0]!;
  });
  afterEach(() => fleet.disconnectAll());
  afterAll(() => fleet.close());

  async function append(entry: Record<string, string>): Promise<void> {
    await redis.command('XADD', STREAM, '*', ...Object.entries(entry).flat());
  }

  const broadcast = (event: string): Record<string, string> => ({
    uid: 'later',
    nsp: '/',
    type: '3',
    data: JSON.stringify({ packet: { type: 2, data: [event], nsp: '/', more: 1 }, opts: { ...opts, more: [2] } }),
  });

  const told = (type: ClusterEvent['type']): Promise<string[]> =>
    ours.run(
      ({ events }, type) => events.flatMap((event) => (event.type === type && 'reason' in event ? [event.reason] : [])),
      type,
    );

  test('an entry with fields that are not known is delivered', async () => {
    const clients = await fleet.connectToEach();
    await append({ ...broadcast('hello'), trace: '00-1', from: 'later-node:1', priority: '9' });
    await Promise.all(clients.map((client) => client.receives(1)));
    expect(clients.map(({ received }) => received)).toEqual([[['hello']], [['hello']]]);
  });

  test('an entry of a type that is not known is passed over, and reported once', async () => {
    const clients = await fleet.connectToEach();
    for (let i = 0; i < 3; i++) {
      await append({ uid: 'later', nsp: '/', type: '99', data: '{"opts":{}}' });
    }
    await append(broadcast('after it'));
    await Promise.all(clients.map((client) => client.receives(1)));
    expect(clients.map(({ received }) => received)).toEqual([[['after it']], [['after it']]]);
    expect(await told('entry-rejected')).toEqual(['the type 99 is not known to this version']);
    const [stream] = await ours.run(({ node }) => node!.status().streams);
    expect(stream!.counters.rejected).toBe(3);
  });

  test('a client that missed such an entry is recovered', async () => {
    const client = await fleet.connect(0);
    await fleet.settle([client]);
    client.cut();
    await append({ uid: 'later', nsp: '/', type: '99', data: '{}' });
    await append(broadcast('missed'));
    expect(await client.reconnect(ours.url)).toBe(true);
    await fleet.settle([client]);
    expect(client.received).toEqual([['missed']]);
  });

  test('messages and heartbeats of unknown kinds are ignored, and reported once', async () => {
    const publish = (channel: string, message: unknown): Promise<unknown> =>
      redis.command('PUBLISH', channel, Buffer.from(encode(message)));
    const node = { id: 'later', host: 'host', pid: 1, startedAt: 1, sockets: 0, backlog: 0, servers: 1 };
    for (let i = 0; i < 3; i++) {
      await publish('socket.io#/#', { uid: 'later', nsp: '/', type: 99, data: {} });
      await publish('socket.io#heartbeat#socket.io#', { kind: 'moonrise', node });
    }
    const heartbeat = { kind: 'heartbeat', node: { ...node, mood: 'good' }, streams: {}, more: 1 };
    await publish('socket.io#heartbeat#socket.io#', heartbeat);
    const volatile = { packet: { type: 2, data: ['heard after them'] }, opts: { ...opts, flags: { volatile: true } } };
    const client = await fleet.connect(0);
    await publish('socket.io#/#', { uid: 'later', nsp: '/', type: 3, data: volatile });
    await client.receives(1);
    expect((await told('message-rejected')).sort()).toEqual([
      'a control message of the unknown kind "moonrise"',
      'the type 99 is not known to this version',
    ]);
    expect(await ours.run(({ node }) => node!.nodes().map(({ id }) => id))).toContain('later');
  });
});
