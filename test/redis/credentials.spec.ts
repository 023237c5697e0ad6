import { createRequire } from 'node:module';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { redisSentinelDriver } from '../../lib/redis/drivers/node-redis-sentinel.driver.js';
import { RedisCluster, RedisSentinel, RedisServer, until } from '../kit/index.js';
import { clusterRows, Probe, sentinelRows, singleRows } from './rows.js';

const require = createRequire(import.meta.url);
const redis = { 5: require('redis-5'), 6: require('redis') };

/** Changes the password of the user `app`, and ends all connections of ours. */
async function changePassword(servers: readonly RedisServer[], password: string): Promise<void> {
  await Promise.all(
    servers.map(async (server) => {
      await server.command('ACL', 'SETUSER', 'app', 'on', 'resetpass', `>${password}`, '~*', '&*', '+@all');
      await server.killClients(({ name, user }) => name === 'login' && user === 'app');
    }),
  );
}

const login = { username: 'app', password: 'one' };
const connectionName = 'login';

/** A connection that logs in with one password, and with another when that was changed in Redis and by `change`. */
async function followsChange(servers: readonly RedisServer[], client: unknown, change: () => void): Promise<void> {
  await changePassword(servers, 'one');
  const one = await new Probe(client, { connectionName }).ready();
  await changePassword(servers, 'two');
  await until(() => one.errors.some(({ message }) => message.includes('WRONGPASS')), { what: 'the refusal' });
  change();
  await one.ready(2);
}

/** Credentials as node-redis asks for them, and how often it has. */
function provider(): { password: string; asked: number; credentialsProvider: object } {
  const given = {
    password: 'one',
    asked: 0,
    credentialsProvider: {
      type: 'async-credentials-provider',
      credentials: () => {
        given.asked++;
        return Promise.resolve({ username: 'app', password: given.password });
      },
    },
  };
  return given;
}

let server: RedisServer;
let cluster: RedisCluster;
let group: RedisSentinel;
beforeAll(async () => {
  [server, cluster, group] = await Promise.all([
    RedisServer.start(),
    RedisCluster.start({ replicas: 0 }),
    RedisSentinel.start(),
  ]);
}, 60_000);

const createCluster = (version: 5 | 6, defaults: object): unknown =>
  redis[version].createCluster({ rootNodes: cluster.rootNodes.map((socket) => ({ socket })), defaults });
const createSentinel = (version: 5 | 6, nodeClientOptions: object): unknown => {
  const options = { name: group.name, sentinelRootNodes: group.addresses, nodeClientOptions };
  return version === 5 ? redisSentinelDriver(redis[5].createSentinel, options) : redis[6].createSentinel(options);
};

describe('a password that was changed in the options of the client is used for the next connection', () => {
  test.each(singleRows)('$name with a single server', async ({ create }) => {
    const client = create(server.port, login);
    await followsChange([server], client, () => (client.options.password = 'two'));
  });

  test.each(clusterRows.filter(({ name }) => name.startsWith('ioredis')))(
    '$name with a cluster',
    async ({ create }) => {
      const client = create(cluster.rootNodes, login);
      await followsChange(cluster.nodes, client, () => (client.options.redisOptions.password = 'two'));
    },
  );

  test.each([5, 6] as const)('redis %i with a cluster', async (version) => {
    const defaults = { ...login };
    await followsChange(cluster.nodes, createCluster(version, defaults), () => (defaults.password = 'two'));
  });

  test.each(sentinelRows.filter(({ name }) => name.startsWith('ioredis')))(
    '$name with Sentinel',
    async ({ create }) => {
      const client = create({ name: group.name, addresses: group.addresses }, login);
      await followsChange(group.servers, client, () => (client.options.password = 'two'));
    },
  );

  test.each([5, 6] as const)('redis %i with Sentinel', async (version) => {
    const nodeClientOptions = { ...login };
    const client = createSentinel(version, nodeClientOptions);
    await followsChange(group.servers, client, () => (nodeClientOptions.password = 'two'));
  });
});

describe('a credentialsProvider is asked before each connection', () => {
  const asks = async (
    servers: readonly RedisServer[],
    create: (credentialsProvider: object) => unknown,
  ): Promise<void> => {
    const given = provider();
    let before = 0;
    await followsChange(servers, create(given.credentialsProvider), () => {
      before = given.asked;
      given.password = 'two';
    });
    expect(before).toBeGreaterThan(0);
    expect(given.asked).toBeGreaterThan(before);
  };

  test.each([5, 6] as const)('redis %i with a single server', (version) =>
    asks([server], (credentialsProvider) =>
      redis[version].createClient({ socket: { host: '127.0.0.1', port: server.port }, credentialsProvider }),
    ),
  );
  test.each([5, 6] as const)('redis %i with a cluster', (version) =>
    asks(cluster.nodes, (credentialsProvider) => createCluster(version, { credentialsProvider })),
  );
  test.each([5, 6] as const)('redis %i with Sentinel', (version) =>
    asks(group.servers, (credentialsProvider) => createSentinel(version, { credentialsProvider })),
  );
});
