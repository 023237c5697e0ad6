import { ConfigurableModuleBuilder, type Provider } from '@nestjs/common';
import { checkFlag, InvalidOptionError } from '../cluster/options.js';
import type { RedisStreamsModuleOptions } from './redis-streams-options.interface.js';
import { REDIS_STREAMS_OPTIONS } from './redis-streams.constants.js';

/**
 * What is given beside the options, since Nest needs it before they are known.
 *
 * @publicApi
 */
export interface RedisStreamsModuleExtras {
  /**
   * Whether the module's providers can be injected everywhere without importing it.
   * @default false
   */
  isGlobal?: boolean;
  /**
   * Providers added to the module, such as what `useFactory` injects.
   * @default none
   */
  extraProviders?: Provider[];
}

export const { ConfigurableModuleClass, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<RedisStreamsModuleOptions>({ optionsInjectionToken: REDIS_STREAMS_OPTIONS })
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createRedisStreamsOptions')
    .setExtras<RedisStreamsModuleExtras>(
      { isGlobal: false, extraProviders: [] },
      (definition, { isGlobal = false, extraProviders = [] }) => ({
        ...definition,
        global: checkFlag('isGlobal', isGlobal),
        providers: [...(definition.providers ?? []), ...checkProviders(extraProviders)],
      }),
    )
    .build();

/** @throws InvalidOptionError */
function checkProviders(extraProviders: unknown): Provider[] {
  if (!Array.isArray(extraProviders)) {
    throw new InvalidOptionError('extraProviders', extraProviders, 'an array of providers');
  }
  return extraProviders as Provider[];
}
