import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { driverFor } from '../../lib/redis/driver-for.js';
import { toStreamEntries } from '../../lib/redis/stream-reply.js';
import { keySlot } from '../../lib/redis/cluster/cluster-slots.js';
import { closeAfterwards, RedisCluster, servers, TcpProxy, until, type RedisServer } from '../kit/index.js';
import { clusterRows, outcomeOf, Probe, type Address } from './rows.js';

const valkeyRows = ['ioredis 6', 'redis 5'];
/** Milliseconds. A machine that stands still for a while must not have a master replaced, but where a test kills one. */
const NODE_TIMEOUT = { usual: 5_000, short: 1_000 };

describe.each(clusterRows)('ClusterConnection of $name', ({ name, create, hasKeyPrefix }) => {
  let cluster: RedisCluster;
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown): number => unhandled.push(error);

  beforeAll(async () => {
    process.on('unhandledRejection', onUnhandled);
    const binary = valkeyRows.includes(name) ? { binary: servers.valkey() } : {};
    cluster = await RedisCluster.start({ ...binary, nodeTimeout: NODE_TIMEOUT.usual });
  }, 60_000);
  afterAll(() => {
    process.off('unhandledRejection', onUnhandled);
    expect(unhandled).toEqual([]);
  });

  // What one test leaves must not be met by the next.
  let stream = 0;
  let key = '';
  beforeEach(() => {
    key = `stream-${++stream}`;
  });

  const probe = (options: ConstructorParameters<typeof Probe>[1] = {}): Promise<Probe> =>
    new Probe(create(cluster.rootNodes.slice(0, 2)), options).ready();
  /** What a test repeats until it is stopped, at the latest with the test, for one that fails stops nothing. */
  const repeating = (step: () => Promise<void>): (() => Promise<void>) => {
    let isStopped = false;
    const run = async (): Promise<void> => {
      while (!isStopped) await step();
    };
    const running = run();
    const stop = (): Promise<void> => {
      isStopped = true;
      return running;
    };
    closeAfterwards({ close: stop });
    return stop;
  };
  const follow = (reader: Probe): { texts: string[]; stop(): Promise<void> } => {
    const texts: string[] = [];
    let last = '0';
    const stop = repeating(async () => {
      if (!reader.connection.ready) return sleep(10);
      try {
        const command = ['XREAD', 'COUNT', '100', 'BLOCK', '200', 'STREAMS', key, last];
        for (const { id, fields } of toStreamEntries(await reader.connection.call(command))) {
          last = id;
          texts.push(String((fields as unknown[])[1]));
        }
      } catch {
        await sleep(20);
      }
    });
    return { texts, stop };
  };
  /** Appends numbered entries one after the other, each as often as it is refused. */
  const appending = (commands: Probe): { stop(): Promise<number>; count: () => number } => {
    let count = 0;
    const stop = repeating(async () => {
      try {
        await commands.connection.transaction([
          ['XADD', key, '*', 't', String(count)],
          ['XLEN', key],
        ]);
        count++;
      } catch {
        await sleep(10);
      }
    });
    return { count: () => count, stop: () => stop().then(() => count) };
  };
  const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

  test('commands and transactions go to the master of their key, wherever it is', async () => {
    const { connection } = await probe();
    for (const name of ['a', 'b', 'c', 'd{tag}', 'ключ', '☃']) {
      expect(keySlot(name)).toBe(await cluster.slotOf(name));
      expect(await connection.call(['SET', `${name}`, name])).toBe('OK');
      expect(
        await connection.transaction([
          ['GET', name],
          ['DEL', name],
        ]),
      ).toEqual([name, 1]);
      expect(await connection.call(['GET', name])).toBeNull();
    }
    await connection.call(['SET', key, 'text']);
    await expect(connection.transaction([['XADD', key, '*', 'a', 'b']])).rejects.toThrow('WRONGTYPE');
    await connection.call(['DEL', key]);
  });

  test("a reader has one connection, to the master of its key; closing ends it, but not the user's client", async () => {
    const client = create(cluster.rootNodes);
    const before = [client.status ?? client.isOpen, client.eventNames().map(String).sort()];
    const reader = await new Probe(client, { role: 'reader', key, connectionName: 'reader' }).ready();
    const master = await cluster.masterOf(key);
    const count = async (): Promise<number[]> =>
      Promise.all(
        cluster.nodes.map(async (node) => (await node.clients()).filter((one) => one.name === 'reader').length),
      );
    expect(await count()).toEqual(cluster.nodes.map((node) => (node === master ? 1 : 0)));
    const read = outcomeOf(reader.connection.call(['XREAD', 'BLOCK', '60000', 'STREAMS', key, '$']));
    expect((await outcomeOf(reader.connection.close())).ms).toBeLessThan(500);
    expect((await read).error?.message).toMatch(/./);
    await until(async () => (await count()).every((n) => n === 0), { what: 'the connection to be gone' });
    expect([client.status ?? client.isOpen, client.eventNames().map(String).sort()]).toEqual(before);
  });

  test('subscribers are counted on all nodes, masters and replicas', async () => {
    const channel = `c#${key}`;
    const { connection } = await probe();
    const subscribers = await Promise.all([
      probe({ role: 'subscriber' }),
      probe({ role: 'subscriber' }),
      probe({ role: 'subscriber' }),
    ]);
    await Promise.all(subscribers.map((one) => one.connection.subscribe([channel])));
    expect(await connection.countSubscribers([channel, 'nobody'])).toEqual([3, 0]);
    for (const text of ['1', '2', '3']) {
      await connection.publish(channel, Buffer.from(text));
    }
    await until(() => subscribers.every(({ messages }) => messages.length >= 3), { what: 'the messages' });
    expect(subscribers.map(({ messages }) => messages.map(([, text]) => text))).toEqual(Array(3).fill(['1', '2', '3']));

    // The reference adapter's nodes may have subscribed at a replica.
    const [replica] = await cluster.replicasOf(key);
    const foreign = await new Probe(create(cluster.rootNodes)).ready();
    await foreign.connection.close();
    const { Redis } = await import('ioredis');
    const direct = new Redis(replica!.port);
    await direct.subscribe(channel);
    expect(await connection.countSubscribers([channel])).toEqual([4]);
    direct.disconnect();
  });

  test('sharded channels are subscribed at the masters of their slots, and follow a slot that moves', async () => {
    const channels = [`a${key}`, `b${key}`, `c${key}`, `d${key}`, `☃${key}`];
    const { connection } = await probe({ sharded: true });
    const subscriber = await probe({ role: 'subscriber', sharded: true });
    await subscriber.connection.subscribe(channels);
    expect(await connection.countSubscribers([...channels, 'nobody'])).toEqual([1, 1, 1, 1, 1, 0]);
    await Promise.all(channels.map((channel) => connection.publish(channel, Buffer.from('m'))));
    await until(() => subscriber.messages.length >= 5, { what: 'the messages' });
    expect(subscriber.messages.map(([channel]) => channel).sort()).toEqual([...channels].sort());

    await cluster.migrateSlot(channels[0]!);
    await subscriber.ready(2);
    // Nodes learn of it one after the other, and the owner of the subscriptions tries until all are made.
    await until(() => subscriber.connection.subscribe(channels).then(() => true), { what: 'the subscriptions' });
    await connection.publish(channels[0]!, Buffer.from('after'));
    await until(() => subscriber.messages.length >= 6, { what: 'the message' });
    expect(await connection.countSubscribers(channels)).toEqual([1, 1, 1, 1, 1]);
    expect(subscriber.messages.at(-1)).toEqual([channels[0], 'after']);
    await subscriber.connection.unsubscribe(channels);
    expect(await connection.countSubscribers(channels)).toEqual([0, 0, 0, 0, 0]);
  });

  if (hasKeyPrefix) {
    test("the client's key prefix is known from the driver, and names go to Redis as they are given", async () => {
      const client = create(cluster.rootNodes, { keyPrefix: 'app:' });
      expect(driverFor(client).prefix?.keys).toBe('app:');
      const commands = await new Probe(client).ready();
      const reader = await new Probe(client, { role: 'reader', key }).ready();
      await commands.connection.call(['XADD', key, '1-1', 't', '1']);
      expect(toStreamEntries(await reader.connection.call(['XREAD', 'STREAMS', key, '0']))).toHaveLength(1);
      expect(await (await cluster.masterOf(key)).command('EXISTS', key)).toBe(1);
    });
  }

  describe('behind addresses of its own', () => {
    let proxies: TcpProxy[];
    let addressMap: Record<string, Address>;
    beforeEach(async () => {
      proxies = await Promise.all(cluster.nodes.map(({ port }) => TcpProxy.start(port)));
      addressMap = Object.fromEntries(
        cluster.nodes.map(({ port }, i) => [`127.0.0.1:${port}`, { host: '127.0.0.1', port: proxies[i]!.port }]),
      );
    });
    const mapped = (): any =>
      create(
        proxies.map(({ port }) => ({ host: '127.0.0.1', port })),
        { addressMap },
      );

    test('the map is used, and an append whose answer is lost is rejected and not executed twice', async () => {
      const one = await new Probe(mapped(), { connectionName: 'mapped' }).ready();
      const master = await cluster.masterOf(key);
      const proxy = proxies[cluster.nodes.indexOf(master)]!;
      proxy.swallowReplies();
      const appended = outcomeOf(one.connection.call(['XADD', key, '*', 't', '1']));
      const both = outcomeOf(
        one.connection.transaction([
          ['XADD', key, '*', 't', '2'],
          ['XADD', key, '*', 't', '3'],
        ]),
      );
      await until(async () => (await master.command('XLEN', key)) === 3, { what: 'the entries' });
      proxy.cut();
      expect((await appended).error?.message).toMatch(/./);
      expect((await both).error?.message).toMatch(/./);
      await one.ready(2);
      expect(await one.entries(key)).toEqual(['1', '2', '3']);
      expect(one.events).toEqual(['ready', 'lost', 'ready']);
    });

    test('a master that falls silent is left by reset; commands for the others go on', async () => {
      const one = await new Probe(mapped()).ready();
      const master = await cluster.masterOf(key);
      const proxy = proxies[cluster.nodes.indexOf(master)]!;
      const elsewhere = await keyElsewhere(cluster, master);
      proxy.blackhole();
      const silent = outcomeOf(one.connection.call(['GET', key]));
      one.connection.reset();
      expect((await silent).error?.message).toMatch(/./);
      expect(one.connection.ready).toBe(true);
      expect((await outcomeOf(one.connection.call(['GET', key]))).ms).toBeLessThan(500);
      expect(await one.connection.call(['SET', elsewhere, 'v'])).toBe('OK');
      proxy.heal();
      await one.ready(2);
      expect(await one.connection.call(['SET', key, 'v'])).toBe('OK');
    });

    test.each([{ sharded: false }, { sharded: true }])(
      'an idle subscriber (sharded: $sharded) that is half-open is replaced by reset',
      async ({ sharded }) => {
        const one = await new Probe(mapped(), { role: 'subscriber', sharded, connectionName: 'idle' }).ready();
        expect(strand('idle')).toBe(sharded ? 3 : 1);
        one.connection.reset();
        await one.ready(2);
        await hears(one, sharded);
      },
    );

    test.each([{ sharded: false }, { sharded: true }])(
      'an idle subscriber (sharded: $sharded) that is half-open is noticed, and replaced, by itself',
      async ({ sharded }) => {
        const probe = { interval: 50, timeout: 300 };
        const one = await new Probe(mapped(), { role: 'subscriber', sharded, connectionName: 'idle', probe }).ready();
        await one.connection.subscribe([key]);
        await sleep(800);
        expect(one.events).toEqual(['ready']);
        // In a cluster with sharded channels, one that leads to a shard of which nothing was to be heard anyway.
        const [proxy] = proxies.filter((candidate) => candidate.strand('idle') > 0);
        expect(proxy).toBeDefined();
        await one.ready(2);
        await hears(one, sharded);
      },
    );

    const strand = (name: string): number => proxies.reduce((sum, proxy) => sum + proxy.strand(name), 0);
    const hears = async (subscriber: Probe, sharded: boolean): Promise<void> => {
      const publisher = await new Probe(mapped(), { sharded }).ready();
      const channels = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => name + key);
      await subscriber.connection.subscribe(channels);
      await Promise.all(channels.map((channel) => publisher.connection.publish(channel, Buffer.from('m'))));
      await until(() => subscriber.messages.length >= channels.length, { what: 'the messages' });
      expect(subscriber.messages.map(([channel]) => channel).sort()).toEqual(channels);
    };

    test('when no node can be reached, it is reported why, and all is rejected until one can', async () => {
      proxies.forEach((proxy) => proxy.refuse());
      const one = new Probe(mapped());
      await until(() => one.errors.length > 1, { what: 'two attempts' });
      expect(one.errors[0]?.message).toContain('ECONNREFUSED');
      expect((await outcomeOf(one.connection.call(['GET', key]))).error?.message).toContain('ECONNREFUSED');
      await Promise.all(proxies.map((proxy) => proxy.accept()));
      await one.ready();
      proxies.forEach((proxy) => proxy.refuse());
      proxies.forEach((proxy) => proxy.cut());
      await one.lost();
      const { error, ms } = await outcomeOf(one.connection.call(['XADD', key, '*', 't', '1']));
      expect(error?.message).toMatch(/./);
      expect(ms).toBeLessThan(500);
      await Promise.all(proxies.map((proxy) => proxy.accept()));
      await one.ready(2);
      expect(await one.connection.call(['EXISTS', key])).toBe(0);
    });
  });

  test('when the slot moves while entries are appended, none is lost or doubled, and the reader follows', async () => {
    const commands = await probe();
    const reader = await probe({ role: 'reader', key });
    const appender = appending(commands);
    const followed = follow(reader);
    await until(() => followed.texts.length > 50, { what: 'the first entries' });
    const to = await cluster.migrateSlot(key);
    const before = appender.count();
    await until(() => appender.count() > before + 50, { what: 'entries on the new master' });
    const count = await appender.stop();
    await until(() => followed.texts.length >= count, { what: 'all entries to be read' });
    await followed.stop();
    expect(followed.texts).toEqual(numbers(count));
    expect(await commands.entries(key)).toEqual(numbers(count));
    expect((await to.clients()).filter(({ cmd }) => cmd === 'xread').length).toBeGreaterThan(0);
  });

  test('a key whose slot is still being moved is used where it is', async () => {
    const commands = await probe();
    const reader = await probe({ role: 'reader', key });
    const from = await cluster.masterOf(key);
    const [to] = (await mastersOf(cluster)).filter((node) => node !== from);
    const slot = await cluster.slotOf(key);
    const idOf = async (node: RedisServer): Promise<string> => String(await node.command('CLUSTER', 'MYID'));
    await to!.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', await idOf(from));
    await from.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', await idOf(to!));
    // There is no such key yet, so it is created on the new master.
    await commands.connection.call(['XADD', key, '1-1', 't', '1']);
    await commands.connection.transaction([
      ['XADD', key, '1-2', 't', '2'],
      ['XADD', key, '1-3', 't', '3'],
    ]);
    expect(toStreamEntries(await reader.connection.call(['XREAD', 'STREAMS', key, '0']))).toHaveLength(3);
    const masters = await mastersOf(cluster);
    for (const node of [to!, from, ...masters]) {
      await node.command('CLUSTER', 'SETSLOT', slot, 'NODE', await idOf(to!));
    }
    await cluster.movedFrom(from, key);
    expect(await commands.entries(key)).toEqual(['1', '2', '3']);
    expect(commands.events).toEqual(['ready']);
  });

  test('when a replica takes over in good order, appending and reading go on', async () => {
    const commands = await probe();
    const reader = await probe({ role: 'reader', key });
    const subscriber = await probe({ role: 'subscriber' });
    const appender = appending(commands);
    const followed = follow(reader);
    await until(() => followed.texts.length > 20, { what: 'the first entries' });
    await cluster.failover(key);
    const before = appender.count();
    await until(() => appender.count() > before + 20, { what: 'entries on the new master' });
    const count = await appender.stop();
    await until(() => new Set(followed.texts).size >= count, { what: 'all entries to be read' });
    await followed.stop();
    expect([...new Set(followed.texts)]).toEqual(numbers(count));
    await subscriber.connection.subscribe([`c${key}`]);
    expect(await commands.connection.countSubscribers([`c${key}`])).toEqual([1]);
    // It may have lost what the former master had been told last, and is used at once.
    expect(commands.events.slice(0, 3)).toEqual(['ready', 'lost', 'ready']);
    expect(commands.errors[0]?.message).toMatch(/^127\.0\.0\.1:\d+ is no master any more/);
  }, 60_000);

  test('commands are refused while the master of the slot is dead, until its replica is promoted', async () => {
    await cluster.setNodeTimeout(NODE_TIMEOUT.short);
    const commands = await probe();
    const reader = await probe({ role: 'reader', key });
    const followed = follow(reader);
    await commands.connection.call(['XADD', key, '*', 't', 'before']);
    await until(() => followed.texts.length > 0, { what: 'the first entry' });
    const master = await cluster.masterOf(key);
    const elsewhere = await keyElsewhere(cluster, master);
    await (await cluster.replicasOf(key))[0]!.inSync();

    const killed = cluster.killMaster(key);
    await reader.lost();
    await until(() => commands.events.at(-1) === 'lost', { what: 'the loss to be reported' });
    expect((await outcomeOf(commands.connection.call(['XADD', key, '*', 't', 'refused']))).ms).toBeLessThan(500);
    expect(await commands.connection.call(['SET', elsewhere, 'v'])).toBe('OK');
    await killed;

    await Promise.all([commands.ready(2), reader.ready(2)]);
    await commands.connection.call(['XADD', key, '*', 't', 'after']);
    await until(() => followed.texts.includes('after'), { what: 'the entry of the new master' });
    await followed.stop();
    expect(followed.texts).toEqual(['before', 'after']);
    await master.restart();
    await until(async () => (await cluster.replicasOf(key)).includes(master), {
      what: 'the former master to be a replica',
    });
  }, 60_000);

  test('a subscriber whose node is killed goes to another', async () => {
    await cluster.setNodeTimeout(NODE_TIMEOUT.short);
    const subscriber = await probe({ role: 'subscriber', connectionName: 'chooser' });
    const commands = await probe();
    const nodes = await Promise.all(
      cluster.nodes.map(async (node) => ((await node.clients()).some(({ name }) => name === 'chooser') ? [node] : [])),
    );
    const [node] = nodes.flat();
    await node!.kill();
    await Promise.all([subscriber.ready(2), commands.ready(2)]);
    await subscriber.connection.subscribe([key]);
    await commands.connection.publish(key, Buffer.from('m'));
    await until(() => subscriber.messages.length > 0, { what: 'the message' });
    await node!.restart();
    await until(async () => String(await node!.command('CLUSTER', 'INFO')).includes('cluster_state:ok'), {
      what: 'the node',
    });
  }, 60_000);

  afterEach(async () => {
    await cluster.setNodeTimeout(NODE_TIMEOUT.usual);
    await until(
      async () =>
        (await Promise.all(cluster.nodes.map((node) => node.command('CLUSTER', 'INFO')))).every((info) =>
          String(info).includes('cluster_state:ok'),
        ),
      {
        what: 'the cluster to be whole',
        timeout: 20_000,
      },
    );
  });
});

async function mastersOf(cluster: RedisCluster): Promise<RedisServer[]> {
  const roles = await Promise.all(
    cluster.nodes.map(async (node) => ({ node, role: (await node.info('replication'))['role'] })),
  );
  return roles.filter(({ role }) => role === 'master').map(({ node }) => node);
}

/** A key that another master serves. */
async function keyElsewhere(cluster: RedisCluster, master: RedisServer): Promise<string> {
  for (let i = 0; ; i++) {
    if ((await cluster.masterOf(`elsewhere-${i}`)) !== master) {
      return `elsewhere-${i}`;
    }
  }
}
