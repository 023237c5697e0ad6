import { Module, type Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import type { Server } from 'socket.io';
import { RedisStreamsAdapterModule, RedisStreamsIoAdapter } from 'nestjs-redis-streams-adapter';
import { childOptions, serve } from '../kit/node-process-child.js';

const { url } = childOptions<{ url: string }>();
const errorOf = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => 'none',
    (error: Error) => error.message,
  );
const options = { abortOnError: false, logger: false } as const;

@WebSocketGateway()
class Gateway {
  @WebSocketServer() server!: Server;
}

/** An application with one more provider than it should have. */
function appWith(provider: Provider, isGlobal = false) {
  @Module({
    imports: [
      RedisStreamsAdapterModule.forRoot({
        ...{ connection: { url }, heartbeatInterval: 100, heartbeatTimeout: 300, isGlobal },
        serverOptions: { connectionStateRecovery: {} },
      }),
    ],
    providers: [Gateway, provider],
  })
  class AppModule {}
  return AppModule;
}

const failing = (hook: string): Provider => {
  class Failing {}
  Object.assign(Failing.prototype, {
    async [hook]() {
      await Promise.resolve();
      throw new Error(`${hook} fails`);
    },
  });
  return Failing;
};

let close: () => Promise<unknown> = () => Promise.resolve();
let gateway: Gateway;

async function create(module: any) {
  const app = await NestFactory.create(module, options);
  app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter));
  return app;
}

serve({
  /** A provider whose factory fails while others are made. */
  createFailing: () =>
    errorOf(
      create(
        appWith({
          provide: 'database',
          useFactory: () =>
            new Promise((_resolve, reject) => setTimeout(reject, 200, new Error('the database is down'))),
        }),
      ),
    ),
  compileFailing: () =>
    errorOf(
      Test.createTestingModule({
        imports: [
          appWith({ provide: 'database', useFactory: () => Promise.reject(new Error('the database is down')) }),
        ],
      }).compile(),
    ),
  listenFailing: async (hook: string) => errorOf((await create(appWith(failing(hook)))).listen(0, '127.0.0.1')),
  contextFailing: (hook: string) => errorOf(NestFactory.createApplicationContext(appWith(failing(hook)), options)),
  /** Listens; its shutdown will fail. */
  listen: async (hook: string, isGlobal: boolean) => {
    const app = await create(appWith(failing(hook), isGlobal));
    app.enableShutdownHooks();
    await app.listen(0, '127.0.0.1');
    gateway = app.get(Gateway);
    close = () => errorOf(app.close());
    return (app.getHttpServer().address() as { port: number }).port;
  },
  emit: (count: number) => {
    for (let i = 0; i < count; i++) gateway.server.emit('last words', i);
  },
  close: (count: number) => {
    for (let i = 0; i < count; i++) gateway.server.emit('last words', i);
    return close();
  },
});
