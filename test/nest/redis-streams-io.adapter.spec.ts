import { describe, expect, test } from '@jest/globals';
import {
  ConnectedSocket,
  MessageBody,
  SubscribeMessage,
  WebSocketGateway,
  WebSocketServer,
  type OnGatewayConnection,
} from '@nestjs/websockets';
import { Module } from '@nestjs/common';
import type { Namespace, Server, Socket } from 'socket.io';
import {
  RedisStreamsAdapterModule,
  RedisStreamsIoAdapter,
  type RedisStreamsServerOptions,
} from 'nestjs-redis-streams-adapter';
import { freePort, RedisServer, until } from '../kit/index.js';
import { connect, FAST, next, portOf, startApp } from './nest-app.js';

const ownPort = await freePort();
const otherOwnPort = await freePort();

@WebSocketGateway({ cors: { origin: 'http://example.org' } })
class ChatGateway implements OnGatewayConnection {
  @WebSocketServer() server!: Server;

  handleConnection(socket: Socket): void {
    void socket.join('everybody');
  }

  @SubscribeMessage('say')
  say(@MessageBody() text: string): string {
    this.server.to('everybody').emit('said', text);
    return `heard ${text}`;
  }

  @SubscribeMessage('where')
  where(@ConnectedSocket() socket: Socket): { event: string; data: string } {
    return { event: 'here', data: socket.id };
  }
}

@WebSocketGateway({ namespace: 'admin' })
class AdminGateway {
  @WebSocketServer() namespace!: Namespace;

  @SubscribeMessage('say')
  say(@MessageBody() text: string): void {
    this.namespace.emit('said', `admin: ${text}`);
  }
}

@WebSocketGateway(ownPort, { path: '/own' })
class OwnPortGateway {
  @WebSocketServer() server!: Server;

  @SubscribeMessage('say')
  say(@MessageBody() text: string): void {
    this.server.emit('said', `own port: ${text}`);
  }
}

@WebSocketGateway(otherOwnPort, { path: '/own' })
class OtherOwnPortGateway extends OwnPortGateway {}

const moduleFor = (redis: RedisServer, serverOptions?: RedisStreamsServerOptions) =>
  RedisStreamsAdapterModule.forRoot({ connection: { url: redis.url }, serverOptions, ...FAST });

describe.each(['express', 'fastify'] as const)('with %s', (http) => {
  test('gateways of two applications, on their ports, are one server', async () => {
    const redis = await RedisServer.start();
    const start = () => startApp({ http, imports: [moduleFor(redis)], providers: [ChatGateway, AdminGateway] });
    const [one, other] = await Promise.all([start(), start()]);
    const [a, b] = await Promise.all([connect(portOf(one)), connect(portOf(other))]);

    const said = next(b, 'said');
    await expect(a.emitWithAck('say', 'hello')).resolves.toBe('heard hello');
    await expect(said).resolves.toEqual(['hello']);

    const here = next(a, 'here');
    a.emit('where');
    await expect(here).resolves.toEqual([a.id]);
  });

  test('namespaced gateways are one namespace, apart from the others', async () => {
    const redis = await RedisServer.start();
    const start = () => startApp({ http, imports: [moduleFor(redis)], providers: [ChatGateway, AdminGateway] });
    const [one, other] = await Promise.all([start(), start()]);
    const [admin, otherAdmin, user] = await Promise.all([
      connect(portOf(one), '/admin'),
      connect(portOf(other), '/admin'),
      connect(portOf(other)),
    ]);
    const heard: string[] = [];
    user.on('said', (text: string) => heard.push(text));

    const said = next(otherAdmin, 'said');
    admin.emit('say', 'secret');
    await expect(said).resolves.toEqual(['admin: secret']);
    await user.emitWithAck('say', 'and now I');
    await until(() => heard.length > 0, { what: 'what the user said itself' });
    expect(heard).toEqual(['and now I']);
  });
});

test('gateways on ports of their own are one server', async () => {
  const redis = await RedisServer.start();
  const [one] = await Promise.all([
    startApp({ imports: [moduleFor(redis)], providers: [ChatGateway, OwnPortGateway] }),
    startApp({ imports: [moduleFor(redis)], providers: [OtherOwnPortGateway] }),
  ]);
  expect(portOf(one)).not.toBe(ownPort);
  const [a, b] = await Promise.all([
    connect(ownPort, '/', { path: '/own' }),
    connect(otherOwnPort, '/', { path: '/own' }),
  ]);
  const said = next(b, 'said');
  a.emit('say', 'hello');
  await expect(said).resolves.toEqual(['own port: hello']);
});

test("a gateway's options reach its server", async () => {
  const redis = await RedisServer.start();
  const app = await startApp({ imports: [moduleFor(redis)], providers: [ChatGateway] });
  const response = await fetch(`http://127.0.0.1:${portOf(app)}/socket.io/?EIO=4&transport=polling`, {
    headers: { origin: 'http://example.org' },
  });
  expect(response.status).toBe(200);
  expect(response.headers.get('access-control-allow-origin')).toBe('http://example.org');
  await response.body?.cancel();
});

test("the module's serverOptions are those of every server, and a gateway's own come before them", async () => {
  const redis = await RedisServer.start();
  const imports = [
    moduleFor(redis, { maxHttpBufferSize: 1234, path: '/not-that', cors: { origin: 'http://not-that' } }),
  ];
  const app = await startApp({ imports, providers: [ChatGateway, OwnPortGateway] });
  const { opts } = app.get(OwnPortGateway).server as any;
  expect(opts).toMatchObject({ maxHttpBufferSize: 1234, path: '/own', cors: { origin: 'http://not-that' } });
  expect((app.get(ChatGateway).server as any).opts.cors).toEqual({ origin: 'http://example.org' });
});

test('a client whose node is closed is recovered by another, with what it has missed', async () => {
  const redis = await RedisServer.start();
  const start = (port?: number) =>
    startApp({ imports: [moduleFor(redis, { connectionStateRecovery: {} })], providers: [ChatGateway] }).then(
      (app) => ({
        app,
        port: port ?? portOf(app),
      }),
    );
  const [one, other] = await Promise.all([start(), start()]);
  const client = await connect(one.port, '/', { reconnection: false });
  const { id } = client;
  const said = next(client, 'said');
  other.app.get(ChatGateway).server.emit('said', 'before');
  await said;

  await one.app.close();
  await until(() => client.disconnected, { what: 'the client to be cut off' });
  other.app.get(ChatGateway).server.to('everybody').emit('said', 'meanwhile');

  (client.io as any).uri = `http://127.0.0.1:${other.port}`;
  const missed = next(client, 'said');
  client.connect();
  expect((await missed)[0]).toBe('meanwhile');
  expect(client.recovered).toBe(true);
  expect(client.id).toBe(id);
});

test('forceCloseConnections ends the application with clients connected, and their sessions are stored', async () => {
  const redis = await RedisServer.start();
  const app = await startApp({
    imports: [moduleFor(redis, { connectionStateRecovery: {} })],
    providers: [ChatGateway],
    app: { forceCloseConnections: true },
  });
  const client = await connect(portOf(app), '/', { reconnection: false });
  const adapter = app.get(ChatGateway).server.of('/').adapter as any;
  await app.close();
  expect(client.disconnected || (await until(() => client.disconnected, { what: 'the cut' }))).toBe(true);
  await expect(redis.command('KEYS', 'sio:session:*')).resolves.toHaveLength(1);
  await expect(adapter.closed).resolves.toBeUndefined();
});

test('it cannot be made without the node', () => {
  expect(() => new (RedisStreamsIoAdapter as any)({ getHttpServer: () => undefined })).toThrow(
    'node: an object is not allowed. Give RedisStreamsIoAdapter the node of RedisStreamsAdapterModule: ' +
      'app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter)) or, with a server of your own, ' +
      'new RedisStreamsIoAdapter(app.get(RedisStreamsNode), httpServer).',
  );
});

test('without the module, Nest says that it is missing', async () => {
  @Module({})
  class EmptyModule {}
  await expect(startApp({ imports: [EmptyModule] })).rejects.toThrow(/could not find RedisStreamsIoAdapter/);
});
