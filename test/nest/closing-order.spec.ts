import { describe, expect, test } from '@jest/globals';
import { Controller, Get, Injectable, Module, type OnApplicationShutdown, type Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { WebSocketGateway, WebSocketServer } from '@nestjs/websockets';
import {
  RedisStreamsAdapterModule,
  RedisStreamsEmitter,
  RedisStreamsEmitterModule,
  RedisStreamsIoAdapter,
  RedisStreamsNode,
} from 'nestjs-redis-streams-adapter';
import type { Server } from 'socket.io';
import { closeAfterwards, RedisServer, until } from '../kit/index.js';
import { connect, FAST, init, portOf, startApp } from './nest-app.js';

@WebSocketGateway()
class Gateway {
  @WebSocketServer() server!: Server;
}

/** A library's: its job ends while the application shuts down, and says so. */
@Injectable()
class Queue implements OnApplicationShutdown {
  onEnd = (): unknown => undefined;

  async onApplicationShutdown() {
    await new Promise((resolve) => setTimeout(resolve, 50));
    this.onEnd();
  }
}

@Module({ providers: [Queue] })
class QueueModule {}

describe.each(['before', 'after'])('what the hook of a module that was imported %s emits at the end', (where) => {
  const inOrder = <T>(ours: T): (T | Type)[] => (where === 'before' ? [QueueModule, ours] : [ours, QueueModule]);

  test('of an application reaches the other nodes', async () => {
    const redis = await RedisServer.start();
    const ours = () => RedisStreamsAdapterModule.forRoot({ connection: redis.url, ...FAST });
    const app = await startApp({ imports: inOrder(ours()), providers: [Gateway] });
    const other = await startApp({ imports: [ours()], providers: [Gateway] });
    const client = await connect(portOf(other));
    const received: unknown[] = [];
    client.on('done', (job: unknown) => received.push(job));
    app.get(Queue).onEnd = () => app.get(Gateway).server.emit('done', 1);

    await app.close();
    await until(() => received.length === 1, { what: 'the broadcast' });
    expect(app.get(RedisStreamsNode).status().state).toBe('closed');
  });

  test('of a worker reaches Redis', async () => {
    const redis = await RedisServer.start();
    const app = await init({ imports: inOrder(RedisStreamsEmitterModule.forRoot({ connection: redis.url })) });
    app.get(Queue).onEnd = () => app.get(RedisStreamsEmitter).emit('done', 1);

    await app.close();
    expect(await redis.command('XLEN', 'socket.io')).toBe(1);
    await redis.hasNoClients();
  });
});

describe('an application that fails before the first hook', () => {
  @Controller()
  class Routes {
    @Get('*(')
    unreadable() {
      return 1;
    }
  }

  test.each([
    ['in the configuration of its middleware', true],
    ['because of a route', false],
  ])('%s leaves nothing', async (_where, isMiddleware) => {
    const redis = await RedisServer.start();
    @Module({
      imports: [RedisStreamsAdapterModule.forRoot({ connection: redis.url, ...FAST })],
      providers: [Gateway],
      controllers: isMiddleware ? [] : [Routes],
    })
    class AppModule {
      configure(): void {
        if (isMiddleware) {
          throw new Error('no such middleware');
        }
      }
    }
    const app = (await Test.createTestingModule({ imports: [AppModule] }).compile()).createNestApplication();
    closeAfterwards(app);
    app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter));

    await expect(app.init()).rejects.toThrow();
    expect(app.get(RedisStreamsNode).status().state).toBe('closed');
    await redis.hasNoClients();
  });
});
