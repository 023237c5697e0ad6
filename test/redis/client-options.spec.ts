import { describe, expect, test } from '@jest/globals';
import { Redis as Ioredis6 } from 'ioredis';
import { Redis as Ioredis5 } from 'ioredis-5';
import { Redis as Iovalkey } from 'iovalkey';
import * as redis6 from 'redis';
import * as redis4 from 'redis-4';
import * as redis5 from 'redis-5';
import { closeAfterwards, RedisServer, until } from '../kit/index.js';
import { LocalServer } from '../kit/local-server.js';
import { createNotedAdapter } from '../kit/noted-adapter.js';
import { TestClient } from '../kit/test-client.js';

/** What changes how a client of ioredis or iovalkey waits, retries or replies. */
const OF_IOREDIS: object[] = [
  ...[{ enableOfflineQueue: false }, { maxRetriesPerRequest: 0 }, { maxRetriesPerRequest: null }],
  ...[{ enableReadyCheck: false }, { enableAutoPipelining: true }, { stringNumbers: true }, { readOnly: true }],
  ...[{ retryStrategy: () => null }, { reconnectOnError: () => true }, { commandTimeout: 50 }, { socketTimeout: 100 }],
  ...[{ monitor: true }, { autoResubscribe: false }, { connectionName: 'mine' }, { protocol: 2 }, { protocol: 3 }],
  ...[{ replyTransformer: () => 'x' }, { keyPrefix: 'k:' }],
];
/** Likewise for node-redis. */
const OF_NODE_REDIS: object[] = [
  ...[{ disableOfflineQueue: true }, { commandsQueueMaxLength: 1 }, { pingInterval: 20 }, { readonly: true }],
  ...[
    { RESP: 2 },
    { RESP: 3 },
    { legacyMode: true },
    { disableClientInfo: true },
    { name: 'mine' },
    { keyPrefix: 'k:' },
  ],
  ...[{ RESP: 3, commandOptions: { typeMapping: { 36: Buffer } } }, { commandOptions: { timeout: 50 } }],
  ...[{ socket: { reconnectStrategy: false } }, { socket: { reconnectStrategy: () => new Error('no') } }],
  ...[{ socket: { socketTimeout: 100 } }, { maintNotifications: 'disabled' }],
  { RESP: 3, clientSideCache: { ttl: 0, maxEntries: 0, evictPolicy: 'LRU' } },
];

const ofIoredis = (Redis: new (options: any) => object) => (port: number, options: object) =>
  new Redis({ port, lazyConnect: true, ...options });
const ofNodeRedis =
  (redis: { createClient: (options: any) => unknown }) => (port: number, options: { socket?: object }) =>
    redis.createClient({ ...options, socket: { port, ...options.socket } }) as object;

describe('Options of a client that is passed in', () => {
  test.each<[string, (port: number, options: object) => object, object[]]>([
    ['ioredis 5', ofIoredis(Ioredis5), OF_IOREDIS],
    ['ioredis 6', ofIoredis(Ioredis6), OF_IOREDIS],
    ['iovalkey', ofIoredis(Iovalkey), OF_IOREDIS],
    ['redis 4', ofNodeRedis(redis4), OF_NODE_REDIS],
    ['redis 5', ofNodeRedis(redis5), OF_NODE_REDIS],
    ['redis 6', ofNodeRedis(redis6), OF_NODE_REDIS],
  ])(
    'change nothing for the nodes that use it, through a lost connection too: %s',
    async (_name, create, all) => {
      const redis = await RedisServer.start();
      await Promise.all(
        all.map(async (options, i) => {
          const streamName = `stream-${i}`;
          const times = { heartbeatInterval: 200, heartbeatTimeout: 2_000, blockTimeInMs: 300 };
          const start = async (): Promise<
            LocalServer & { node: ReturnType<typeof createNotedAdapter>['factory']['node'] }
          > => {
            const { factory } = createNotedAdapter(create(redis.port, options), { ...times, streamName });
            const server = closeAfterwards(new LocalServer(factory));
            await server.listen();
            await factory.node.start();
            return Object.assign(server, { node: factory.node });
          };
          const [a, b] = [await start(), await start()];
          const client = closeAfterwards(await TestClient.connect(b.url, { answer: 1 }));
          const exchange = async (round: number): Promise<void> => {
            await until(async () => (await a.io.of('/').adapter.serverCount()) === 2, {
              what: `both, ${inspect(options)}`,
            });
            a.io.emit('event', round, Buffer.from('a'));
            await until(() => client.argumentsOf('event').length === round, { what: `the event, ${inspect(options)}` });
            expect(await a.io.timeout(5_000).emitWithAck('question')).toEqual([1]);
            expect(await a.io.fetchSockets()).toHaveLength(1);
          };
          await exchange(1);
          await redis.killClients(({ name }) => name.includes(a.node.id) || name.includes(b.node.id));
          await until(() => [a, b].every(({ node }) => node.status().state === 'running'), {
            what: 'both nodes again',
          });
          await exchange(2);
        }),
      );
    },
    60_000,
  );
});

function inspect(options: object): string {
  return Object.keys(options).join();
}
