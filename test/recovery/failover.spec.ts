import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { io as connect } from 'socket.io-client';
import type { RedisStreamsAdapterOptions } from '../../lib/adapter/index.js';
import type { ClusterNode } from '../../lib/cluster/cluster-node.js';
import { closeAfterwards, type Member, numbers, RedisServer, RespProxy, TcpProxy, until } from '../kit/index.js';
import type { Rewriting } from '../kit/resp-proxy.js';
import { haveReadAll, startNode } from './recovery-node.js';
import { receives, visit, type Visitor, visits } from './visitor.js';

/** A node with a network of its own to Redis, or two: what its reader uses, and the rest. */
class FailingNode {
  private constructor(
    readonly member: Member,
    private readonly networks: { commands: TcpProxy; reader: TcpProxy },
  ) {}

  static async start(redis: Pick<RedisServer, 'port'>, options: RedisStreamsAdapterOptions = {}): Promise<FailingNode> {
    const [commands, reader] = [await TcpProxy.start(redis.port), await TcpProxy.start(redis.port)];
    const adapter = { commandTimeout: 20_000, blockTimeInMs: BLOCK_MS, ...options };
    const member = await startNode({ port: commands.port, readerPort: reader.port, adapter });
    return new FailingNode(member, { commands, reader });
  }

  get url(): string {
    return this.member.url;
  }

  get io(): Member['io'] {
    return this.member.io;
  }

  /** Its commands are carried out, and it does not come to know. */
  loseAnswers(): void {
    this.networks.commands.swallowReplies();
  }

  isolate(...which: ('commands' | 'reader')[]): void {
    for (const name of which) {
      this.networks[name].refuse();
      this.networks[name].cut();
    }
  }

  /** Its next read does not reach the server; the one before ends, so that the server has none. */
  async holdReads(): Promise<void> {
    this.networks.reader.blackhole('toServer');
    await sleep(3 * BLOCK_MS);
  }

  releaseReads(): void {
    this.networks.reader.heal();
  }

  /** Once its reader makes another connection. */
  readsNextFrom(redis: RedisServer): void {
    this.networks.reader.target(redis.port);
  }

  async connectTo(redis: Pick<RedisServer, 'port'>, ...which: ('commands' | 'reader')[]): Promise<void> {
    for (const name of which) {
      this.networks[name].target(redis.port);
      await this.networks[name].accept();
    }
  }

  /** It loses its connections, and makes new ones to another server. */
  async moveTo(redis: Pick<RedisServer, 'port'>): Promise<void> {
    this.isolate(...BOTH);
    await this.connectTo(redis, ...BOTH);
  }

  /** Waits until its one message was sent again, and acknowledged. */
  async hasSentAgain(): Promise<void> {
    await until(() => this.appended === 1, { what: 'the message to be sent again' });
  }

  /** Waits until it has noticed that the log is not the one that it has read. */
  async hasNoticed(): Promise<void> {
    await until(() => this.member.eventsOf('stream-replaced').length > 0, { what: 'a node to notice the failover' });
  }

  /** How many of its entries Redis has acknowledged. */
  get appended(): number {
    return this.member.counters.appended;
  }

  get position(): string | undefined {
    return this.member.node.status().streams[0]!.position;
  }
}

/** How long a read waits for entries. */
const BLOCK_MS = 100;
const BOTH = ['commands', 'reader'] as const;

/** A master, and a replica that has all that the master has until it `fallsBehind`, and takes over then. */
async function setUp(options: RedisStreamsAdapterOptions = {}) {
  const master = await RedisServer.start();
  const replication = await TcpProxy.start(master.port);
  const replica = await RedisServer.start();
  await replica.command('REPLICAOF', '127.0.0.1', String(replication.port));
  await replica.inSync();
  const start = (): Promise<FailingNode> => FailingNode.start(master, options);
  const [a, b, c] = [await start(), await start(), await start()];
  return {
    ...{ master, replica, a, b, c },
    fallsBehind: async (entries: number): Promise<void> => {
      await until(async () => (await replica.command('XLEN', 'socket.io')) === entries, {
        what: 'the replica to have all',
      });
      replication.refuse();
      replication.cut();
    },
    promote: async (): Promise<void> => {
      await master.kill();
      await replica.command('REPLICAOF', 'NO', 'ONE');
    },
  };
}

/** Waits until all nodes have read what the server has. */
function settled(redis: RedisServer, ...nodes: FailingNode[]): Promise<void> {
  return haveReadAll(
    redis,
    nodes.map(({ member }) => member),
  );
}

/** Nodes come to the server that has taken over, one after the other, and notice it. */
async function failOver(replica: RedisServer, ...nodes: FailingNode[]): Promise<void> {
  for (const node of nodes) {
    await node.moveTo(replica);
    await node.hasNoticed();
  }
}

async function moveTo(visitor: Visitor, node: { url: string }, visit: number): Promise<void> {
  await visitor.stayAway();
  visitor.comeBack(node.url);
  await visits(visitor, visit);
}

describe('a message that a failover loses, and that its publisher, which had no answer, sends again,', () => {
  /** The clients of `b` and `c` have received message 1, which its publisher knows nothing of, and the replica has not. */
  async function receiveUnreplicated() {
    const servers = await setUp();
    const { a, b, c, fallsBehind } = servers;
    const visitor = await visit(b, { rooms: ['red'] });
    const witness = await visit(c, { rooms: ['red'] });
    b.io.emit('msg', 0);
    await Promise.all([receives(visitor, 1), receives(witness, 1)]);
    await fallsBehind(1);
    a.loseAnswers();
    a.io.to('red').emit('msg', 1);
    await Promise.all([receives(visitor, 2), receives(witness, 2)]);
    a.isolate(...BOTH);
    return { ...servers, visitor, witness };
  }

  /** The client of `b` has received message 1 from the master that fails, and 2 from the one that takes over. */
  async function lose() {
    const state = await receiveUnreplicated();
    const { replica, b, c, promote, visitor, witness } = state;
    await promote();
    await failOver(replica, b, c);
    c.io.to('red').emit('msg', 2);
    await Promise.all([receives(visitor, 3), receives(witness, 3)]);
    return state;
  }

  /** `a` sends message 1 again, and then 3. */
  async function sendAgain({ replica, a, c, visitor, witness }: Awaited<ReturnType<typeof lose>>): Promise<void> {
    await a.connectTo(replica, ...BOTH);
    await a.hasSentAgain();
    await settled(replica, a, c);
    a.io.to('red').emit('msg', 3);
    await Promise.all([receives(visitor, 4), receives(witness, 4)]);
  }

  function expectAll(...visitors: Visitor[]): void {
    for (const visitor of visitors) {
      expect([visitor.values, visitor.refused]).toEqual([numbers(4), 0]);
    }
  }

  test('is not given again to a client that moves to a node which has read it too, before it is sent again', async () => {
    const state = await lose();
    await moveTo(state.visitor, state.c, 2);
    await sendAgain(state);
    expectAll(state.visitor, state.witness);
  });

  test('is not given again to a client that moves to a node which started since, before it is sent again', async () => {
    const state = await lose();
    const d = await FailingNode.start(state.replica);
    await moveTo(state.visitor, d, 2);
    await sendAgain(state);
    expectAll(state.visitor, state.witness);
  });

  test('is not given again to a client that moves to a node which started since, after it was sent again', async () => {
    const state = await lose();
    const { visitor, replica, a, b, c } = state;
    await visitor.stayAway();
    await a.connectTo(replica, ...BOTH);
    await a.hasSentAgain();
    await settled(replica, a, b, c);
    const d = await FailingNode.start(replica);
    visitor.comeBack(d.url);
    await visits(visitor, 2);
    await sendAgain(state);
    expectAll(visitor, state.witness);
  });

  test('is not given again if a master becomes a replica without closing the connections of those who read', async () => {
    const state = await receiveUnreplicated();
    const { master, replica, b, c, visitor, witness } = state;
    await b.holdReads();
    await replica.command('REPLICAOF', 'NO', 'ONE');
    await master.command('REPLICAOF', '127.0.0.1', String(replica.port));
    await failOver(replica, c);
    c.io.to('red').emit('msg', 2);
    await receives(witness, 3);
    await master.inSync();
    await b.connectTo(replica, ...BOTH); // whenever it makes new connections
    b.io.to('blue').emit('msg', 'refused at first, for its server is a replica now');
    b.releaseReads();
    await b.hasNoticed();
    await receives(visitor, 3);
    await moveTo(visitor, c, 2);
    await sendAgain(state);
    expectAll(visitor, witness);
  });

  test('is not given again to a client that moves twice, before and after it is sent again', async () => {
    const state = await lose();
    const { visitor, replica, a, b, c } = state;
    await moveTo(visitor, c, 2);
    await visitor.stayAway();
    const d = await FailingNode.start(replica);
    await a.connectTo(replica, ...BOTH);
    await a.hasSentAgain();
    await settled(replica, a, b, c, d);
    visitor.comeBack(d.url);
    await visits(visitor, 3);
    await sendAgain(state);
    expectAll(visitor, state.witness);
  });
});

test('a message that a failover lost after one node had read it is given once to a client that moves there', async () => {
  const { replica, a, b, c, fallsBehind, promote } = await setUp();
  const visitor = await visit(b, { rooms: ['red'] });
  const witness = await visit(c, { rooms: ['red'] });
  b.io.emit('msg', 0);
  await Promise.all([receives(visitor, 1), receives(witness, 1)]);
  await fallsBehind(1);
  b.isolate('reader');
  a.loseAnswers();
  a.io.to('red').emit('msg', 1);
  await receives(witness, 2);
  a.isolate(...BOTH);
  await promote();
  for (const node of [b, c]) {
    await node.moveTo(replica);
  }
  await c.hasNoticed();
  b.io.to('red').emit('msg', 2);
  await Promise.all([receives(visitor, 2), receives(witness, 3)]);
  await settled(replica, b, c);
  await visitor.stayAway();
  visitor.comeBack(c.url);
  await a.connectTo(replica, ...BOTH);
  await visits(visitor, 2);
  await a.hasSentAgain();
  await settled(replica, a, c);
  a.io.to('red').emit('msg', 3);
  await Promise.all([receives(visitor, 4), receives(witness, 4)]);
  expect(witness.values).toEqual(numbers(4));
  expect([visitor.values, visitor.refused]).toEqual([[0, 2, 1, 3], 0]);
});

test('a message appended to the new master before the reader knows of it is given once to a moving client', async () => {
  const { master, replica, a, b, c, fallsBehind, promote } = await setUp();
  const visitor = await visit(a, { rooms: ['red'] });
  b.io.emit('msg', 0);
  await receives(visitor, 1);
  await fallsBehind(1);
  a.loseAnswers();
  b.io.to('nobody').emit('msg', 'lost');
  await until(() => b.appended === 2, { what: 'an entry that will be lost' });
  const [[lost]] = (await master.command('XREVRANGE', 'socket.io', '+', '-', 'COUNT', '1')) as [[string]];
  await until(() => a.position === lost, { what: 'the node to have read what will be lost' });
  a.io.to('red').emit('msg', 1);
  await receives(visitor, 2);
  a.isolate(...BOTH);
  await promote();
  await failOver(replica, b, c);
  c.io.to('red').emit('msg', 2);
  await until(() => c.appended === 1, { what: 'a message on the new master' });
  await a.connectTo(replica, 'commands');
  await a.hasSentAgain();
  await a.connectTo(replica, 'reader');
  await a.hasNoticed();
  await receives(visitor, 3);
  await moveTo(visitor, b, 2);
  b.io.to('red').emit('msg', 3);
  await receives(visitor, 4);
  expect([visitor.values, visitor.refused]).toEqual([numbers(4), 0]);
});

/** An entry of another publisher, for nobody here. */
const ENTRY_FOR_NOBODY = ['uid', 'another', 'nsp', '/other', 'type', '3', 'data', '{}'];

/** Two masters with one past: node a and its client are at the new one, and node b at the former one, which lives on. */
async function setUpTwoMasters() {
  const servers = await setUp({ heartbeatInterval: 30_000, heartbeatTimeout: 60_000 });
  const { master, replica, a, b, c, fallsBehind } = servers;
  await c.member.close();
  const visitor = await visit(a);
  a.io.emit('msg', 0);
  await receives(visitor, 1);
  await settled(master, a, b);
  await fallsBehind(1);
  await replica.command('REPLICAOF', 'NO', 'ONE');
  await a.moveTo(replica);
  return { ...servers, visitor };
}

test('a client that comes to a node which still reads from the former master is given nothing twice', async () => {
  const { master, replica, a, b, visitor } = await setUpTwoMasters();
  b.isolate('commands');
  await b.connectTo(replica, 'commands');
  const d = await FailingNode.start(replica);
  for (const value of [1, 2]) d.io.emit('msg', value);
  await receives(visitor, 3);
  await master.command('XADD', 'socket.io', '*', ...ENTRY_FOR_NOBODY);
  await settled(master, b);

  b.readsNextFrom(replica);
  await moveTo(visitor, b, 2);
  await b.hasNoticed();
  await settled(replica, a, b);
  a.io.emit('msg', 3);
  await receives(visitor, 4);
  expect(visitor.values).toEqual(numbers(4));
});

test('an offset is none of a former master that has another entry with its id', async () => {
  const { master, replica, b, visitor } = await setUpTwoMasters();
  const d = await FailingNode.start(replica);
  for (const value of [1, 2]) d.io.emit('msg', value);
  await receives(visitor, 3);
  const [[last]] = (await replica.command('XREVRANGE', 'socket.io', '+', '-', 'COUNT', '1')) as [[string]];
  await master.command('XADD', 'socket.io', last, ...ENTRY_FOR_NOBODY);
  await settled(master, b);

  await moveTo(visitor, b, 2);
  expect([visitor.refused, b.member.node.status().refusedRecoveries.offset]).toEqual([1, 1]);
});

test('a client whose move a failover lost is not recovered from before it if it has received something', async () => {
  const { replica, a, b, c, fallsBehind, promote } = await setUp();
  const visitor = await visit(a, { rooms: ['red'] });
  a.io.emit('msg', 0);
  await receives(visitor, 1);
  const before = `sio:session:live:${a.member.node.id}`;
  await until(async () => (await replica.command('HEXISTS', before, visitor.pid!)) === 1, { what: 'the session' });
  await fallsBehind(1);
  await moveTo(visitor, b, 2);
  b.isolate(...BOTH);
  a.isolate(...BOTH);
  b.io.to('red').emit('msg', 1);
  await receives(visitor, 2);
  await visitor.stayAway();
  await promote();
  await c.moveTo(replica);
  visitor.comeBack(c.url);
  await visits(visitor, 3);
  expect(visitor.visits.map(({ recovered }) => recovered)).toEqual([false, true, false]);
  expect(c.member.node.status().refusedRecoveries).toMatchObject({ unknown: 1 });
});

describe('what a failover loses is not given again to a client of a node that began to read', () => {
  /**
   * The client of `b` has message 0, and 1, of which its publisher `a` does not know that it was appended; then it goes to a new
   * node, which begins to read after `others` more entries. The replica, which has message 0 only, takes over.
   */
  async function comeToNewNode(others: number) {
    const { master, replica, a, b, c, fallsBehind, promote } = await setUp();
    const visitor = await visit(b, { rooms: ['red'] });
    b.io.emit('msg', 0);
    await receives(visitor, 1);
    await fallsBehind(1);
    a.loseAnswers();
    a.io.to('red').emit('msg', 1);
    await receives(visitor, 2);
    a.isolate(...BOTH);
    for (let i = 0; i < others; i++) {
      c.io.to('nobody').emit('msg', i);
    }
    await until(() => c.appended === others, { what: 'other entries' });
    const d = await FailingNode.start(master);
    await settled(master, d);
    await moveTo(visitor, d, 2);
    const stranger = await visit(d, { rooms: ['red'] });
    await promote();
    await failOver(replica, d);
    await a.connectTo(replica, ...BOTH);
    await a.hasSentAgain();
    a.io.to('red').emit('msg', 2);
    await receives(stranger, stranger.values.includes(1) ? 2 : 1);
    return { visitor, stranger, d };
  }

  test('shortly after it', async () => {
    const { visitor } = await comeToNewNode(200);
    await receives(visitor, 3);
    expect([visitor.values, visitor.visits.map(({ recovered }) => recovered)]).toEqual([numbers(3), [false, true]]);
  });

  test('long after it: the client begins anew', async () => {
    const { visitor, stranger, d } = await comeToNewNode(3_000);
    await visits(visitor, 3);
    expect(visitor.visits.map(({ recovered }) => recovered)).toEqual([false, true, false]);
    expect(d.member.node.status().refusedRecoveries).toMatchObject({ offset: 1 });
    expect(visitor.values.slice(0, visitor.visits[2]!.after)).toEqual(numbers(2));
    expect(stranger.visits).toHaveLength(1); // it has been nowhere else
  });
});

describe('a client that has moved to a node, and left it, and whose session as it left a failover has lost,', () => {
  /** The replica that takes over has the session as it was on `a`; the client has joined a room on `b` since. */
  async function moveUnreplicated() {
    const servers = await setUp();
    const { replica, a, b, c, fallsBehind, promote } = servers;
    const visitor = await visit(a, { rooms: ['red'] });
    a.io.emit('msg', 0);
    await receives(visitor, 1);
    await settled(replica, a, b, c);
    const before = `sio:session:live:${a.member.node.id}`;
    await until(async () => (await replica.command('HEXISTS', before, visitor.pid!)) === 1, { what: 'the session' });
    await fallsBehind(1);
    await moveTo(visitor, b, 2);
    void b.io.sockets.sockets.get(visitor.sid)!.join('green'); // not in the log, where it would be lost
    await visitor.stayAway();
    await until(async () => (await servers.master.command('EXISTS', `sio:session:${visitor.pid}`)) === 1, {
      what: 'the session as its client left it',
    });
    await promote();
    return { ...servers, visitor };
  }

  async function expectAsItLeft(visitor: Visitor, c: FailingNode): Promise<void> {
    await visits(visitor, 3);
    c.io.to('green').emit('msg', 1);
    await receives(visitor, 2);
    expect(visitor.visits.map(({ recovered }) => recovered)).toEqual([false, true, true]);
    expect(visitor.values).toEqual([0, 1]);
  }

  test('is recovered as it left once that node is back, which writes the session again', async () => {
    const { replica, a, b, c, visitor } = await moveUnreplicated();
    for (const node of [a, b, c]) {
      await node.moveTo(replica);
    }
    const key = `sio:session:${visitor.pid}`;
    await until(async () => (await replica.command('EXISTS', key)) === 1, { what: 'the session to be written again' });
    visitor.comeBack(c.url);
    await expectAsItLeft(visitor, c);
  });

  test('is recovered as it left if it comes to another node before that one is back', async () => {
    const { replica, a, b, c, visitor } = await moveUnreplicated();
    b.isolate(...BOTH);
    await a.moveTo(replica);
    await c.moveTo(replica);
    visitor.comeBack(c.url);
    await sleep(150); // less than heartbeatTimeout: the other node does not seem to be gone
    await b.connectTo(replica, ...BOTH);
    await expectAsItLeft(visitor, c);
  });
});

test('a client that has left is recovered by its node at once, though a failover lost what it left', async () => {
  const { master, replica, a, b, c, fallsBehind, promote } = await setUp();
  const visitor = await visit(a, { rooms: ['red'] });
  a.io.emit('msg', 0);
  await receives(visitor, 1);
  await settled(replica, a, b, c);
  await until(
    async () => (await replica.command('HEXISTS', `sio:session:live:${a.member.node.id}`, visitor.pid!)) === 1,
    {
      what: 'the session',
    },
  );
  await fallsBehind(1);
  for (let i = 0; i < 2_000; i++) {
    // Others have left before: these are written again first.
    const holder = { current: () => ({ sid: 'sid', rooms: [], data: {} }), data: {}, release: () => undefined };
    (a.member.node as ClusterNode).sessions.open(`other-${i}`, '/', 60_000, holder).giveBack();
  }
  await until(async () => (await master.command('EXISTS', 'sio:session:other-1999')) === 1, { what: 'the others' });
  void a.io.sockets.sockets.get(visitor.sid)!.join('green');
  await visitor.stayAway();
  await until(async () => (await master.command('EXISTS', `sio:session:${visitor.pid}`)) === 1, {
    what: 'the session as its client left it',
  });
  a.isolate(...BOTH);
  await promote();
  for (const node of [b, c]) {
    await node.moveTo(replica);
  }
  visitor.comeBack(a.url);
  await a.connectTo(replica, ...BOTH);
  await visits(visitor, 2);
  expect(visitor.visits.map(({ recovered }) => recovered)).toEqual([false, true]);
  expect(a.io.sockets.sockets.get(visitor.sid)!.rooms).toEqual(new Set([visitor.sid, 'red', 'green']));
});

test('what a node found before a failover is not claimed after it: another has had the client since', async () => {
  const { master, replica, a, b, c, fallsBehind, promote } = await setUp();
  let claims = 0;
  /** It cannot claim as long as it is connected through this. */
  const withoutClaims = (command: readonly Buffer[]): Rewriting => {
    const isClaim = String(command[0]).toUpperCase() === 'HSETNX';
    claims += isClaim ? 1 : 0;
    return isClaim ? { error: 'TRYAGAIN not now' } : { send: command };
  };
  const d = await FailingNode.start(await RespProxy.start(master.port, withoutClaims));
  const visitor = await visit(a, { rooms: ['red'] });
  a.io.emit('msg', 0);
  await receives(visitor, 1);
  await settled(replica, a, b, c, d);
  await until(
    async () => (await replica.command('HEXISTS', `sio:session:live:${a.member.node.id}`, visitor.pid!)) === 1,
    {
      what: 'the session',
    },
  );
  await fallsBehind(1);
  const auth = { pid: visitor.pid, offset: visitor.offset };
  const again = connect(d.url, { transports: ['websocket'], forceNew: true, reconnection: false, auth });
  closeAfterwards({ close: () => again.disconnect() });
  await until(() => claims > 0, { what: 'a claim' });
  await moveTo(visitor, b, 2);
  visitor.socket.io.reconnection(false);
  void b.io.sockets.sockets.get(visitor.sid)!.join('green');
  await promote();
  for (const node of [d, a, b, c]) {
    await node.moveTo(replica);
  }
  await until(() => again.connected, { what: 'the client to be connected', timeout: 15_000 });
  expect(again.id).toBe(visitor.sid);
  expect(d.io.sockets.sockets.get(visitor.sid)!.rooms).toEqual(new Set([visitor.sid, 'red', 'green']));
});

/** As if a node was killed before it wrote the session of a client that it has recovered: the claim to it contains it. */
function withoutCheckpoints(command: readonly Buffer[]): Rewriting {
  const [name, key] = command.map(String);
  const isCheckpoint = name?.toUpperCase() === 'HSET' && key?.startsWith('sio:session:live:');
  return isCheckpoint ? { error: 'ERR not now' } : { send: command };
}

test('a client that has more than its node had read, whose session there is lost, is not given that again', async () => {
  const redis = await RedisServer.start();
  const [a, c] = [await FailingNode.start(redis), await FailingNode.start(redis)];
  const b = await FailingNode.start(await RespProxy.start(redis.port, withoutCheckpoints));
  const visitor = await visit(a, { rooms: ['red'] });
  const witness = await visit(c, { rooms: ['red'] });
  a.io.emit('msg', 0);
  await Promise.all([receives(visitor, 1), receives(witness, 1)]);
  await until(
    async () => (await redis.command('HEXISTS', `sio:session:live:${a.member.node.id}`, visitor.pid!)) === 1,
    {
      what: 'the session',
    },
  );
  a.isolate(...BOTH);
  a.io.to('red').emit('msg', 1);
  await receives(visitor, 2);
  await moveTo(visitor, b, 2);
  c.io.to('red').emit('msg', 2);
  await Promise.all([receives(visitor, 3), receives(witness, 2)]);
  b.isolate(...BOTH);
  await visitor.stayAway();
  visitor.comeBack(c.url);
  await visits(visitor, 3);
  await a.connectTo(redis, ...BOTH);
  await until(() => a.appended === 2, { what: 'the message to be appended' });
  await settled(redis, a, c);
  c.io.to('red').emit('msg', 3);
  await Promise.all([receives(visitor, 4), receives(witness, 4)]);
  expect([visitor.values, visitor.refused]).toEqual([numbers(4), 0]);
  expect(witness.values).toEqual([0, 2, 1, 3]);
});
