import { afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { allReceived, Member, numbers, RedisCluster, RedisServer, until } from '../kit/index.js';
import { clusterRows, singleRows } from '../redis/rows.js';

const LOGIN = { username: 'app', password: 'secret' };
const ALL_RIGHTS = ['on', `>${LOGIN.password}`, '~*', '&*', '+@all'];

interface Deployment {
  servers: readonly RedisServer[];
  /** A client of the user `app`; it is never connected itself. */
  create: () => { disconnect: () => void };
  master: () => Promise<RedisServer>;
}

let single: RedisServer;
let cluster: RedisCluster;
let deployment: Deployment;

async function setRights(...rules: string[]): Promise<void> {
  await Promise.all(deployment.servers.map((server) => server.command('ACL', 'SETUSER', LOGIN.username, ...rules)));
}

async function connections(): Promise<number> {
  const stats = await Promise.all(deployment.servers.map((server) => server.info('stats')));
  return stats.reduce((sum, { total_connections_received: count }) => sum + Number(count), 0);
}

async function streamLength(): Promise<number> {
  return Number(await (await deployment.master()).command('XLEN', 'socket.io'));
}

/** Two nodes of the user, which have heard each other. */
async function startPair(): Promise<[Member, Member]> {
  const { create } = deployment;
  const Client = class {
    constructor() {
      return Object.assign(create(), { disconnect: () => undefined });
    }
  };
  const pair: [Member, Member] = [await Member.start({ port: 0, Client }), await Member.start({ port: 0, Client })];
  pair[0].io.emit('msg', 0);
  await allReceived(pair, 1);
  return pair;
}

beforeAll(async () => {
  single = await RedisServer.start();
  cluster = await RedisCluster.start();
}, 60_000);

afterEach(async () => {
  await Promise.all(deployment.servers.map((server) => server.command('FLUSHALL').catch(() => undefined)));
});

const isLatest = ({ name }: { name: string }): boolean => ['ioredis 6', 'redis 6'].includes(name);

describe.each([
  ...singleRows.filter(isLatest).map(({ name, create }) => ({
    name: `a single server, ${name}`,
    deploy: (): Deployment => ({
      ...{ servers: [single], create: () => create(single.port, LOGIN) as { disconnect: () => void } },
      master: () => Promise.resolve(single),
    }),
  })),
  ...clusterRows.filter(isLatest).map(({ name, create }) => ({
    name: `Redis Cluster, ${name}`,
    deploy: (): Deployment => ({
      ...{ servers: cluster.nodes, create: () => create(cluster.rootNodes, LOGIN) as { disconnect: () => void } },
      master: () => cluster.masterOf('socket.io'),
    }),
  })),
])('what a user may not do for a time ($name)', ({ deploy }) => {
  beforeAll(async () => {
    deployment = deploy();
    await setRights('reset', ...ALL_RIGHTS);
  });

  test.each([
    ['append', ['-xadd'], ['+xadd']],
    ['read', ['-xread', '-xrange'], ['+xread', '+xrange']],
    ['use the stream', ['resetkeys', '~sio:session:*'], ['~*']],
  ])('%s: status names it, and it is tried again on the same connections', async (_what, take, give) => {
    const [sender, receiver] = await startPair();
    const before = await connections();
    await setRights(...take);
    for (const i of numbers(50)) sender.io.emit('msg', 1 + i);
    await until(() => sender.node.status().reasons.some((reason) => /NOPERM|permission/i.test(reason)), {
      what: 'the reason to be reported',
    });
    await setRights(...give);
    await allReceived([sender, receiver], 51);
    expect(receiver.received).toEqual(numbers(51));
    await until(() => [sender, receiver].every(({ node }) => node.status().state === 'running'), {
      what: 'both nodes to run',
    });
    expect(await connections()).toBe(before);
  });

  test.each(['multi', 'exec'])(
    '%s: status names it, and the stream does not grow by the same batch',
    async (command) => {
      const [sender, receiver] = await startPair();
      await setRights(`-${command}`);
      for (const i of numbers(50)) sender.io.emit('msg', 1 + i);
      await until(() => sender.node.status().reasons.some((reason) => /MULTI|EXEC|NOPERM/i.test(reason)), {
        what: 'the reason to be reported',
      });
      const length = await streamLength();
      expect(length).toBeLessThanOrEqual(51);
      await new Promise((resolve) => setTimeout(resolve, 500)); // for more tries
      expect(await streamLength()).toBe(length);
      await setRights(`+${command}`);
      await allReceived([sender, receiver], 51);
      expect(receiver.received).toEqual(numbers(51));
      expect(await streamLength()).toBeLessThanOrEqual(101);
    },
  );
});
