import type { AddressInfo } from 'node:net';
import type { INestApplication, ModuleMetadata, NestApplicationOptions } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test, type TestingModule, type TestingModuleBuilder } from '@nestjs/testing';
import { io, type ManagerOptions, type Socket, type SocketOptions } from 'socket.io-client';
import { RedisStreamsIoAdapter } from 'nestjs-redis-streams-adapter';
import { closeAfterwards } from '../kit/index.js';

export interface NestAppOptions extends ModuleMetadata {
  http?: 'express' | 'fastify';
  app?: NestApplicationOptions;
  /** Changes the testing module before it is compiled. */
  override?: (builder: TestingModuleBuilder) => TestingModuleBuilder;
}

/** Heartbeats that a test need not wait for. */
export const FAST = { heartbeatInterval: 100, heartbeatTimeout: 300 };

/** A Nest application that listens, as a user would write it; closed after the test. */
export async function startApp({ http = 'express', app: options, override, ...metadata }: NestAppOptions) {
  const builder = Test.createTestingModule(metadata);
  const compiled = await (override?.(builder) ?? builder).compile();
  const app: INestApplication =
    http === 'fastify'
      ? compiled.createNestApplication(new FastifyAdapter(), options)
      : compiled.createNestApplication(options);
  closeAfterwards(app);
  app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter));
  await app.listen(0, '127.0.0.1');
  return app;
}

/** A testing module that is initialized, as an application is before it listens; closed after the test. */
export async function init(metadata: ModuleMetadata): Promise<TestingModule> {
  const compiled = closeAfterwards(await Test.createTestingModule(metadata).compile());
  await compiled.init();
  return compiled;
}

export function portOf(app: INestApplication): number {
  return (app.getHttpServer().address() as AddressInfo).port;
}

/** A client that is connected to a port or URL, or to a namespace of its server; disconnected after the test. */
export async function connect(
  port: number | string,
  namespace = '/',
  options: Partial<ManagerOptions & SocketOptions> = {},
): Promise<Socket> {
  const origin = typeof port === 'string' ? port : `http://127.0.0.1:${port}`;
  const socket = io(`${origin}${namespace}`, { transports: ['websocket'], forceNew: true, ...options });
  closeAfterwards({ close: () => socket.disconnect() });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('connect_error', reject);
  });
  return socket;
}

/** The arguments of the next such event. */
export function next(socket: Socket, event: string): Promise<any[]> {
  return new Promise((resolve) => socket.once(event, (...args: any[]) => resolve(args)));
}
