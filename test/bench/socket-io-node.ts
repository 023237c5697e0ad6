import type { Redis } from 'ioredis';
import { LocalServer } from '../kit/local-server.js';
import { adapterOf, type SocketIoAdapter } from './adapters.js';
import type { BenchNode } from './node.child.js';
import { ROOM, type Message, type Target } from './scenarios.js';

/** A plain Socket.IO server with one of the adapters. */
export async function socketIoNode(
  name: SocketIoAdapter,
  redis: Redis,
  recovery: boolean,
  build?: string,
): Promise<BenchNode> {
  const server = new LocalServer(await adapterOf(name, redis, build), {
    serveClient: false,
    ...(recovery && { connectionStateRecovery: {} }),
  });
  const { io } = server;
  io.on('connection', (socket) => {
    const { room } = socket.handshake.query;
    if (room === ROOM) void socket.join(room);
  });
  await server.listen();
  return {
    url: server.url,
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
