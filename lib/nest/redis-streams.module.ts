import { Module, type DynamicModule } from '@nestjs/common';
import { checkAsyncOptions } from './async-options.js';
import { redisClientProvider } from './redis-client.provider.js';
import { RedisStreamsIoAdapter } from './redis-streams-io.adapter.js';
import { REDIS_STREAMS_CLIENT } from './redis-streams.constants.js';
import { RedisStreamsHealthIndicator } from './redis-streams.health.js';
import {
  ConfigurableModuleClass,
  type ASYNC_OPTIONS_TYPE,
  type OPTIONS_TYPE,
} from './redis-streams.module-definition.js';
import { RedisStreamsMonitor } from './redis-streams.monitor.js';
import { RedisStreamsNode } from './redis-streams.node.js';

/**
 * Makes the application a node of the cluster: all nodes that use the same stream are one Socket.IO server.
 *
 * The application listens when the node can read the stream, and not before (see `startTimeout` and `onStartTimeout`).
 * The node is closed after the application's sockets, by `app.close()` or, with `app.enableShutdownHooks()`, by a signal.
 *
 * @example
 * ```typescript
 * @Module({
 *   imports: [RedisStreamsAdapterModule.forRoot({ connection: { url: 'redis://localhost:6379' } })],
 * })
 * export class AppModule {}
 *
 * const app = await NestFactory.create(AppModule);
 * app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter));
 * app.enableShutdownHooks();
 * await app.listen(3000);
 * ```
 *
 * @publicApi
 */
@Module({
  providers: [
    redisClientProvider,
    RedisStreamsNode,
    RedisStreamsIoAdapter,
    RedisStreamsMonitor,
    RedisStreamsHealthIndicator,
  ],
  exports: [
    REDIS_STREAMS_CLIENT,
    RedisStreamsNode,
    RedisStreamsIoAdapter,
    RedisStreamsMonitor,
    RedisStreamsHealthIndicator,
  ],
})
export class RedisStreamsAdapterModule extends ConfigurableModuleClass {
  /**
   * With options that are known when the module is imported.
   *
   * Starting the application fails with an `InvalidOptionError` if an option has a value that is not allowed, and with a
   * `RedisClientError` if the client is of no known kind or Redis cannot be used.
   */
  static override forRoot(options: typeof OPTIONS_TYPE): DynamicModule {
    return super.forRoot(options ?? {}); // what is missing is reported when the application is made
  }

  /**
   * With options that `useFactory`, or a `RedisStreamsOptionsFactory` given as `useClass` or `useExisting`, makes.
   *
   * @throws InvalidOptionError if none of the three is given
   */
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    checkAsyncOptions('RedisStreamsAdapterModule', options);
    return super.forRootAsync(options);
  }
}
