import { beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { EventPublisher } from '../../lib/cluster/event-publisher.js';
import type { ClusterEvent } from '../../lib/cluster/events.js';
import { HearingClock } from '../../lib/cluster/hearing-clock.js';
import { LocalNamespaces, type NamespaceMember } from '../../lib/cluster/local-namespaces.js';
import { NodeCounters } from '../../lib/cluster/node-counters.js';
import { NodeParts } from '../../lib/cluster/node-parts.js';
import { NodeRegistry } from '../../lib/cluster/node-registry.js';
import { NodeReport } from '../../lib/cluster/node-report.js';
import { resolveOptions, type RedisStreamsAdapterOptions } from '../../lib/cluster/options.js';
import { driverFor } from '../../lib/redis/driver-for.js';
import { decodeControlMessage } from '../../lib/wire/control.js';
import { EntryType, type LogEntry, type LogMessage } from '../../lib/wire/entry.js';
import { closeAfterwards, RedisServer, TcpProxy, until } from '../kit/index.js';

const FAST = { heartbeatInterval: 100, heartbeatTimeout: 500, commandTimeout: 500, closeTimeout: 1_000 };

/** A namespace of a server of the node. */
class Member implements NamespaceMember {
  readonly delivered: [uid: string, own: boolean][] = [];
  readonly socketCount = 0;
  subscriptions = 0;
  messages = 0;

  constructor(
    readonly uid: string,
    readonly name: string,
  ) {}

  deliver({ uid }: LogEntry, own: boolean): boolean {
    this.delivered.push([uid, own]);
    return true;
  }
  deliverAtOnce(): void {}
  onPeersChanged(): void {}
  onSubscribed(): void {
    this.subscriptions++;
  }
  onMessage(): void {
    this.messages++;
  }
}

const message = (uid: string, nsp: string): LogMessage => ({
  ...{ uid, nsp, type: EntryType.SocketsJoin },
  data: { opts: { rooms: [], except: [], flags: {} }, rooms: ['room'] },
});

describe('NodeParts', () => {
  let redis: RedisServer;
  beforeEach(async () => {
    redis = await RedisServer.start();
  });

  /** What a node has before it is started, and its parts. */
  function make(
    id: string,
    {
      port = redis.port,
      role = 'node',
      ...given
    }: RedisStreamsAdapterOptions & { port?: number; role?: 'node' | 'observer' } = {},
  ) {
    const client = new Redis({ port, lazyConnect: true });
    const events: ClusterEvent[] = [];
    const silent = { log() {}, warn() {}, error() {} };
    const publisher = new EventPublisher(silent, () => []);
    publisher.subscribe({ onEvent: (event) => events.push(event) });
    const options = resolveOptions({ ...FAST, ...given });
    const clock = new HearingClock(options.heartbeatInterval / 2);
    const namespaces = new LocalNamespaces(id);
    const registry = new NodeRegistry({ ...options, clock, events: publisher, onMembership: () => undefined });
    const counters = new NodeCounters(publisher);
    const report = new NodeReport({ id, role, registry, namespaces, counters });
    let isRunning = false;
    const parts = new NodeParts({
      ...{ id, role, options, clock, registry, namespaces, counters, report, events: publisher },
      ...{ driver: driverFor(client), telemetry: undefined, isRunning: () => isRunning },
    });
    let isClosed = false;
    const close = async (saysGoodbye = false): Promise<void> => {
      if (!isClosed) {
        isClosed = true;
        await parts.close(saysGoodbye);
      }
    };
    closeAfterwards({ close });
    const run = async (): Promise<void> => {
      await parts.open();
      isRunning = true;
      parts.connections.report();
      parts.heartbeats.start();
    };
    return { parts, namespaces, registry, events, run, close };
  }

  const namesOf = async (id: string): Promise<string[]> =>
    (await redis.clients())
      .map(({ name }) => name)
      .filter((name) => name.includes(id))
      .sort();

  test('are two connections and one for each stream, of which an observer has none', async () => {
    const [node, observer] = [make('n0', { streamCount: 2 }), make('o0', { role: 'observer' })];
    await Promise.all([node.run(), observer.run()]);
    const nameOf = (id: string) => (role: string) => `redis-streams:${id}:${role}`;
    expect(await namesOf('n0')).toEqual(['commands', 'reader', 'reader', 'subscriber'].map(nameOf('n0')));
    expect(await namesOf('o0')).toEqual(['commands', 'subscriber'].map(nameOf('o0')));
    expect(node.parts.logs.map(({ name }) => name)).toEqual(['socket.io-0', 'socket.io-1']);
    expect(observer.parts.logs).toEqual([]);
  });

  test('bring an entry to the namespace, and the nodes to know each other', async () => {
    const [a, b] = [make('a0'), make('b0')];
    const members = [a, b].map(({ namespaces, parts }, i) => {
      const member = new Member('ab'[i] + '0', '/');
      namespaces.add(member);
      parts.bus.join(member);
      return member;
    });
    await Promise.all([a.run(), b.run()]);
    await until(() => a.registry.present().length + b.registry.present().length === 2, { what: 'the heartbeats' });
    a.parts.logOf('/').append(message('a0', '/'));
    await until(() => members.every(({ delivered }) => delivered.length === 1), { what: 'the entry' });
    expect(members.map(({ delivered }) => delivered)).toEqual([[['a0', true]], [['a0', false]]]);
    await a.parts.bus.publish({ uid: 'a0', nsp: '/', type: 7, data: {} });
    await until(() => members[1]!.messages === 1, { what: 'the request' });
    expect(members[0]!.messages).toBe(0);
    expect(members.map(({ subscriptions }) => subscriptions > 0)).toEqual([true, true]);
  });

  test('that are closed append what waits, say goodbye if they were known, and leave nothing', async () => {
    const heard: string[] = [];
    const listener = new Redis({ port: redis.port });
    closeAfterwards({ close: () => listener.disconnect() });
    await listener.subscribe('socket.io#heartbeat#socket.io#');
    listener.on('messageBuffer', (_channel: Buffer, payload: Buffer) => {
      const { kind, node } = decodeControlMessage(payload, []);
      heard.push(`${node.id} ${kind}`);
    });
    const proxy = await TcpProxy.start(redis.port);
    const [known, unknown] = [make('k0', { port: proxy.port, commandTimeout: 5_000 }), make('u0')];
    await Promise.all([known.run(), unknown.run()]);
    proxy.blackhole();
    known.parts.logOf('/').append(message('k0', '/'));
    known.parts.logOf('/').append(message('k0', '/'));
    const closing = Promise.all([known.close(true), unknown.close(false)]);
    await new Promise((resolve) => setTimeout(resolve, 100)); // what waits has not left yet
    proxy.heal();
    await closing;
    expect(await redis.command('XLEN', 'socket.io')).toBe(2);
    const left = async (): Promise<string[]> => [...(await namesOf('k0')), ...(await namesOf('u0'))];
    await until(async () => (await left()).length === 0, { what: 'the connections to be closed' });
    await until(() => heard.includes('k0 goodbye'), { what: 'the goodbye' });
    expect(heard.filter((text) => text.endsWith('goodbye'))).toEqual(['k0 goodbye']);
    expect(heard.at(-1)).toBe('k0 goodbye'); // nothing is heard of it after that
  });

  test('have each part hear that Redis is away and back: nothing appended meanwhile is lost', async () => {
    const proxy = await TcpProxy.start(redis.port);
    const node = make('n0', { port: proxy.port });
    const member = new Member('n0', '/');
    node.namespaces.add(member);
    await node.run();
    proxy.refuse();
    proxy.cut();
    await until(() => node.events.some(({ type }) => type === 'redis-lost'), { what: 'the loss' });
    await until(() => !node.parts.subscriptions.canHear, { what: 'the loss of the subscriptions' });
    node.parts.logOf('/').append(message('n0', '/'));
    expect(node.parts.logOf('/').isFlushed).toBe(false);
    await proxy.accept();
    await until(() => member.delivered.length === 1, { what: 'the entry' });
    await until(() => node.parts.subscriptions.isComplete, { what: 'the subscriptions' });
    expect(node.events.map(({ type }) => type)).toEqual(['redis-lost', 'redis-reconnected']);
  });

  test('know up to where nobody else can have had a client of the node: until it was deaf', async () => {
    const node = make('n0');
    await node.run();
    const log = node.parts.logOf('/');
    await until(() => node.parts.soleUpTo(log) === log.position, { what: 'the sessions to be verified' });
    const before = log.position!;
    const { id } = (await redis.clients()).find(({ name }) => name === 'redis-streams:n0:subscriber')!;
    await redis.command('ACL', 'SETUSER', 'default', '-subscribe');
    await redis.command('CLIENT', 'KILL', 'ID', id);
    await until(() => !node.parts.subscriptions.canHear, { what: 'the node to be deaf' });
    await redis.command('XADD', 'socket.io', '*', 'a', 'b');
    await until(() => log.position !== before, { what: 'the entry to be read' });
    expect(node.parts.soleUpTo(log)).toBe(before);
    await redis.command('ACL', 'SETUSER', 'default', '+subscribe');
    await until(() => node.parts.soleUpTo(log) === log.position, { what: 'the node to have asked', timeout: 10_000 });
  });
});
