import { beforeEach, describe, expect, test } from '@jest/globals';
import { Controller, Get, type INestApplication } from '@nestjs/common';
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import type { Server } from 'socket.io';
import {
  RedisStreamsAdapterModule,
  RedisStreamsHealthIndicator,
  RedisStreamsMonitor,
  type RedisStreamsClusterChecks,
  type RedisStreamsHealthChecks,
} from 'nestjs-redis-streams-adapter';
import { RedisServer, TcpProxy, until } from '../kit/index.js';
import { connect, FAST, portOf, startApp } from './nest-app.js';

let checks: RedisStreamsHealthChecks | undefined;
let clusterChecks: RedisStreamsClusterChecks | undefined;
beforeEach(() => {
  checks = undefined;
  clusterChecks = undefined;
});

/** Terminus logs each check that fails. */
const SilentTerminusModule = TerminusModule.forRoot({ logger: false });

@Controller('health')
class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly redisStreams: RedisStreamsHealthIndicator,
  ) {}

  @Get()
  @HealthCheck()
  check() {
    return this.health.check([() => this.redisStreams.isHealthy('redis-streams', checks)]);
  }

  @Get('cluster')
  @HealthCheck()
  checkCluster() {
    return this.health.check([() => this.redisStreams.isClusterHealthy('redis-streams', clusterChecks)]);
  }
}

@WebSocketGateway()
class Gateway {
  @WebSocketServer() server!: Server;
}

const start = (port: number, terminus: any[] = [SilentTerminusModule]) =>
  startApp({
    imports: [...terminus, RedisStreamsAdapterModule.forRoot({ connection: { port }, ...FAST, closeTimeout: 100 })],
    controllers: terminus.length > 0 ? [HealthController] : [],
    providers: [Gateway],
  });

async function healthOf(app: INestApplication, path = '/health'): Promise<any> {
  const response = await fetch(`http://127.0.0.1:${portOf(app)}${path}`);
  const { details } = (await response.json()) as any;
  return { code: response.status, ...details['redis-streams'] };
}

const untilUp = (app: INestApplication, timeout = 10_000) =>
  until(async () => (await healthOf(app)).status === 'up', { what: 'the health to be up', timeout });
const untilDown = (app: INestApplication) =>
  until(
    async () => {
      const health = await healthOf(app);
      return health.status === 'down' && health;
    },
    { what: 'the health to be down' },
  );

test('is up, and its details name every node', async () => {
  const redis = await RedisServer.start();
  const [app, other] = await Promise.all([start(redis.port), start(redis.port)]);
  await connect(portOf(app));
  await until(() => app.get(RedisStreamsMonitor).nodes.length === 2, { what: 'two nodes' });

  const health = await healthOf(app);
  expect(health).toMatchObject({ code: 200, status: 'up', state: 'running', reasons: [] });
  expect(health.id).toBe(app.get(RedisStreamsMonitor).status.id);
  expect(health.nodes).toEqual([
    {
      ...{ id: health.id, host: expect.any(String), pid: process.pid, state: 'up', sockets: 1, self: true },
      lastSeen: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    },
    expect.objectContaining({ id: other.get(RedisStreamsMonitor).status.id, state: 'up', self: false }),
  ]);
  expect(health.streams).toEqual([{ name: 'socket.io', lagMs: 0, backlog: 0, outbox: { entries: 0, bytes: 0 } }]);
});

test('is down with the reason while Redis is away, and up at once when it is back', async () => {
  const redis = await RedisServer.start();
  const app = await startApp({
    imports: [SilentTerminusModule, RedisStreamsAdapterModule.forRoot({ connection: { port: redis.port } })],
    controllers: [HealthController],
  });
  await untilUp(app);

  await redis.stop();
  const health = await untilDown(app);
  expect(health).toMatchObject({ code: 503, state: 'degraded' });
  expect(health.reasons.join()).toMatch(/connection is lost: .*closed|ECONNREFUSED/);
  expect(health.nodes).toHaveLength(1);

  await redis.restart();
  await untilUp(app, 3_500);
  expect(await healthOf(app)).toMatchObject({ code: 200, reasons: [] });
});

test('is down while Redis hangs', async () => {
  const redis = await RedisServer.start();
  const imports = [
    SilentTerminusModule,
    RedisStreamsAdapterModule.forRoot({
      ...{ connection: { port: redis.port }, ...FAST },
      ...{ blockTimeInMs: 100, commandTimeout: 200, closeTimeout: 100 },
    }),
  ];
  const app = await startApp({ imports, controllers: [HealthController] });
  redis.pause();
  await untilDown(app);
  redis.resume();
  await untilUp(app);
});

describe('isClusterHealthy', () => {
  const clusterHealthOf = (app: INestApplication) => healthOf(app, '/health/cluster');
  const untilCluster = (app: INestApplication, status: 'up' | 'down') =>
    until(
      async () => {
        const health = await clusterHealthOf(app);
        return health.status === status && health;
      },
      { what: `the cluster's health to be ${status}` },
    );

  test('is down while there are fewer nodes than minNodes, and isHealthy, which readiness asks, is up', async () => {
    const redis = await RedisServer.start();
    const app = await start(redis.port);
    clusterChecks = { minNodes: 2 };
    expect(await clusterHealthOf(app)).toMatchObject({
      code: 503,
      status: 'down',
      state: 'running',
      reasons: ['1 of at least 2 nodes is there (minNodes)'],
    });
    expect(await healthOf(app)).toMatchObject({ code: 200, status: 'up', reasons: [] });

    const other = await start(redis.port);
    await untilCluster(app, 'up');
    await other.close();
    const health = await untilCluster(app, 'down');
    expect(health.nodes[1].state).toBe('left');
    expect(await healthOf(app)).toMatchObject({ code: 200, status: 'up' });
  });

  test('does not count nodes without heartbeats, and names them', async () => {
    const redis = await RedisServer.start();
    const app = await start(redis.port);
    clusterChecks = { minNodes: 2 };
    await redis.command('XADD', 'socket.io', '*', 'uid', 'other', 'nsp', '/', 'type', '4', 'data', '{}');
    await until(() => app.get(RedisStreamsMonitor).nodes.length === 2, { what: 'the other node' });
    const health = await clusterHealthOf(app);
    expect(health).toMatchObject({ code: 503, reasons: ['1 of at least 2 nodes is there (minNodes)'] });
    expect(health.nodes[1]).toMatchObject({ id: 'other', state: 'unmonitored' });
  });

  test('counts a node that is suspect, and not one that is down', async () => {
    const indicator = (state: string) =>
      new RedisStreamsHealthIndicator({
        status: () => ({ id: 'a', state: 'running', reasons: [], streams: [] }),
        nodes: () => [
          { state: 'up', lastSeen: 0, self: true },
          { state, lastSeen: 0, self: false },
        ],
      } as any);
    expect(await indicator('suspect').isClusterHealthy('c', { minNodes: 2 })).toMatchObject({ c: { status: 'up' } });
    expect(await indicator('down').isClusterHealthy('c', { minNodes: 2 })).toMatchObject({ c: { status: 'down' } });
  });

  test.each<[any, string]>([
    [{ minNodes: 0 }, 'checks.minNodes: 0 is not allowed. Give a number from 1.'],
    [{ minNodes: '2' }, 'checks.minNodes: "2" is not allowed'],
    [{ maxLagMs: 1 }, 'checks.maxLagMs: 1 is not allowed. Give one of the checks minNodes.'],
  ])('refuses the checks %p', async (wrong, message) => {
    const redis = await RedisServer.start();
    const app = await start(redis.port);
    await expect(app.get(RedisStreamsHealthIndicator).isClusterHealthy('node', wrong)).rejects.toThrow(message);
  });
});

test('is down while more broadcasts wait for Redis than allowed', async () => {
  const redis = await RedisServer.start();
  const proxy = await TcpProxy.start(redis.port);
  const app = await start(proxy.port);
  checks = { maxOutboxEntries: 10, maxOutboxBytes: 100_000 };
  proxy.blackhole();
  for (let i = 0; i < 10; i++) {
    app.get(Gateway).server.emit('waits');
  }
  expect(await healthOf(app)).toMatchObject({ status: 'up' });

  app.get(Gateway).server.emit('waits too');
  expect((await healthOf(app)).reasons).toEqual([
    '11 broadcasts for the stream "socket.io" wait for Redis (maxOutboxEntries: 10)',
  ]);

  checks = { maxOutboxBytes: 100_000 };
  app.get(Gateway).server.emit('waits too', 'x'.repeat(100_000));
  expect((await healthOf(app)).reasons.join()).toMatch(
    /bytes of broadcasts for the stream "socket.io" wait for Redis \(maxOutboxBytes: 100000\)/,
  );
  proxy.heal();
  await untilUp(app);
});

describe('bounds for the reader', () => {
  const statusOf = (backlog: number, lagMs: number) => ({
    ...{ id: 'a', state: 'running', reasons: [] },
    streams: [{ name: 'chat', backlog, lagMs, outbox: { entries: 0, bytes: 0 } }],
  });
  const reasonsOf = async (status: unknown, bounds?: RedisStreamsHealthChecks) => {
    const node = { status: () => status, nodes: () => [{ state: 'up', lastSeen: 0, self: true }] };
    const result = await new RedisStreamsHealthIndicator(node as any).isHealthy('r', bounds);
    expect(result.r.status).toBe(result.r.reasons.length === 0 ? 'up' : 'down');
    return result.r.reasons;
  };

  test.each([
    [10, 100, []],
    [11, 100, ['11 entries of the stream "chat" wait for delivery (maxBacklog: 10)']],
    [10, 101, ['the stream "chat" is read 101 ms late (maxLagMs: 100)']],
  ])('a backlog of %i and a lag of %i ms', async (backlog, lagMs, reasons) => {
    expect(await reasonsOf(statusOf(backlog, lagMs), { maxBacklog: 10, maxLagMs: 100 })).toEqual(reasons);
  });

  test.each([
    ['starting', 'Redis has not been reached yet'],
    ['closed', 'the node is closed'],
  ])('a node that is %s is down', async (state, reason) => {
    expect(await reasonsOf({ ...statusOf(0, 0), state })).toEqual([reason]);
  });
});

test('needs no TerminusModule', async () => {
  const redis = await RedisServer.start();
  const app = await start(redis.port, []);
  expect(await app.get(RedisStreamsHealthIndicator).isHealthy('node')).toMatchObject({ node: { status: 'up' } });
});

test('works with TerminusModule as it is', async () => {
  const redis = await RedisServer.start();
  const app = await start(redis.port, [TerminusModule]);
  expect(await healthOf(app)).toMatchObject({ status: 'up' });
});

test.each<[any, string]>([
  [
    { minNodes: 2 },
    'checks maxLagMs, maxBacklog, maxOutboxEntries, maxOutboxBytes; how many nodes there are is for isClu',
  ],
  [{ maxBacklog: '2' }, 'checks.maxBacklog: "2" is not allowed'],
  [{ maxLagMs: NaN }, 'checks.maxLagMs: NaN is not allowed. Give a number from 0.'],
  [{ maxLag: 1 }, 'checks.maxLag: 1 is not allowed. Give one of the checks maxLagMs'],
  [null, 'checks: null is not allowed. Give an object with maxLagMs, maxBacklog'],
])('refuses the checks %p', async (wrong, message) => {
  const redis = await RedisServer.start();
  const app = await start(redis.port);
  await expect(app.get(RedisStreamsHealthIndicator).isHealthy('node', wrong)).rejects.toThrow(message);
});
