import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { RedisStreamsEmitterOptions } from '../emitter/redis-streams.emitter.js';
import type { RedisConnectionOptions } from './redis-streams-options.interface.js';

interface EmitterModuleOptions extends RedisStreamsEmitterOptions {
  /**
   * `false`: no Redis is used, and nothing is sent. For tests, code generators and migrations.
   * @default true
   */
  enabled?: boolean;
}

/**
 * Options of the module: those of the emitter, and one of `client` and `connection`, which may both be missing only with
 * `enabled: false`.
 *
 * @publicApi
 */
export type RedisStreamsEmitterModuleOptions =
  /** A client of ioredis or node-redis. It is duplicated, and never used, reconfigured or closed. */
  | (EmitterModuleOptions & { client: object; connection?: undefined })
  /** A connection for the module to open, with ioredis, and to close: a URL, or an object. */
  | (EmitterModuleOptions & { connection: string | RedisConnectionOptions; client?: undefined })
  | (EmitterModuleOptions & { enabled: false; client?: object; connection?: string | RedisConnectionOptions });

/**
 * What a class given as `useClass` or `useExisting` implements.
 *
 * @publicApi
 */
export interface RedisStreamsEmitterOptionsFactory {
  createRedisStreamsEmitterOptions(): RedisStreamsEmitterModuleOptions | Promise<RedisStreamsEmitterModuleOptions>;
}

/** The injection token of the options. */
export const EMITTER_OPTIONS = Symbol.for('nestjs-redis-streams-adapter:emitter-options');
/** The injection token of the client that the emitter duplicates. */
export const EMITTER_CLIENT = Symbol.for('nestjs-redis-streams-adapter:emitter-client');

export const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<RedisStreamsEmitterModuleOptions>({ optionsInjectionToken: EMITTER_OPTIONS })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createRedisStreamsEmitterOptions')
    .setExtras({ isGlobal: false }, (definition, { isGlobal }) => ({ ...definition, global: isGlobal === true }))
    .build();
