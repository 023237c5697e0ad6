import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import { io as connect } from 'socket.io-client';
import { createAdapter } from '../../lib/adapter/index.js';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import { serve } from '../kit/node-process-child.js';
import { RedisServer } from '../kit/redis-server.js';
import { until } from '../kit/until.js';

/**
 * Whatever of the application is told of events, throws. A process of its own: an uncaught exception would end another.
 */
const uncaught = new Set<string>();
process.on('uncaughtException', (error) => uncaught.add(error.message));
process.on('unhandledRejection', (error) => uncaught.add(`rejection: ${String(error)}`));
const fail = (what: string) => (): never => {
  throw new Error(what);
};

const redis = await RedisServer.start();
const client = new Redis(redis.port, '127.0.0.1');
const TIMES = { heartbeatInterval: 100, heartbeatTimeout: 1_000, commandTimeout: 500 };
const http = createServer();
const adapter = createAdapter(client, TIMES, { log: fail('log'), warn: fail('warn'), error: fail('error') });
adapter.node.subscribe({ onEvent: fail('onEvent'), onNodes: fail('onNodes'), onStatus: fail('onStatus') });
const emitter = new RedisStreamsEmitter(client, { commandTimeout: 500 }, fail('onEvent of the emitter'));
const io = new Server(http, { adapter: adapter as never });
await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));

const other = createAdapter(client, TIMES, { log() {}, warn() {}, error() {} });
const otherHttp = createServer();
const otherIo = new Server(otherHttp, { adapter: other as never });
await new Promise<void>((resolve) => otherHttp.listen(0, '127.0.0.1', resolve));
await Promise.all([adapter.node.start(), other.node.start()]);
const received: unknown[] = [];
const socket = connect(`http://127.0.0.1:${(otherHttp.address() as AddressInfo).port}`, { transports: ['websocket'] });
socket.on('msg', (value: unknown) => received.push(value));
await until(() => socket.connected, { what: 'a client' });

async function sendThroughFaults(): Promise<void> {
  const send = async (what: string): Promise<void> => {
    io.emit('msg', `${what}, of the node`);
    emitter.emit('msg', `${what}, of the emitter`);
    const { length } = received;
    await until(() => received.length === length + 2, { what: `what was sent ${what}` });
  };
  await send('before');
  await redis.command('DEL', 'socket.io');
  await redis.command('SET', 'socket.io', 'not a stream');
  io.emit('msg', 'refused, of the node');
  emitter.emit('msg', 'refused, of the emitter');
  await until(() => uncaught.has('onEvent of the emitter') && uncaught.has('error'), { what: 'the refusals' });
  const { length } = received;
  await redis.command('DEL', 'socket.io');
  await until(() => received.length === length + 2, { what: 'what was refused' });
  await send('after it');
  await redis.restart();
  await send('after a restart');
  emitter.emit('msg', 'last');
  await emitter.close();
  emitter.emit('msg', 'after the end'); // reported
  await until(() => received.includes('last'), { what: 'the last one' });
}

serve({
  /** Returns what was received, and what was uncaught. */
  run: async () => {
    const failure = await sendThroughFaults().then(
      () => undefined,
      (error: Error) => error.message,
    );
    const outcome = { failure, received: received.map(String).sort(), uncaught: [...uncaught].sort() };
    socket.disconnect();
    await Promise.all([io.close(), otherIo.close()]);
    client.disconnect();
    await redis.close();
    return outcome;
  },
});
