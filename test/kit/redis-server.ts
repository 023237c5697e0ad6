import { fields, RedisProcess } from './redis-process.js';
import { until } from './until.js';

/**
 * Lines of the configuration of a server that has lost nothing of what it has answered when it is killed. Without the second,
 * a write waits for up to two seconds while the disk is busy.
 */
export const DURABLE: readonly string[] = ['appendonly yes', 'appendfsync always'];

export interface RedisServerOptions {
  /** Path of the server program, such as Valkey's. @default the machine's redis-server */
  binary?: string;
  /** @default a free one */
  port?: number;
  /** Keep the data in an append-only file, so that they survive a kill. @default false */
  appendonly?: boolean;
  /** Password of the default user. */
  password?: string;
  /** ACL users by name, each with its rules, such as `on >secret ~* &* +@all`. */
  users?: Record<string, string>;
  /** Such as `10mb`. */
  maxmemory?: string;
  /** @default noeviction */
  maxmemoryPolicy?: string;
  /** Be a replica of this server. */
  replicaOf?: RedisServer;
  /** Be a node of a cluster. @default false */
  cluster?: boolean;
  /** Commands that clients do not find, in capitals. */
  hidden?: string[];
  /** Further lines of the configuration file. */
  config?: string[];
}

/** One line of CLIENT LIST. */
export interface ClientInfo {
  id: string;
  addr: string;
  name: string;
  /** The last command, such as `xread`. */
  cmd: string;
  user: string;
  /** Numbers of subscribed channels, patterns and sharded channels. */
  sub: number;
  psub: number;
  ssub: number;
  /** Everything that the server says about it. */
  fields: Record<string, string>;
}

/** A real Redis (or Valkey) on a free port, closed after the test. */
export class RedisServer extends RedisProcess {
  readonly #password: string | undefined;

  private constructor(options: RedisServerOptions) {
    const {
      appendonly = false,
      password,
      users = {},
      maxmemory,
      maxmemoryPolicy,
      replicaOf,
      cluster = false,
    } = options;
    const config = [...(appendonly ? DURABLE : ['appendonly no']), 'save ""'];
    if (password !== undefined) config.push(`requirepass ${password}`);
    for (const [name, rules] of Object.entries(users)) config.push(`user ${name} ${rules}`);
    if (maxmemory !== undefined) config.push(`maxmemory ${maxmemory}`);
    if (maxmemoryPolicy !== undefined) config.push(`maxmemory-policy ${maxmemoryPolicy}`);
    // A replica that comes back should not wait for its master's usual pauses.
    config.push('repl-diskless-sync yes', 'repl-diskless-sync-delay 0', 'repl-ping-replica-period 1');
    if (replicaOf) {
      config.push(`replicaof 127.0.0.1 ${replicaOf.port}`);
      if (replicaOf.#password !== undefined) config.push(`masterauth ${replicaOf.#password}`);
    }
    if (cluster) config.push('cluster-enabled yes');
    super({
      binary: options.binary,
      port: options.port,
      hidden: options.hidden,
      busPort: cluster ? 'cluster-port' : undefined,
      config: [...config, ...(options.config ?? [])],
    });
    this.#password = password;
  }

  static start(options: RedisServerOptions = {}): Promise<RedisServer> {
    return new RedisServer(options).launch();
  }

  /** For the default user, with its password. */
  get url(): string {
    return `redis://${this.#password === undefined ? '' : `:${encodeURIComponent(this.#password)}@`}127.0.0.1:${this.port}`;
  }

  /** CLIENT LIST, without the connection that asks. */
  async clients(): Promise<ClientInfo[]> {
    const lines = String(await this.command('CLIENT', 'LIST'))
      .trim()
      .split('\n');
    return lines
      .map((line) => fields(line.trim(), ' ', '='))
      .filter((client) => client['user'] !== 'kit')
      .map((client) => ({
        id: client['id'] ?? '',
        addr: client['addr'] ?? '',
        name: client['name'] ?? '',
        cmd: client['cmd'] ?? '',
        user: client['user'] ?? '',
        sub: Number(client['sub']),
        psub: Number(client['psub']),
        ssub: Number(client['ssub'] ?? 0),
        fields: client,
      }));
  }

  /** CLIENT KILL of those that `which` picks, all by default. Returns how many there were. */
  async killClients(which: (client: ClientInfo) => boolean = () => true): Promise<number> {
    const chosen = (await this.clients()).filter(which);
    for (const { id } of chosen) await this.command('CLIENT', 'KILL', 'ID', id);
    return chosen.length;
  }

  /** Waits until nobody is connected: the server learns a moment later that a connection was closed. */
  async hasNoClients(): Promise<void> {
    await until(async () => (await this.clients()).length === 0, { what: 'all connections to be closed' });
  }

  /** Waits until this replica has received all that its master has. */
  async inSync(): Promise<void> {
    await until(
      async () => {
        const { master_link_status, master_sync_in_progress } = await this.info('replication');
        return master_link_status === 'up' && master_sync_in_progress === '0';
      },
      { what: `replica on port ${this.port} to be in sync` },
    );
  }

  /** Waits until it passes on what is written to so many replicas: only then they have it if it is killed. */
  async sendsTo(replicas: number): Promise<void> {
    await until(
      async () => {
        const lines = Object.entries(await this.info('replication')).filter(([name]) => /^slave\d+$/.test(name));
        return lines.filter(([, line]) => line.includes('state=online')).length === replicas;
      },
      { what: `${replicas} replicas of port ${this.port} to be online` },
    );
  }
}
