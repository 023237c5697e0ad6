import { createServer } from 'node:http';
import type { AddressInfo, Socket as TcpSocket } from 'node:net';
import { afterEach, describe, expect, jest, test } from '@jest/globals';
import { Server, type Socket } from 'socket.io';
import { io as connect } from 'socket.io-client';
import { corkFlushes, type EngineConnection } from '../../lib/adapter/cork-flushes.js';
import { until } from '../kit/index.js';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) {
    await close();
  }
});

/** A client of a server without any adapter of ours, and how often the server writes to its TCP socket. */
async function pair(options: object, upgraded = false) {
  const http = createServer();
  const io = new Server(http, { serveClient: false, ...options });
  closing.push(() => io.close());
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const connected = new Promise<Socket>((resolve) => io.once('connection', resolve));
  const { port } = http.address() as AddressInfo;
  const transports = upgraded ? ['polling', 'websocket'] : ['websocket'];
  const client = connect(`http://127.0.0.1:${port}`, { transports, forceNew: true });
  closing.unshift(() => client.disconnect());
  const received: unknown[][] = [];
  client.onAny((...args: unknown[]) => received.push(args));
  const socket = await connected;
  await until(() => socket.conn.transport.name === 'websocket', { what: 'the WebSocket' });
  const tcp = (socket.conn.transport as unknown as { socket: { _socket: TcpSocket } }).socket._socket;
  const writes = [jest.spyOn(tcp, '_write'), jest.spyOn(tcp, '_writev' as never)];
  return { io, socket, received, writes: () => writes.reduce((sum, { mock }) => sum + mock.calls.length, 0) };
}

const burst = (io: Server): unknown[][] => {
  const sent = Array.from({ length: 50 }, (_, i) => ['n', i, i % 7 === 0 ? 'x'.repeat(40_000) : 'ü', { i }]);
  for (const [event, ...args] of sent) {
    io.emit(event as string, ...args);
  }
  return sent;
};

describe('packets that are written at once', () => {
  test.each([
    { name: 'of a WebSocket', upgraded: false },
    { name: 'of a connection that began with HTTP long-polling', upgraded: true },
  ])('$name leave in a few writes, whole and in order', async ({ upgraded }) => {
    const { io, socket, received, writes } = await pair({}, upgraded);
    corkFlushes(socket.conn as unknown as EngineConnection);
    corkFlushes(socket.conn as unknown as EngineConnection);
    expect(socket.conn.listenerCount('flush')).toBe(1);
    const sent = burst(io);
    await until(() => received.length === sent.length, { what: 'all packets' });
    expect(received).toEqual(sent);
    expect(writes()).toBeLessThanOrEqual(3);
  });

  test('take one write each otherwise', async () => {
    const { io, received, writes } = await pair({});
    const sent = burst(io);
    await until(() => received.length === sent.length, { what: 'all packets' });
    expect(writes()).toBeGreaterThanOrEqual(sent.length);
  });

  test('hold binary data, and are compressed if asked', async () => {
    const { io, socket, received } = await pair({ perMessageDeflate: { threshold: 0 } });
    corkFlushes(socket.conn as unknown as EngineConnection);
    io.emit('a', Buffer.from([1, 2, 3]), { deep: Buffer.from([4]) });
    const sent = burst(io);
    io.compress(true).emit('z', 'y'.repeat(1_000), Buffer.from([5]));
    await until(() => received.length === sent.length + 2, { what: 'all packets' });
    expect(received[0]).toEqual(['a', Buffer.from([1, 2, 3]), { deep: Buffer.from([4]) }]);
    expect(received.slice(1, -1)).toEqual(sent);
    expect(received.at(-1)).toEqual(['z', 'y'.repeat(1_000), Buffer.from([5])]);
  });

  test('arrive, all of them, when the connection is closed right after them', async () => {
    const { io, socket, received } = await pair({});
    corkFlushes(socket.conn as unknown as EngineConnection);
    const sent = burst(io);
    socket.disconnect(true);
    await until(() => socket.conn.readyState === 'closed', { what: 'the connection to be closed' });
    await until(() => received.length === sent.length, { what: 'all packets' });
    expect(received).toEqual(sent);
  });
});
