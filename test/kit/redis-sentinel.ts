import { fields } from './redis-process.js';
import { RedisServer } from './redis-server.js';
import { SentinelProcess } from './sentinel-process.js';
import { until } from './until.js';

export interface RedisSentinelOptions {
  /** Path of the server program, such as Valkey's. @default the machine's redis-server */
  binary?: string;
  /** @default 1 */
  replicas?: number;
  /** A majority of them has to live for a failover. @default 1 */
  sentinels?: number;
  /** Milliseconds of silence after which the master counts as down. @default 500 */
  downAfter?: number;
  /** Password of the servers' default user. */
  password?: string;
  /** Further lines of each server's configuration file. */
  config?: string[];
}

/** A master with replicas, watched by sentinels that have a replica take over when the master is gone. */
export class RedisSentinel {
  readonly name = 'mymaster';
  readonly servers: readonly RedisServer[];
  readonly sentinels: readonly SentinelProcess[];

  private constructor(servers: RedisServer[], sentinels: SentinelProcess[]) {
    this.servers = servers;
    this.sentinels = sentinels;
  }

  static async start(options: RedisSentinelOptions = {}): Promise<RedisSentinel> {
    const { replicas = 1, sentinels = 1, downAfter = 500, password, config = [] } = options;
    // Any server may come to be a replica, so each knows the password.
    const common = {
      ...(options.binary === undefined ? {} : { binary: options.binary }),
      ...(password === undefined ? { config } : { password, config: [`masterauth ${password}`, ...config] }),
    };
    const master = await RedisServer.start(common);
    const start = (): Promise<RedisServer> => RedisServer.start({ ...common, replicaOf: master });
    const replicaServers = await Promise.all(Array.from({ length: replicas }, start));
    // A sentinel asks for the replicas when it starts, and then every ten seconds only.
    await Promise.all(replicaServers.map((replica) => replica.inSync()));
    await master.sendsTo(replicas);
    const watch = (): Promise<SentinelProcess> =>
      SentinelProcess.start({
        binary: options.binary,
        name: 'mymaster',
        masterPort: master.port,
        masterPassword: password,
        quorum: Math.floor(sentinels / 2) + 1,
        downAfter,
      });
    const group = new RedisSentinel(
      [master, ...replicaServers],
      await Promise.all(Array.from({ length: sentinels }, watch)),
    );
    await until(() => group.#isComplete(), {
      what: 'the sentinels to know all servers and each other',
      timeout: 20_000,
    });
    return group;
  }

  /** What a client of the group is given, beside its name. */
  get addresses(): { host: string; port: number }[] {
    return this.sentinels.map(({ port }) => ({ host: '127.0.0.1', port }));
  }

  /** Port of the master, in the opinion of a sentinel that runs. */
  async masterPort(): Promise<number> {
    const [, port] = (await this.#any.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.name)) as string[];
    return Number(port);
  }

  async master(): Promise<RedisServer> {
    const port = await this.masterPort();
    const server = this.servers.find((candidate) => candidate.port === port);
    if (!server) throw new Error(`No server of the group has port ${port}`);
    return server;
  }

  /** Kills the master, and waits until a replica has taken over. Returns the one that was killed. */
  async failover(): Promise<RedisServer> {
    const former = await this.master();
    await former.kill();
    await this.movedFrom(former);
    return former;
  }

  /** Has a replica take over while the master lives; the latter becomes a replica. Returns the former master. */
  async switchover(): Promise<RedisServer> {
    const former = await this.master();
    // A sentinel refuses while an earlier failover is not quite over, or the replicas are not known to be good.
    const isAccepted = (): Promise<boolean> =>
      this.#any.command('SENTINEL', 'FAILOVER', this.name).then(
        () => true,
        (error: Error) => (/^(INPROG|NOGOODSLAVE)/.test(error.message) ? false : Promise.reject(error)),
      );
    await until(isAccepted, { what: 'a sentinel to accept a failover', timeout: 30_000, interval: 100 });
    await this.movedFrom(former);
    return former;
  }

  /** Waits until all sentinels that run name another master than `former`, and that server says that it is one. */
  async movedFrom(former: RedisServer): Promise<void> {
    await until(
      async () => {
        const master = await this.agreedMaster();
        return master !== undefined && master !== former;
      },
      { what: 'a failover', timeout: 60_000, interval: 50 },
    );
  }

  /**
   * Whether a sentinel is not through with a failover, though the others are. If the new master fails before that one has seen the
   * others follow it, it waits for that very server for ever.
   */
  async isFailingOver(): Promise<boolean> {
    const masters = await Promise.all(this.#alive.map((one) => one.command('SENTINEL', 'MASTER', this.name)));
    return masters.some((fields) => String(fields).includes('failover_in_progress'));
  }

  /** The master, if all sentinels that run name the same server, and that says that it is one. */
  async agreedMaster(): Promise<RedisServer | undefined> {
    const master = await this.master();
    const named = await Promise.all(
      this.#alive.map((sentinel) => sentinel.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.name)),
    );
    const isAgreed = named.every((address) => Number((address as string[])[1]) === master.port);
    return isAgreed && (await master.info('replication'))['role'] === 'master' ? master : undefined;
  }

  async close(): Promise<void> {
    await Promise.all([...this.sentinels, ...this.servers].map((process) => process.close()));
  }

  get #alive(): SentinelProcess[] {
    return this.sentinels.filter((sentinel) => sentinel.isRunning);
  }

  get #any(): SentinelProcess {
    const sentinel = this.#alive[0];
    if (!sentinel) throw new Error('No sentinel is running');
    return sentinel;
  }

  async #isComplete(): Promise<boolean> {
    const infos = await Promise.all(this.sentinels.map((sentinel) => sentinel.command('INFO', 'sentinel')));
    return infos.every((info) => {
      const line = /^master0:(.*)$/m.exec(String(info))?.[1] ?? '';
      const { status, slaves, sentinels } = fields(line.trim(), ',', '=');
      return (
        status === 'ok' && Number(slaves) === this.servers.length - 1 && Number(sentinels) === this.sentinels.length
      );
    });
  }
}
