import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Server, type ServerOptions } from 'socket.io';
import { createAdapter } from '../../lib/adapter/index.js';
import { closeAfterwards, RedisServer, TcpProxy, until } from '../kit/index.js';
import { openRedisClient } from '../kit/redis-client.js';
import { TestClient, type TestClientOptions } from '../kit/test-client.js';

interface TwoServers {
  first: Server;
  second: Server;
  node: ReturnType<typeof createAdapter>['node'];
}

const silent = { log: () => undefined, warn: () => undefined, error: () => undefined };
const urlOf = ({ httpServer }: Server): string => `http://127.0.0.1:${(httpServer.address() as AddressInfo).port}`;

describe.each<[string, Partial<ServerOptions>]>([
  ['without connection state recovery', {}],
  ['with connection state recovery', { connectionStateRecovery: { maxDisconnectionDuration: 60_000 } }],
])('two Socket.IO servers of one process that share an adapter factory, %s,', (_what, options) => {
  let redis: RedisServer;
  let here: TwoServers;
  let elsewhere: TwoServers;
  let servers: Server[];
  let clients: TestClient[] = [];

  beforeEach(async () => {
    redis = await RedisServer.start();
    [here, elsewhere] = await Promise.all([startTwo(), startTwo()]);
    servers = [here.first, here.second, elsewhere.first, elsewhere.second];
    await knowEachOther(here, elsewhere);
  });

  afterEach(() => {
    clients.forEach((client) => client.close());
    clients = [];
  });

  async function startTwo(port = redis.port): Promise<TwoServers> {
    const redisClient = await openRedisClient('ioredis 6', { topology: 'single', port });
    const factory = createAdapter(redisClient.client, { heartbeatInterval: 100, heartbeatTimeout: 2_000 }, silent);
    const start = async (): Promise<Server> => {
      const io = new Server(createServer(), { adapter: factory as never, ...options });
      await new Promise<void>((resolve) => io.httpServer.listen(0, '127.0.0.1', resolve));
      return io;
    };
    closeAfterwards(redisClient);
    const [first, second] = [await start(), await start()];
    closeAfterwards({ close: () => Promise.all([first.close(), second.close()]) });
    await factory.node.start();
    return { first, second, node: factory.node };
  }

  /** Both nodes have heard that the other has two servers. */
  async function knowEachOther(...nodes: TwoServers[]): Promise<void> {
    await until(
      async () => {
        const counts = await Promise.all(
          nodes.flatMap(({ first, second }) => [first, second]).map((io) => io.of('/').adapter.serverCount()),
        );
        return counts.every((count) => count === 4);
      },
      { what: 'four servers to be counted' },
    );
  }

  async function connect(io: Server, clientOptions?: TestClientOptions): Promise<TestClient> {
    const client = await TestClient.connect(urlOf(io), clientOptions);
    clients.push(client);
    return client;
  }

  test('are all waited for while the node that has asked cannot count them', async () => {
    const proxy = await TcpProxy.start(redis.port);
    const asking = await startTwo(proxy.port);
    const count = (): Promise<number> => asking.first.of('/').adapter.serverCount();
    await until(async () => (await count()) === 6, { what: 'six servers to be counted' });
    const late: ((answer: string) => void)[] = [];
    elsewhere.second.on('ask', (answer: (value: string) => void) => late.push(answer));
    for (const io of [...servers.slice(0, 3), asking.second]) {
      io.on('ask', (answer: (value: string) => void) => answer('at once'));
    }
    const asked = asking.first.serverSideEmitWithAck('ask');
    await until(() => late.length > 0, { what: 'the question to arrive' });
    proxy.refuse();
    await redis.killClients(({ name }) => name.includes(asking.node.id) && name.endsWith(':commands'));
    await sleep(700); // more than twice as long as from one count to the next
    late[0]!('late');
    await proxy.accept();
    expect((await asked).sort()).toEqual([...Array<string>(4).fill('at once'), 'late']);
  });

  test('give each broadcast to each client once', async () => {
    const all = await Promise.all(servers.map((io) => connect(io)));
    for (const [index, io] of servers.entries()) {
      io.emit('hello', index);
      io.emit('mark', String(index));
      await until(() => all.every(({ marks }) => marks.has(String(index))), { what: 'the broadcast' });
    }
    expect(all.map(({ received }) => received)).toEqual(all.map(() => servers.map((_, index) => ['hello', index])));
  });

  test('list each socket once', async () => {
    const all = await Promise.all(servers.map((io) => connect(io)));
    const ids = all.map(({ id }) => id).sort();
    for (const io of servers) {
      expect((await io.fetchSockets()).map(({ id }) => id).sort()).toEqual(ids);
    }
  });

  test('collect each acknowledgement once', async () => {
    await Promise.all(servers.map((io, answer) => connect(io, { answer })));
    for (const io of servers) {
      expect((await io.timeout(4_000).emitWithAck('ask')).sort()).toEqual([0, 1, 2, 3]);
    }
  });

  test('answer each other and the servers of other processes', async () => {
    servers.forEach((io, index) => io.on('who?', (reply: (answer: number) => void) => reply(index)));
    for (const [index, io] of servers.entries()) {
      expect((await io.serverSideEmitWithAck('who?')).sort()).toEqual([0, 1, 2, 3].filter((other) => other !== index));
    }
  });

  test('apply changes of rooms to the sockets of both', async () => {
    const all = await Promise.all(servers.map((io) => connect(io)));
    here.second.socketsJoin('room');
    here.second.to('room').emit('hello');
    await Promise.all(all.map((client) => client.receives(1)));
    elsewhere.first.in('room').disconnectSockets();
    await until(() => all.every(({ disconnects }) => disconnects.length === 1), { what: 'all to be disconnected' });
  });

  test('go on working when one of them closes, and let go of Redis when both have', async () => {
    await here.first.close();
    const all = await Promise.all([here.second, elsewhere.first, elsewhere.second].map((io) => connect(io)));
    await until(async () => (await here.second.of('/').adapter.serverCount()) === 3, { what: 'three servers' });
    here.second.emit('hello', 'here');
    elsewhere.first.emit('hello', 'elsewhere');
    await Promise.all(all.map((client) => client.receives(2)));
    expect((await elsewhere.second.fetchSockets()).length).toBe(3);
    const { id } = here.node;
    expect((await redis.clients()).some(({ name }) => name.includes(id))).toBe(true);
    await here.second.close();
    expect((await redis.clients()).some(({ name }) => name.includes(id))).toBe(false);
  });

  test('stay apart when one of them closes a namespace and opens it again', async () => {
    const nsp = '/reopened';
    here.first.of(nsp);
    here.second.of(nsp);
    elsewhere.first.of(nsp);
    await here.first.of(nsp).adapter.close();
    here.first._nsps.delete(nsp);
    const all = await Promise.all([here.first, here.second, elsewhere.first].map((io) => connectTo(io, nsp)));
    here.first.of(nsp).emit('hello', 'first');
    here.second.of(nsp).emit('hello', 'second');
    await Promise.all(all.map((client) => client.receives(2)));
    await until(async () => (await elsewhere.first.of(nsp).adapter.serverCount()) === 3, { what: 'three servers' });
    expect((await here.first.of(nsp).fetchSockets()).length).toBe(3);
    expect((await elsewhere.first.of(nsp).fetchSockets()).length).toBe(3);

    function connectTo(io: Server, nsp: string): Promise<TestClient> {
      io.of(nsp);
      return connect(io, { nsp });
    }
  });
});
