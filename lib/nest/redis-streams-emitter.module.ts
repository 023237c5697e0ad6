import { Logger, Module, type DynamicModule, type FactoryProvider } from '@nestjs/common';
import { checkFlag } from '../cluster/options.js';
import { logEvent } from '../cluster/describe-event.js';
import { RedisStreamsEmitter } from '../emitter/redis-streams.emitter.js';
import { checkAsyncOptions } from './async-options.js';
import { clientOf } from './redis-client.provider.js';
import { RedisStreamsEmitterOwner } from './redis-streams-emitter.owner.js';
import { RedisStreamsEmitterHealthIndicator } from './redis-streams-emitter.health.js';
import {
  ConfigurableModuleClass,
  EMITTER_CLIENT,
  EMITTER_OPTIONS,
  type ASYNC_OPTIONS_TYPE,
  type OPTIONS_TYPE,
  type RedisStreamsEmitterModuleOptions,
} from './redis-streams-emitter.module-definition.js';

const clientProvider: FactoryProvider<object | undefined> = {
  provide: EMITTER_CLIENT,
  inject: [EMITTER_OPTIONS],
  useFactory: (options: RedisStreamsEmitterModuleOptions | undefined) => clientOf('RedisStreamsEmitterModule', options),
};

/** @throws InvalidOptionError, RedisClientError */
const emitterProvider: FactoryProvider<RedisStreamsEmitter> = {
  provide: RedisStreamsEmitter,
  inject: [EMITTER_CLIENT, EMITTER_OPTIONS],
  useFactory: (redisClient: object | undefined, options: RedisStreamsEmitterModuleOptions) => {
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- what is left is the emitter's
    const { client, connection, enabled = true, ...rest } = options;
    checkFlag('enabled', enabled);
    const logger = new Logger('RedisStreams');
    return new RedisStreamsEmitter(enabled ? redisClient : null, rest, (event) => logEvent(event, logger));
  },
};

/**
 * Makes `RedisStreamsEmitter` a provider: broadcasts to the clients of a cluster from an application that serves no
 * sockets, such as a worker or a microservice. What waits is sent when the application is closed.
 *
 * The application starts without waiting for Redis: broadcasts wait in the outbox.
 *
 * @example
 * ```typescript
 * @Module({
 *   imports: [RedisStreamsEmitterModule.forRoot({ connection: 'redis://localhost:6379', streamName: 'chat' })],
 *   providers: [OrdersWorker],
 * })
 * export class WorkerModule {}
 *
 * @Injectable()
 * export class OrdersWorker {
 *   constructor(private readonly emitter: RedisStreamsEmitter) {}
 *
 *   onShipped(order: Order) {
 *     this.emitter.to(`user:${order.userId}`).emit('order-shipped', order.id);
 *   }
 * }
 * ```
 *
 * @publicApi
 */
@Module({
  providers: [clientProvider, emitterProvider, RedisStreamsEmitterOwner, RedisStreamsEmitterHealthIndicator],
  exports: [RedisStreamsEmitter, RedisStreamsEmitterHealthIndicator],
})
export class RedisStreamsEmitterModule extends ConfigurableModuleClass {
  /** With options that are known when the module is imported. */
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    return super.forRoot(options ?? {}); // what is missing is reported when the application is made
  }

  /**
   * With options that `useFactory`, or a `RedisStreamsEmitterOptionsFactory` given as `useClass` or `useExisting`, makes.
   *
   * @throws InvalidOptionError if none of the three is given
   */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    checkAsyncOptions('RedisStreamsEmitterModule', options);
    return super.forRootAsync(options);
  }
}
