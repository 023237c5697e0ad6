import { formatAddress, type Address } from '../cluster/cluster-slots.js';
import type { RedisSocket, RedisSocketOptions } from '../redis-socket.js';
import { ReconnectingConnection } from '../reconnecting-connection.js';

/** How the sentinels are reached with one kind of client. */
export interface SentinelAccess {
  /** The name of the master. */
  readonly name: string;
  readonly sentinels: readonly Address[];
  connect(sentinel: Address, options: RedisSocketOptions): RedisSocket;
}

/**
 * Listens to a sentinel, and drops all connections when it has made another server the master.
 *
 * When the former master is gone its connections are lost anyway. But in a failover for maintenance it stays a master
 * for another ten seconds or so, and what is appended to it meanwhile is lost when it becomes a replica.
 */
export class SentinelWatch {
  /** To the master: dropped when it is another. */
  private readonly connections = new Set<ReconnectingConnection>();
  /** The connection to a sentinel that says when there is another master. */
  private watching: ReconnectingConnection | undefined;
  /** Counts the tries, each with the next sentinel first. */
  private attempts = 0;
  /** The sentinel that is being listened to. */
  private heard: Address | undefined;
  /** The master that it named last. */
  private master: string | undefined;

  constructor(private readonly access: SentinelAccess) {}

  /** In the order in which they should be asked for the master: first the one that says when there is another. */
  get sentinels(): Address[] {
    const { sentinels } = this.access;
    const { heard } = this;
    return heard ? [heard, ...sentinels.filter((sentinel) => sentinel !== heard)] : rotate(sentinels, this.attempts++);
  }

  add(connection: ReconnectingConnection): void {
    this.connections.add(connection);
  }

  delete(connection: ReconnectingConnection): void {
    this.connections.delete(connection);
    if (this.connections.size === 0) {
      void this.watching?.close();
      this.watching = undefined;
      this.heard = undefined;
    }
  }

  /** To be called when the sentinels can be reached, as often as one likes. */
  start(): void {
    if (!this.watching && this.connections.size > 0) {
      this.watching = this.watch();
    }
  }

  private watch(): ReconnectingConnection {
    let asked: Address;
    const connect = (options: RedisSocketOptions): RedisSocket => {
      asked = rotate(this.access.sentinels, this.attempts++)[0]!;
      return this.access.connect(asked, options);
    };
    const connection: ReconnectingConnection = new ReconnectingConnection(connect, {
      connectionName: 'redis-streams:sentinel',
      sharded: false,
      ...{ role: 'subscriber', writable: false, transactions: false, trusted: false },
      listener: {
        onReady: () => {
          this.heard = asked;
          void this.listen(connection);
        },
        onLost: () => (this.heard = undefined),
        onMessage: (_channel, payload) => {
          const [name, , , host, port] = payload.toString().split(' ');
          if (name === this.access.name && host && port) {
            this.onMaster({ host, port: Number(port) });
          }
        },
      },
    });
    return connection;
  }

  private async listen(connection: ReconnectingConnection): Promise<void> {
    const current = connection.call(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.access.name]);
    const subscribed = connection.subscribe(['+switch-master']);
    try {
      const [address] = await Promise.all([current, subscribed]);
      if (Array.isArray(address)) {
        this.onMaster({ host: String(address[0]), port: Number(address[1]) });
      }
    } catch {
      // Lost, or not permitted: then the connections are ended by the failover itself.
    }
  }

  private onMaster(address: Address): void {
    const former = this.master;
    this.master = formatAddress(address);
    if (former !== undefined && former !== this.master) {
      for (const connection of [...this.connections]) {
        connection.reset();
      }
    }
  }
}

function rotate<T>(list: readonly T[], by: number): T[] {
  const start = by % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}
