import { createServer as createHttpsServer } from 'node:https';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Injectable, Logger, Module } from '@nestjs/common';
import { ConfigModule, ConfigService } from '@nestjs/config';
import { NestFactory } from '@nestjs/core';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { Test } from '@nestjs/testing';
import { SubscribeMessage, WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import type { Server } from 'socket.io';
import {
  RedisStreamsAdapterModule,
  RedisStreamsIoAdapter,
  RedisStreamsNode,
  type RedisStreamsServerOptions,
} from 'nestjs-redis-streams-adapter';
import { closeAfterwards, RedisServer, until } from '../kit/index.js';
import { selfSigned } from '../kit/self-signed.js';
import { connect, FAST, next, portOf } from './nest-app.js';

@WebSocketGateway()
class ChatGateway {
  @WebSocketServer() server!: Server;

  @SubscribeMessage('say')
  say(_socket: unknown, text: string): void {
    this.server.emit('said', text);
  }
}

const moduleFor = (redis: RedisServer) =>
  RedisStreamsAdapterModule.forRoot({ connection: { url: redis.url }, ...FAST });

describe('a warning that useWebSocketAdapter was forgotten', () => {
  let warn: ReturnType<typeof jest.spyOn>;
  beforeEach(() => {
    warn = jest.spyOn(Logger.prototype, 'warn').mockImplementation(() => undefined);
  });
  afterEach(() => warn.mockRestore());
  const warnings = () => warn.mock.calls.filter(([text]: any[]) => String(text).includes('useWebSocketAdapter'));

  async function listen(metadata: object, adapter?: (app: any) => any) {
    const app = (await Test.createTestingModule(metadata).compile()).createNestApplication();
    closeAfterwards(app);
    if (adapter) app.useWebSocketAdapter(adapter(app));
    await app.listen(0, '127.0.0.1');
    return app;
  }

  test('is logged once when gateways have a server without the cluster', async () => {
    const redis = await RedisServer.start();
    @WebSocketGateway({ namespace: 'other' })
    class OtherGateway {}
    await listen({ imports: [moduleFor(redis)], providers: [ChatGateway, OtherGateway] });
    expect(warnings()).toEqual([
      [
        'The gateways of this application are not part of the cluster: their server was made without ' +
          'RedisStreamsIoAdapter. Call app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter)) before app.listen().',
      ],
    ]);
  });

  test('is logged when another adapter is used', async () => {
    const redis = await RedisServer.start();
    await listen({ imports: [moduleFor(redis)], providers: [ChatGateway] }, (app) => new IoAdapter(app));
    expect(warnings()).toHaveLength(1);
  });

  test('is logged once with two modules', async () => {
    const redis = await RedisServer.start();
    const second = RedisStreamsAdapterModule.forRoot({ connection: { url: redis.url }, streamName: 'second' });
    await listen({ imports: [moduleFor(redis), second], providers: [ChatGateway] });
    expect(warnings()).toHaveLength(1);
  });

  test.each<[string, any[], ((app: any) => any) | undefined]>([
    ['the adapter is used', [ChatGateway], (app) => app.get(RedisStreamsIoAdapter)],
    ['there are no gateways', [], undefined],
  ])('is not logged when %s', async (_when, providers, adapter) => {
    const redis = await RedisServer.start();
    await listen({ imports: [moduleFor(redis)], providers }, adapter);
    expect(warnings()).toEqual([]);
  });

  test('is not logged with two modules of which one serves the gateways', async () => {
    const redis = await RedisServer.start();
    const second = RedisStreamsAdapterModule.forRoot({ connection: { url: redis.url }, streamName: 'second' });
    const imports = [moduleFor(redis), second];
    await listen({ imports, providers: [ChatGateway] }, (app) => app.get(RedisStreamsIoAdapter));
    expect(warnings()).toEqual([]);
  });

  test('is not logged by an application that has no server', async () => {
    const redis = await RedisServer.start();
    @Module({ imports: [moduleFor(redis)], providers: [ChatGateway] })
    class AppModule {}
    closeAfterwards(await NestFactory.createApplicationContext(AppModule, { logger: ['warn'], abortOnError: false }));
    expect(warnings()).toEqual([]);
  });
});

describe('RedisStreamsIoAdapter, extended in a module of the application', () => {
  @Injectable()
  class AppIoAdapter extends RedisStreamsIoAdapter {
    constructor(
      node: RedisStreamsNode,
      private readonly config: ConfigService,
    ) {
      super(node);
    }

    override createIOServer(port?: number, options?: RedisStreamsServerOptions) {
      const server = super.createIOServer(port, {
        ...options,
        cors: { origin: this.config.getOrThrow<string>('ORIGIN') },
        allowRequest: (request, decide) => decide(null, !request.url?.includes('blocked')),
      });
      server.use((socket, proceed) => {
        socket.data.user = socket.handshake.auth['token'] === 'valid' ? 'ann' : undefined;
        proceed(socket.data.user ? undefined : new Error('unauthorized'));
      });
      return server;
    }
  }

  async function start(redis: RedisServer, adapter: any = AppIoAdapter) {
    const app = (
      await Test.createTestingModule({
        imports: [
          ConfigModule.forRoot({ ignoreEnvFile: true, load: [() => ({ ORIGIN: 'http://example.org' })] }),
          moduleFor(redis),
        ],
        providers: [adapter, ChatGateway],
      }).compile()
    ).createNestApplication();
    closeAfterwards(app);
    app.useWebSocketAdapter(app.get(adapter));
    await app.listen(0, '127.0.0.1');
    return app;
  }

  test('injects what it needs: CORS, allowRequest and a check of tokens; nodes stay one server', async () => {
    const redis = await RedisServer.start();
    const [one, other] = await Promise.all([start(redis), start(redis)]);
    const response = await fetch(`http://127.0.0.1:${portOf(one)}/socket.io/?EIO=4&transport=polling`);
    expect(response.headers.get('access-control-allow-origin')).toBe('http://example.org');
    await response.body?.cancel();

    await expect(connect(portOf(one), '/', { reconnection: false })).rejects.toThrow('unauthorized');
    const blocked = { reconnection: false, query: { blocked: 1 }, auth: { token: 'valid' } };
    await expect(connect(portOf(one), '/', blocked)).rejects.toThrow('websocket error');

    const valid = { auth: { token: 'valid' } };
    const [a, b] = await Promise.all([connect(portOf(one), '/', valid), connect(portOf(other), '/', valid)]);
    const said = next(b, 'said');
    a.emit('say', 'hello');
    await expect(said).resolves.toEqual(['hello']);
  });

  test('needs no constructor', async () => {
    const redis = await RedisServer.start();
    @Injectable()
    class PlainIoAdapter extends RedisStreamsIoAdapter {}
    const [one, other] = await Promise.all([start(redis, PlainIoAdapter), start(redis, PlainIoAdapter)]);
    const [a, b] = await Promise.all([connect(portOf(one)), connect(portOf(other))]);
    const said = next(b, 'said');
    a.emit('say', 'hello');
    await expect(said).resolves.toEqual(['hello']);
  });
});

describe("an HTTP server of the application's own", () => {
  const identity = selfSigned();

  test.each(['http', 'https'])('over %s serves the gateways', async (scheme) => {
    const redis = await RedisServer.start();
    const start = async () => {
      const app = (
        await Test.createTestingModule({ imports: [moduleFor(redis)], providers: [ChatGateway] }).compile()
      ).createNestApplication();
      closeAfterwards(app);
      const server = scheme === 'https' ? createHttpsServer(identity) : createServer();
      app.useWebSocketAdapter(new RedisStreamsIoAdapter(app.get(RedisStreamsNode), server));
      await app.listen(0, '127.0.0.1');
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return { app, server, port: (server.address() as AddressInfo).port };
    };
    const [one, other] = await Promise.all([start(), start()]);
    const options = { rejectUnauthorized: false, reconnection: false } as object;
    const [a, b] = await Promise.all([
      connect(`${scheme}://127.0.0.1:${one.port}`, '/', options),
      connect(`${scheme}://127.0.0.1:${other.port}`, '/', options),
    ]);
    const said = next(b, 'said');
    a.emit('say', 'hello');
    await expect(said).resolves.toEqual(['hello']);
    await expect(connect(portOf(one.app), '/', { reconnection: false })).rejects.toThrow();

    await one.app.close();
    await until(() => a.disconnected, { what: 'the client to be cut off' });
    expect(one.server.listening).toBe(false);
  });

  test('is closed, and its clients go elsewhere, also with forceCloseConnections', async () => {
    const redis = await RedisServer.start();
    const compiled = await Test.createTestingModule({
      imports: [moduleFor(redis)],
      providers: [ChatGateway],
    }).compile();
    const app = closeAfterwards(compiled.createNestApplication({ forceCloseConnections: true }));
    const server = createServer();
    app.useWebSocketAdapter(new RedisStreamsIoAdapter(app.get(RedisStreamsNode), server));
    await app.listen(0, '127.0.0.1');
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const client = await connect(port, '/', { reconnection: false });

    await app.close();
    await until(() => client.disconnected, { what: 'the client to be cut off' });
    expect([server.listening, app.get(ChatGateway).server.sockets.sockets.size]).toEqual([false, 0]);
  });
});
