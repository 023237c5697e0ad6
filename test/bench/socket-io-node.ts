import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdapter as createPubSub } from '@socket.io/redis-adapter';
import { createAdapter as createReference } from '@socket.io/redis-streams-adapter';
import type { Redis } from 'ioredis';
import { Server, type ServerOptions } from 'socket.io';
import { createAdapter } from '../../lib/adapter/index.js';
import type { BenchNode } from './node.child.js';
import { ROOM, type AdapterName, type Message, type Target } from './scenarios.js';

/** A plain Socket.IO server with one of the adapters. */
export async function socketIoNode(adapter: AdapterName, redis: Redis, recovery: boolean): Promise<BenchNode> {
  const http = createServer();
  const io = new Server(http, {
    adapter: await adapterOf(adapter, redis),
    serveClient: false,
    ...(recovery && { connectionStateRecovery: {} }),
  });
  io.on('connection', (socket) => {
    const { room } = socket.handshake.query;
    if (room === ROOM) void socket.join(room);
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    emit(target: Target, message: Message) {
      switch (target) {
        case 'all':
          io.emit('message', message);
          break;
        case 'room':
          io.to(ROOM).emit('message', message);
          break;
        case 'socket':
          for (const socket of io.of('/').sockets.values()) socket.emit('message', message);
      }
    },
  };
}

async function adapterOf(adapter: AdapterName, redis: Redis): Promise<ServerOptions['adapter']> {
  switch (adapter) {
    case 'ours': {
      const factory = createAdapter(redis);
      await factory.node.start();
      return factory as never;
    }
    case 'reference':
      return createReference(redis, {}) as never;
    default:
      return createPubSub(redis, redis.duplicate()) as never;
  }
}
