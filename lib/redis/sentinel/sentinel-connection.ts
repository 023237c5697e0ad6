import { ReconnectingConnection, type ReconnectingConnectionOptions } from '../reconnecting-connection.js';
import type { RedisSocket, RedisSocketOptions } from '../redis-socket.js';
import type { SentinelWatch } from './sentinel-watch.js';

/** A connection to the master that the sentinels name. */
export class SentinelConnection extends ReconnectingConnection {
  constructor(
    private readonly watch: SentinelWatch,
    connect: (options: RedisSocketOptions) => RedisSocket,
    options: ReconnectingConnectionOptions,
  ) {
    super(connect, options);
    watch.add(this);
  }

  override close(): Promise<void> {
    this.watch.delete(this);
    return super.close();
  }
}
