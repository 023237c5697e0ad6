import { describe, expect, test } from '@jest/globals';
import { Redis, type RedisOptions } from 'ioredis';
import { Redis as Ioredis5 } from 'ioredis-5';
import { Redis as Iovalkey } from 'iovalkey';
import { createClient } from 'redis';
import { createClient as createClient4 } from 'redis-4';
import { createClient as createClient5 } from 'redis-5';
import type { RedisStreamsAdapterOptions } from '../../lib/adapter/index.js';
import { namesInRedis } from '../../lib/cluster/names.js';
import { resolveOptions } from '../../lib/cluster/options.js';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import { driverFor } from '../../lib/redis/driver-for.js';
import { allReceived, closeAfterwards, Member, RedisServer, until } from '../kit/index.js';
import { LocalServer } from '../kit/local-server.js';
import { createNotedAdapter } from '../kit/noted-adapter.js';

const FAST = { heartbeatInterval: 200, heartbeatTimeout: 2_000, blockTimeInMs: 200 };

/** What tells an application apart from one with all defaults. */
interface Difference {
  redis?: RedisOptions;
  adapter?: RedisStreamsAdapterOptions;
}

describe('two applications on one Redis', () => {
  describe.each<[string, Difference, Difference]>([
    ['the database', { redis: { db: 1 } }, {}],
    ['the key prefix', { redis: { keyPrefix: 'b:' } }, {}],
    ['streamName', { adapter: { streamName: 'chat' } }, {}],
    ['the database, with sharded PUB/SUB', { redis: { db: 1 } }, { adapter: { useShardedPubSub: true } }],
    ['the key prefix, with sharded PUB/SUB', { redis: { keyPrefix: 'b:' } }, { adapter: { useShardedPubSub: true } }],
    ['two databases, of which none is the first', { redis: { db: 1 } }, { redis: { db: 2 } }],
  ])('that are told apart by %s', (_what, mine, both) => {
    test('do not know of each other', async () => {
      const redis = await RedisServer.start();
      const server = { connectionStateRecovery: {} };
      const start = ({ redis: client, adapter }: Difference): Promise<Member> =>
        Member.start({
          port: redis.port,
          redis: { ...both.redis, ...client },
          adapter: { ...both.adapter, ...adapter },
          server,
        });
      const app = [await start({}), await start({})];
      const other = [await start(mine), await start(mine)];
      const ids = (members: Member[]): string[] => members.map(({ node }) => node.id).sort();
      const knownTo = ({ node }: Member): string[] =>
        node
          .nodes()
          .map(({ id }) => id)
          .sort();
      await until(() => [...app, ...other].every((member) => knownTo(member).length >= 2), { what: 'the heartbeats' });

      app[0]!.io.emit('msg', 'from app');
      other[0]!.io.emit('msg', 'from other');
      await allReceived([...app, ...other], 1);
      other.forEach(({ io }) => io.on('who?', (answer: (name: string) => void) => answer('other')));
      app.forEach(({ io }) => io.on('who?', (answer: (name: string) => void) => answer('app')));
      app[0]!.io.volatile.emit('msg', 'volatile of app');
      await allReceived([app[1]!], 2);
      expect(await app[0]!.io.serverSideEmitWithAck('who?')).toEqual(['app']);
      expect(await other[0]!.io.fetchSockets()).toHaveLength(2);
      expect(await app[0]!.io.of('/').adapter.serverCount()).toBe(2);

      // A client of the one that comes to the other is not its client, session or not.
      const [mineClient, theirs] = [app[0]!.socket, other[0]!.socket];
      await until(() => (mineClient as unknown as { _pid?: string })._pid !== undefined, { what: 'a session' });
      mineClient.io.engine.close();
      const visitor = other[0]!.connect({ autoConnect: false });
      Object.assign(visitor, {
        _pid: (mineClient as unknown as { _pid: string })._pid,
        _lastOffset: (theirs as unknown as { _lastOffset: string })._lastOffset,
      });
      visitor.connect();
      await until(() => visitor.connected, { what: 'the visitor to connect' });
      expect(visitor.recovered).toBe(false);
      visitor.disconnect();

      await until(() => [...app, ...other].every(({ node }) => node.status().state === 'running'), { what: 'peace' });
      for (const members of [app, other]) {
        for (const member of members) {
          expect(knownTo(member)).toEqual(ids(members));
          const refused = member === other[0] ? ['recovery-refused'] : []; // the visitor
          expect(member.events.map(({ type }) => type).filter((type) => type !== 'node-joined')).toEqual(refused);
        }
      }
      expect(other.flatMap(({ received }) => received)).toEqual(['from other', 'from other']);
    });
  });

  test.each<[string, (port: number, database: number) => object]>([
    ['redis 4', (port, database) => createClient4({ socket: { port }, database })],
    ['redis 5', (port, database) => createClient5({ socket: { port }, database })],
    ['redis 6', (port, database) => createClient({ socket: { port }, database })],
    ['redis 6, by its URL', (port, database) => createClient({ url: `redis://127.0.0.1:${port}/${database}` })],
    ['redis 6, by the key prefix', (port, database) => createClient({ socket: { port }, keyPrefix: `${database}:` })],
    ['ioredis 5', (port, db) => new Ioredis5({ port, db, lazyConnect: true })],
    ['iovalkey', (port, db) => new Iovalkey({ port, db, lazyConnect: true })],
  ])('that are told apart by the database do not know of each other: %s', async (_client, create) => {
    const redis = await RedisServer.start();
    const servers = await Promise.all(
      [1, 1, 2, 2].map(async (database) => {
        const { factory } = createNotedAdapter(create(redis.port, database), FAST);
        const server = closeAfterwards(new LocalServer(factory));
        await server.listen();
        await factory.node.start();
        return { io: server.io, node: factory.node };
      }),
    );
    await until(() => servers.every(({ node }) => node.nodes().length >= 2), { what: 'the heartbeats' });
    servers.forEach(({ io }, i) => io.on('who?', (answer: (i: number) => void) => answer(i)));
    expect(await Promise.all(servers.map(({ io }) => io.serverSideEmitWithAck('who?')))).toEqual([[1], [0], [3], [2]]);
    expect(await Promise.all(servers.map(({ io }) => io.of('/').adapter.serverCount()))).toEqual([2, 2, 2, 2]);
    expect(servers.map(({ node }) => node.nodes().length)).toEqual([2, 2, 2, 2]);
  });

  test('of different streamNames share channels and sessions with "referenceNames", as the reference does', async () => {
    const redis = await RedisServer.start();
    const referenceNames = true;
    const app = await Member.start({ port: redis.port, adapter: { referenceNames } });
    await Member.start({ port: redis.port, adapter: { referenceNames, streamName: 'chat' } });
    expect(await app.io.fetchSockets()).toHaveLength(2);
    expect(await redis.command('PUBSUB', 'NUMSUB', 'socket.io#/#')).toEqual(['socket.io#/#', 2]);
  });

  test('an emitter with the options of one reaches that one, by the log and by PUB/SUB', async () => {
    const redis = await RedisServer.start();
    const options = { streamName: 'chat' };
    const app = await Member.start({ port: redis.port, redis: { db: 3 }, adapter: options });
    const other = await Member.start({ port: redis.port, adapter: options });
    const client = new Redis(redis.port, { db: 3 });
    const emitter = closeAfterwards(new RedisStreamsEmitter(client, options));
    await until(
      () => {
        emitter.volatile.emit('msg', 'volatile');
        return app.received.length > 0;
      },
      { what: 'a volatile broadcast', interval: 50 },
    );
    emitter.emit('msg', 'logged');
    await until(() => app.received.includes('logged'), { what: 'a broadcast' });
    expect(other.received).toEqual([]);
    client.disconnect();
  });
});

describe('the names of an application', () => {
  const options = resolveOptions();
  const names = (client: unknown, given: RedisStreamsAdapterOptions = {}): string[] => {
    const driver = driverFor(client);
    const resolved = resolveOptions(given);
    const { channels, sessionKeys } = namesInRedis(driver, resolved);
    return [channels.requests('/'), channels.responses('/', 'uid'), channels.control, sessionKeys];
  };
  const lazy = { lazyConnect: true };

  test('are those of the reference with all defaults', () => {
    const expected = ['socket.io#/#', 'socket.io#/#uid#', 'socket.io#heartbeat#socket.io#', 'sio:session:'];
    for (const client of [new Redis(lazy), createClient(), createClient5(), createClient4()]) {
      expect(names(client)).toEqual(expected);
    }
  });

  test('hold what is different, whatever the client', () => {
    const clients = [
      new Redis({ ...lazy, db: 2 }),
      new Redis('redis://localhost/2', lazy),
      ...[{ database: 2 }, { url: 'redis://localhost/2' }].flatMap((where) => [
        createClient(where),
        createClient5(where),
        createClient4(where),
      ]),
    ];
    for (const client of clients) {
      expect(names(client, { streamName: 'chat' })).toEqual([
        'socket.io#db=2&stream=chat#/#',
        'socket.io#db=2&stream=chat#/#uid#',
        'socket.io#db=2&stream=chat#heartbeat#chat#',
        'sio:session:stream=chat:',
      ]);
    }
    expect(names(new Redis({ ...lazy, keyPrefix: 'a:b{#}' }))[0]).toBe('socket.io#prefix=a%3Ab%7B%23%7D#/#');
    expect(names(createClient({ keyPrefix: 'app:' }))[0]).toBe('socket.io#prefix=app%3A#/#');
  });

  test('begin with what the client puts before sharded channels', () => {
    expect(names(new Redis({ ...lazy, keyPrefix: 'app:' }), { useShardedPubSub: true })[0]).toBe('app:socket.io#/#');
    expect(names(createClient({ keyPrefix: 'app:' }), { useShardedPubSub: true })[0]).toBe(
      'socket.io#prefix=app%3A#/#',
    );
  });

  test('are the options’ alone with "referenceNames"', () => {
    const given = { streamName: 'chat', referenceNames: true, channelPrefix: 'c', sessionKeyPrefix: 's:' };
    expect(names(new Redis({ ...lazy, db: 2, keyPrefix: 'app:' }), given)).toEqual([
      'c#/#',
      'c#/#uid#',
      'c#heartbeat#chat#',
      'app:s:',
    ]);
  });

  test('of a driver of the user’s own that knows no keyspace hold its stream only', () => {
    const { channels } = namesInRedis({}, { ...options, streamName: 'chat' });
    expect(channels.requests('/')).toBe('socket.io#stream=chat#/#');
  });
});
