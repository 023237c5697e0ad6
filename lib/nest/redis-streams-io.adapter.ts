import { Injectable } from '@nestjs/common';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { InvalidOptionError } from '../cluster/options.js';
import { RedisStreamsNode } from './redis-streams.node.js';
import type { RedisStreamsServerOptions } from './redis-streams-options.interface.js';

type Server = ReturnType<IoAdapter['createIOServer']>;

/**
 * Nest's `IoAdapter`, whose servers belong to the cluster. It is a provider of the module:
 * `app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter))`.
 *
 * Gateways on the application's port and on ports of their own, namespaces and the options of gateways work as with
 * `IoAdapter`. It can be extended: a subclass is a provider of a module that imports `RedisStreamsAdapterModule`.
 *
 * @example
 * ```typescript
 * @Injectable()
 * export class AppIoAdapter extends RedisStreamsIoAdapter {
 *   constructor(node: RedisStreamsNode, private readonly config: ConfigService) {
 *     super(node);
 *   }
 *
 *   override createIOServer(port?: number, options?: RedisStreamsServerOptions) {
 *     const cors = { origin: this.config.getOrThrow<string>('ORIGIN') };
 *     return super.createIOServer(port, { ...options, cors });
 *   }
 * }
 *
 * app.useWebSocketAdapter(app.get(AppIoAdapter));
 * ```
 *
 * @publicApi
 */
@Injectable()
export class RedisStreamsIoAdapter extends IoAdapter {
  private readonly hasOwnServer: boolean;

  /**
   * @param node - the module's: `app.get(RedisStreamsNode)`
   * @param httpServer - a server of `node:http` or `node:https` (or the application), as for `new IoAdapter(httpServer)`;
   *   by default the application's
   */
  constructor(
    private readonly node: RedisStreamsNode,
    httpServer?: object,
  ) {
    if (typeof (node as Partial<RedisStreamsNode> | undefined)?.socketAdapter !== 'function') {
      throw new InvalidOptionError(
        'node',
        node,
        'RedisStreamsIoAdapter the node of RedisStreamsAdapterModule: app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter)) ' +
          'or, with a server of your own, new RedisStreamsIoAdapter(app.get(RedisStreamsNode), httpServer)',
      );
    }
    super(httpServer);
    this.hasOwnServer = httpServer !== undefined;
  }

  /**
   * Makes a Socket.IO server that belongs to the cluster. Nest calls it, for each port and path of the gateways.
   *
   * @param port - 0 for the HTTP server's own
   * @param options - those of the gateway; they come before the module's `serverOptions`
   */
  override createIOServer(port?: number, options?: RedisStreamsServerOptions): Server {
    if (!this.hasOwnServer) {
      // Nest makes the application's HTTP server after its providers.
      Object.assign(this, { httpServer: this.node.httpServer });
    }
    const adapter = this.node.socketAdapter();
    const all = { ...this.node.serverOptions, ...options, ...(adapter && { adapter }) };
    const server = super.createIOServer(port ?? 0, all as unknown as Parameters<IoAdapter['createIOServer']>[1]);
    this.node.onServer(server as Parameters<RedisStreamsNode['onServer']>[0]);
    return server;
  }

  /** Closes such a server, and so its sockets, whose sessions are written. */
  override async close(server: Server): Promise<void> {
    const { httpServer } = server as { httpServer?: unknown };
    const isForced = this.forceCloseConnections && httpServer !== undefined && httpServer === this.httpServer;
    const isApplications = httpServer === this.node.httpServer;
    this.node.onServerClosed(server as Parameters<RedisStreamsNode['onServer']>[0]);
    if (!isForced) {
      await super.close(server);
      return;
    }
    // `IoAdapter` leaves it open, with its sockets and adapters.
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
    if (!isApplications) {
      await closed;
    } // else Nest is about to cut all connections of the application's port, and to wait here for their end is in vain
  }
}

// Nest injects the node alone. Decorators of the second parameter would be inherited by the constructors of subclasses.
Reflect.defineMetadata('design:paramtypes', [RedisStreamsNode], RedisStreamsIoAdapter);
