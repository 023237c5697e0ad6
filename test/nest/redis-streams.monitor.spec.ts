import { expect, test } from '@jest/globals';
import { config, lastValueFrom, skip, take, toArray, type Observable } from 'rxjs';
import { WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import type { Server } from 'socket.io';
import { RedisStreamsAdapterModule, RedisStreamsMonitor, type ClusterEvent } from 'nestjs-redis-streams-adapter';
import { closeAfterwards, RedisServer, TcpProxy, until } from '../kit/index.js';
import { connect, FAST, init, portOf, startApp } from './nest-app.js';

/** A node without a server, and its monitor. */
async function startNode(port: number) {
  const imports = [RedisStreamsAdapterModule.forRoot({ connection: { port }, ...FAST, closeTimeout: 100 })];
  const app = await init({ imports });
  return { app, monitor: app.get(RedisStreamsMonitor) };
}

/** Everything that the stream brings, and whether it is complete. */
function record<T>(stream: Observable<T>) {
  const seen = { values: [] as T[], complete: false };
  const subscription = stream.subscribe({
    next: (value) => seen.values.push(value),
    complete: () => (seen.complete = true),
  });
  closeAfterwards({ close: () => subscription.unsubscribe() });
  return seen;
}

const types = (events: ClusterEvent[]) => events.map(({ type }) => type);

test('nodes$ begins with the current list, this node first, and follows joining and leaving', async () => {
  const redis = await RedisServer.start();
  const { monitor } = await startNode(redis.port);
  const nodes = record(monitor.nodes$);
  expect(nodes.values).toHaveLength(1);
  expect(nodes.values[0]).toMatchObject([{ id: monitor.status.id, pid: process.pid, state: 'up', self: true }]);
  expect(nodes.values[0]).toEqual(monitor.nodes.map((node) => ({ ...node, lastSeen: expect.any(Number) })));

  const other = await startNode(redis.port);
  await until(() => nodes.values.at(-1)!.length === 2, { what: 'the other node' });
  expect(nodes.values.at(-1)![1]).toMatchObject({ id: other.monitor.status.id, state: 'up', self: false });
  await other.app.close();
  await until(() => nodes.values.at(-1)![1]!.state === 'left', { what: 'its goodbye' });
});

test('nodes$ follows a node that falls silent, and comes back', async () => {
  const redis = await RedisServer.start();
  const proxy = await TcpProxy.start(redis.port);
  const [{ monitor }, other] = await Promise.all([startNode(redis.port), startNode(proxy.port)]);
  await until(() => monitor.nodes.length === 2, { what: 'two nodes' });
  const nodes = record(monitor.nodes$);
  const events = record(monitor.events$);

  proxy.refuse();
  proxy.cut();
  await until(() => nodes.values.at(-1)![1]!.state === 'down', { what: 'the other node to be down' });
  await proxy.accept();
  await until(() => nodes.values.at(-1)![1]!.state === 'up', { what: 'the other node to be up' });

  const states = nodes.values.map((list) => list[1]!.state);
  expect(states.filter((state, i) => state !== states[i - 1])).toEqual(['up', 'suspect', 'down', 'up']);
  expect(types(events.values)).toEqual(['node-suspected', 'node-down', 'node-back']);
  expect((events.values[1] as { node: unknown }).node).toMatchObject({ id: other.monitor.status.id, state: 'down' });
});

test('nodes$ shows how many sockets this node has', async () => {
  const redis = await RedisServer.start();
  @WebSocketGateway()
  class Gateway {
    @WebSocketServer() server!: Server;
  }
  const imports = [RedisStreamsAdapterModule.forRoot({ connection: { port: redis.port }, ...FAST })];
  const app = await startApp({ imports, providers: [Gateway] });
  const nodes = record(app.get(RedisStreamsMonitor).nodes$);
  const client = await connect(portOf(app));
  await until(() => nodes.values.at(-1)![0]!.sockets === 1, { what: 'the socket' });
  client.disconnect();
  await until(() => nodes.values.at(-1)![0]!.sockets === 0, { what: 'the socket to be gone' });
});

test('a list in which nothing has changed is not repeated', async () => {
  const redis = await RedisServer.start();
  const { app, monitor } = await startNode(redis.port);
  const nodes = record(monitor.nodes$);
  const heartbeats = record(monitor.status$);
  const before = Number((await redis.info('stats'))['total_commands_processed']);
  await until(async () => Number((await redis.info('stats'))['total_commands_processed']) > before + 20, {
    what: 'some heartbeats',
  });
  expect(nodes.values).toHaveLength(1);
  expect(heartbeats.values.length).toBeLessThan(5);
  await app.close();
});

test('events$ reports Redis that is lost and regained, to those who listen', async () => {
  const redis = await RedisServer.start();
  const { monitor } = await startNode(redis.port);
  const events = record(monitor.events$);
  await redis.stop();
  await until(() => types(events.values).includes('redis-lost'), { what: 'the loss' });
  await redis.restart();
  await until(() => types(events.values).includes('redis-reconnected'), { what: 'its return' });
  expect(events.values).toContainEqual({ type: 'redis-reconnected', afterMs: expect.any(Number) });
  expect(record(monitor.events$).values).toEqual([]);
});

test('status$ begins with the current status and follows what this node does', async () => {
  const redis = await RedisServer.start();
  @WebSocketGateway()
  class Gateway {
    @WebSocketServer() server!: Server;
  }
  const imports = [RedisStreamsAdapterModule.forRoot({ connection: { port: redis.port }, ...FAST, closeTimeout: 100 })];
  const app = await startApp({ imports, providers: [Gateway] });
  const status = record(app.get(RedisStreamsMonitor).status$);
  expect(status.values[0]).toMatchObject({
    state: 'running',
    reasons: [],
    streams: [{ name: 'socket.io', replay: { entries: 0, bytes: 0 } }],
  });

  app.get(Gateway).server.emit('hello');
  await until(() => status.values.at(-1)!.streams[0]!.counters.read === 1, { what: 'the entry, with a heartbeat' });
  await redis.stop();
  await until(() => status.values.at(-1)!.state === 'degraded', { what: 'the loss' });
  expect(status.values.at(-1)!.reasons).not.toEqual([]);
  await redis.restart();
  await until(() => status.values.at(-1)!.state === 'running', { what: 'the return' });
});

test('status$ brings at most one value in 100 ms, and the last one', async () => {
  const redis = await RedisServer.start();
  const { monitor } = await startNode(redis.port);
  const status = record(monitor.status$);
  const before = status.values.length;
  const startedAt = performance.now();
  for (let i = 0; i < 50; i++) {
    await redis.command('PUBLISH', 'socket.io#heartbeat#socket.io#', `no heartbeat ${i}`);
  }
  const rejected = () => status.values.at(-1)!.counters.rejectedMessages;
  await until(() => rejected() === 50, { what: 'the last status' });
  const passed = performance.now() - startedAt;
  expect(status.values.length - before).toBeLessThanOrEqual(passed / 100 + 1);
});

test('all streams complete when the application is closed, with a last value', async () => {
  const redis = await RedisServer.start();
  const { app, monitor } = await startNode(redis.port);
  const [nodes, events, status] = [record(monitor.nodes$), record(monitor.events$), record(monitor.status$)];
  await app.close();
  expect([nodes.complete, events.complete, status.complete]).toEqual([true, true, true]);
  expect(nodes.values.at(-1)).toMatchObject([{ state: 'left', self: true }]);
  expect(status.values.at(-1)).toMatchObject({ state: 'closed' });

  // Who comes too late is told the end.
  expect(await lastValueFrom(monitor.status$)).toMatchObject({ state: 'closed' });
  expect(await lastValueFrom(monitor.nodes$)).toMatchObject([{ state: 'left' }]);
  expect(await lastValueFrom(monitor.events$.pipe(toArray()))).toEqual([]);
});

test('a subscriber that fails, or that leaves, harms nobody', async () => {
  const redis = await RedisServer.start();
  const { monitor } = await startNode(redis.port);
  const failures: unknown[] = [];
  config.onUnhandledError = (error) => failures.push(error);
  closeAfterwards({ close: () => (config.onUnhandledError = null) });
  monitor.nodes$.pipe(skip(1), take(1)).subscribe(() => {
    throw new Error('a bug of the application');
  });
  let calls = 0;
  const subscription = monitor.events$.subscribe(() => {
    calls++;
    subscription.unsubscribe();
  });
  const nodes = record(monitor.nodes$);
  await startNode(redis.port);
  await until(() => nodes.values.at(-1)!.length === 2, { what: 'the second node' });
  await startNode(redis.port);
  await until(() => nodes.values.at(-1)!.length === 3, { what: 'the third node' });
  expect(calls).toBe(1);
  await until(() => failures.length > 0, { what: 'the failure to be reported to the application' });
});
