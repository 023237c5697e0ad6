import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { ClusterNode } from '../../lib/cluster/cluster-node.js';
import type { RedisStreamsAdapterOptions } from '../../lib/cluster/options.js';
import { closeAfterwards, freePort, RedisServer, TcpProxy, until } from '../kit/index.js';

const FAST = { heartbeatInterval: 100, heartbeatTimeout: 500, commandTimeout: 500, closeTimeout: 300 };

describe('ClusterNode', () => {
  let redis: RedisServer;
  let client: Redis;
  let lines: string[];

  beforeEach(async () => {
    redis = await RedisServer.start();
    client = clientOf(redis.port);
    lines = [];
  });
  afterEach(() => client.disconnect());

  function clientOf(port: number): Redis {
    const made = new Redis(port, '127.0.0.1', { lazyConnect: true, retryStrategy: () => 20 });
    made.on('error', () => undefined);
    return made;
  }

  function make(options: RedisStreamsAdapterOptions = {}, from: unknown = client, role?: 'observer'): ClusterNode {
    const line = (text: string): void => void lines.push(text);
    const logger = { log: line, warn: line, error: line };
    return closeAfterwards(new ClusterNode(from, { ...FAST, ...options }, logger, role));
  }

  /** The roles of a node's connections, as Redis knows them. */
  async function rolesOf({ id }: ClusterNode): Promise<string[]> {
    const names = (await redis.clients()).map(({ name }) => name);
    return names
      .filter((name) => name.includes(id))
      .map((name) => name.split(':').at(-1)!)
      .sort();
  }

  test('opens nothing before it is started, and has no parts that others could use', async () => {
    const node = make();
    expect([node.status().state, node.nodes().map(({ id }) => id)]).toEqual(['starting', [node.id]]);
    for (const use of [() => node.bus, () => node.sessions, () => node.logOf('/')]) {
      expect(use).toThrow(/has not been started: call start/);
    }
    expect(await rolesOf(node)).toEqual([]);
  });

  test('runs when the ends of its streams are known and its channels are subscribed, once for all calls', async () => {
    const node = make({ streamCount: 2 });
    const starting = node.start();
    expect(node.start()).toBe(starting);
    await starting;
    expect(node.status()).toMatchObject({ state: 'running', reasons: [] });
    expect(node.status().streams.map(({ position }) => position)).toEqual(['0-0', '0-0']);
    expect(await rolesOf(node)).toEqual(['commands', 'reader', 'reader', 'subscriber']);
    expect(lines).toContainEqual(expect.stringContaining(`this node is ${node.id}`));
    expect(lines).toContainEqual(expect.stringContaining('the stream "socket.io-0", "socket.io-1"'));
  });

  test('that only observes reads no stream, and is none of the nodes', async () => {
    const [node, observer] = [make(), make({}, client, 'observer')];
    await Promise.all([node.start(), observer.start()]);
    await until(() => observer.nodes().length === 1, { what: 'the node to be seen' });
    expect(observer.nodes()[0]!.id).toBe(node.id);
    expect(await rolesOf(observer)).toEqual(['commands', 'subscriber']);
    expect(node.nodes().map(({ id }) => id)).toEqual([node.id]);
  });

  test('says goodbye, closes all that is its own and leaves the client alone when it is closed', async () => {
    const [node, other] = [make(), make()];
    await Promise.all([node.start(), other.start()]);
    await until(() => other.nodes().length === 2, { what: 'the nodes to know each other' });
    const closing = node.close();
    expect([node.isClosing, node.close()]).toEqual([true, closing]);
    await closing;
    expect(node.status().state).toBe('closed');
    expect(await rolesOf(node)).toEqual([]);
    await until(() => other.nodes()[1]?.state === 'left', { what: 'the goodbye', timeout: 400 });
    expect(await client.ping()).toBe('PONG');
  });

  test('that was never started is closed for ever, and no start opens anything', async () => {
    const node = make();
    await node.close();
    await node.start();
    expect(node.status().state).toBe('closed');
    expect(await rolesOf(node)).toEqual([]);
  });

  test('that is closed while it starts ends both, without Redis too', async () => {
    const away = make({}, clientOf(await freePort()));
    const starting = away.start();
    await away.close();
    await starting;
    expect(away.status().state).toBe('closed');
  });

  test('fails to start in vain with the reason, and is closed then', async () => {
    const node = make({ startTimeout: 200 }, clientOf(await freePort()));
    await expect(node.start()).rejects.toMatchObject({
      code: 'REDIS_STREAMS_CLIENT',
      message: expect.stringMatching(/cannot be used after 200 ms \(startTimeout\): .*ECONNREFUSED.*onStartTimeout/),
    });
    expect(node.status().state).toBe('closed');
  });

  test('with onStartTimeout "degrade" starts without Redis, and runs when that is there', async () => {
    const proxy = await TcpProxy.start(redis.port);
    proxy.refuse();
    const node = make({ startTimeout: 200, onStartTimeout: 'degrade' }, clientOf(proxy.port));
    await node.start();
    expect(node.status().state).toBe('starting');
    expect(lines).toContainEqual(expect.stringMatching(/starts without Redis: .*wait in the outbox/));
    await proxy.accept();
    await until(() => node.status().state === 'running', { what: 'the node to run' });
  });

  test('calls those who have subscribed with what happens, until they leave', async () => {
    const node = make();
    const seen: string[] = [];
    const leave = node.subscribe({
      onEvent: ({ type }) => seen.push(type),
      onStatus: () => seen.push(node.status().state),
      onNodes: (nodes) => seen.push(`${nodes.length} nodes`),
    });
    await node.start();
    expect(seen).toEqual(expect.arrayContaining(['starting', 'running', '1 nodes']));
    leave();
    seen.length = 0;
    await node.close();
    expect(seen).toEqual([]);
  });
});
