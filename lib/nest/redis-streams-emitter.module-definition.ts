import { ConfigurableModuleBuilder } from '@nestjs/common';
import { checkFlag } from '../cluster/options.js';
import type { RedisStreamsEmitterOptions } from '../emitter/redis-streams.emitter.js';
import type { RedisConnectionOptions, RedisStreamsSource } from './redis-streams-options.interface.js';

/**
 * What the emitter's module takes besides Redis: the options of the emitter, and these.
 *
 * @publicApi
 */
export interface RedisStreamsEmitterCommonModuleOptions extends RedisStreamsEmitterOptions {
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
  | (RedisStreamsEmitterCommonModuleOptions & RedisStreamsSource)
  | (RedisStreamsEmitterCommonModuleOptions & {
      enabled: false;
      client?: object;
      connection?: string | RedisConnectionOptions;
    });

/**
 * What a class given as `useClass` or `useExisting` implements.
 *
 * @publicApi
 */
export interface RedisStreamsEmitterOptionsFactory {
  /** Called once, when the application is created. */
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
    .setExtras({ isGlobal: false }, (definition, { isGlobal = false }) => ({
      ...definition,
      global: checkFlag('isGlobal', isGlobal),
    }))
    .build();
