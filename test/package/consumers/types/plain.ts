import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import {
  createAdapter,
  InvalidOptionError,
  type ClusterEvent,
  type RedisStreamsAdapterOptions,
} from 'nestjs-redis-streams-adapter/adapter';
import { RedisStreamsEmitter, type RedisStreamsEmitterOptions } from 'nestjs-redis-streams-adapter/emitter';

const options: RedisStreamsAdapterOptions = { streamName: 'chat', maxLen: 1_000 };
// @ts-expect-error: a number of milliseconds
const wrong: RedisStreamsAdapterOptions = { heartbeatInterval: '5s' };

const adapter = createAdapter(new Redis(), options);
export const io = new Server({ adapter });
io.adapter(adapter);
adapter.node.subscribe({ onEvent: (event: ClusterEvent) => console.log(event.type) });

const emitterOptions: RedisStreamsEmitterOptions = { streamName: 'chat' };
export const emitter = new RedisStreamsEmitter(new Redis(), emitterOptions);
emitter.to('room').emit('news', wrong);

export const isOurs = (error: unknown): error is InvalidOptionError => error instanceof InvalidOptionError;
