import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Redis } from 'ioredis';
import { Server } from 'socket.io';
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
  const http = createServer();
  const adapter = await adapterOf(name, redis, build);
  const io = new Server(http, {
    ...(adapter && { adapter }),
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
