import { Inject, Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { adapterFactory } from '../adapter/create-adapter.js';
import { ClusterNode } from '../cluster/cluster-node.js';
import type { RedisStreamsModuleOptions } from './redis-streams-options.interface.js';
import { REDIS_STREAMS_OPTIONS } from './redis-streams.constants.js';

type ServerOptions = Parameters<IoAdapter['createIOServer']>[1];
type Server = ReturnType<IoAdapter['createIOServer']>;

/**
 * Nest's `IoAdapter`, whose servers belong to the cluster. It is a provider of the module:
 * `app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter))`.
 *
 * Gateways on the application's port and on ports of their own, namespaces and the options of gateways work as with
 * `IoAdapter`.
 *
 * @publicApi
 */
@Injectable()
export class RedisStreamsIoAdapter extends IoAdapter {
  constructor(
    private readonly node: ClusterNode,
    private readonly host: HttpAdapterHost,
    @Inject(REDIS_STREAMS_OPTIONS) private readonly options: RedisStreamsModuleOptions,
  ) {
    super();
    if (typeof (node as Partial<ClusterNode> | undefined)?.logOf !== 'function') {
      throw new Error(
        'RedisStreamsIoAdapter is not for you to make: import RedisStreamsAdapterModule and write ' +
          'app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter)).',
      );
    }
  }

  /**
   * @param port - 0 for the application's own
   * @param options - those of the gateway; they come before the module's `serverOptions`
   */
  override createIOServer(port?: number, options?: ServerOptions): Server {
    // Nest makes the application's HTTP server after its providers.
    Object.assign(this, { httpServer: this.host.httpAdapter?.getHttpServer() as unknown });
    const server = {
      ...this.options.serverOptions,
      ...options,
      // The node outlives its namespaces: it is closed with the module.
      adapter: adapterFactory(this.node, () => Promise.resolve()),
    };
    return super.createIOServer(port ?? 0, server as unknown as ServerOptions);
  }

  override async close(server: Server): Promise<void> {
    const { httpServer } = server as { httpServer?: unknown };
    if (this.forceCloseConnections && httpServer !== undefined && httpServer === this.httpServer) {
      // Nest is about to cut all connections of the application's port, and to wait here for their end is in vain. But
      // sockets and adapters are to be closed, which `IoAdapter` leaves undone.
      void server.close();
      return;
    }
    await super.close(server);
  }
}
