import { randomUUID } from 'node:crypto';
import type { ServerOptions } from 'socket.io';
import type { RedisStreamsAdapterOptions } from '../../lib/cluster/options.js';
import { streamIndexOf } from '../../lib/wire/keys.js';
import { connectionsOf, startDeployment, type Deployment, type ServerKind, type Topology } from './deployment.js';
import { NodeProcess } from './node-process.js';
import type { RedisClientKind } from './redis-client.js';
import { SocketServer, type AdapterKind, type SocketServerOptions, type TaskContext } from './socket-server.js';
import { MARK, TestClient, type TestClientOptions } from './test-client.js';
import { until } from './until.js';

/** One line of the matrix: what a cluster consists of. */
export interface Row {
  client: RedisClientKind;
  server: ServerKind;
  topology: Topology;
  /** The adapter of each node. */
  nodes: readonly AdapterKind[];
  /** Options of the adapters. */
  options?: RedisStreamsAdapterOptions;
  /** Whether connection state recovery is on. */
  recovery?: boolean;
  /** Whether each node is a process of its own. */
  processes?: boolean;
  /** Further lines of the servers' configuration files. */
  config?: string[];
}

export function nameOf({ client, server, topology, nodes, options = {}, recovery, processes }: Row): string {
  const kinds = nodes.every((kind) => kind === 'ours') ? [] : [`nodes ${nodes.join(', ')}`];
  const settings = Object.entries(options).map(([name, value]) => `${name} ${value}`);
  const parts = [client, `${server} ${topology}`, ...kinds, ...settings];
  return [...parts, ...(recovery ? ['recovery'] : []), ...(processes ? ['child processes'] : [])].join(', ');
}

type Task<A extends unknown[], R> = (context: TaskContext, ...args: A) => R | Promise<R>;

/** A Socket.IO server, in this process or in another. */
export interface FleetNode {
  readonly kind: AdapterKind;
  readonly url: string;
  /** If it is one of its own. */
  readonly process?: NodeProcess;
  /**
   * Calls a function beside the server. It must not use anything but its arguments, which are copied as structured
   * clones, as is what it returns: the function may run in another process.
   */
  run<A extends unknown[], R>(task: Task<A, R>, ...args: A): Promise<R>;
  close(): Promise<void>;
}

const FAST: RedisStreamsAdapterOptions = { heartbeatInterval: 500, heartbeatTimeout: 3_000, blockTimeInMs: 200 };

/** Socket.IO servers that share a Redis, and their clients. */
export class Fleet {
  readonly nodes: FleetNode[] = [];
  private clients: TestClient[] = [];

  private constructor(
    readonly row: Row,
    readonly deployment: Deployment,
    private readonly serverOptions: Partial<ServerOptions>,
  ) {}

  static async start(row: Row, serverOptions: Partial<ServerOptions> = {}): Promise<Fleet> {
    const deployment = await startDeployment(row.server, row.topology, row.config);
    const fleet = new Fleet(row, deployment, serverOptions);
    fleet.nodes.push(...(await Promise.all(row.nodes.map((kind) => fleet.startNode(kind)))));
    await fleet.isReady();
    return fleet;
  }

  /** The node's index, counted from its end if it is negative. */
  node(index: number): FleetNode {
    return this.nodes.at(index)!;
  }

  /** One more node, which is not counted among `nodes`. */
  async startNode(kind: AdapterKind, { ownProcess = this.row.processes } = {}): Promise<FleetNode> {
    const { client, recovery, options } = this.row;
    const settings: SocketServerOptions = {
      adapter: kind,
      client,
      address: this.deployment.address,
      options: { ...FAST, ...options },
      server: {
        ...(recovery ? { connectionStateRecovery: { maxDisconnectionDuration: 60_000, skipMiddlewares: true } } : {}),
        ...this.serverOptions,
      },
    };
    return ownProcess ? startProcess(settings) : startHere(settings);
  }

  /** A name for a namespace of which the reference, if it takes part, reads the stream. */
  nsp(name: string): string {
    const { nodes, options } = this.row;
    const { streamCount = 1 } = options ?? {};
    return nodes.includes('reference') && streamCount > 1 ? nonNegative(name, streamCount) : name;
  }

  /** Creates a namespace on all nodes. */
  async create(nsp: string): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.run(({ io }, nsp) => void io.of(nsp), nsp)));
    await this.isKnown(nsp);
  }

  /** Waits until all nodes hear the requests of a namespace. */
  async isKnown(nsp = '/', count = this.nodes.length): Promise<void> {
    const countServers = ({ io }: TaskContext, nsp: string): Promise<number> => io.of(nsp).adapter.serverCount();
    await until(async () => (await this.node(0).run(countServers, nsp)) === count, {
      what: `${count} servers with the namespace ${nsp}`,
    });
  }

  async connect(node: FleetNode | number, options?: TestClientOptions): Promise<TestClient> {
    const { url } = typeof node === 'number' ? this.node(node) : node;
    const client = await TestClient.connect(url, options);
    this.clients.push(client);
    return client;
  }

  /** A client on each node. */
  connectToEach(options?: TestClientOptions): Promise<TestClient[]> {
    return Promise.all(this.nodes.map((_, index) => this.connect(index, options)));
  }

  /**
   * Waits until the clients have received all that these nodes have sent so far: something that is sent last has
   * arrived. It overtakes nothing but volatile broadcasts, requests and what is still being applied.
   */
  async settle(clients: TestClient[], { nsp = '/', from = this.nodes }: { nsp?: string; from?: FleetNode[] } = {}) {
    const marks = from.map(() => randomUUID());
    const emit = ({ io }: TaskContext, nsp: string, ...event: string[]): void =>
      void io.of(nsp).emit(...(event as [string]));
    await Promise.all(from.map((node, i) => node.run(emit, nsp, MARK, marks[i]!)));
    await until(() => clients.every((client) => marks.every((mark) => client.marks.has(mark))), {
      what: 'the last broadcast of each node',
      interval: 2,
    }).catch((error: Error) => {
      const lacking = clients.map((client) => marks.map((mark) => Number(client.marks.has(mark))).join(''));
      throw new Error(`${error.message}: ${lacking.join(' ')}`, { cause: error });
    });
  }

  /** Disconnects all clients, and waits until no node has one. */
  async disconnectAll(): Promise<void> {
    for (const client of this.clients) {
      client.close();
    }
    this.clients = [];
    const count = ({ io }: TaskContext): number => io.engine.clientsCount;
    await until(async () => (await Promise.all(this.nodes.map((node) => node.run(count)))).every((n) => n === 0), {
      what: 'all clients to be gone',
    });
  }

  async close(): Promise<void> {
    await this.disconnectAll();
    await Promise.all(this.nodes.map((node) => node.close()));
    // The reference would go on asking a Redis that is gone, without a pause.
    await until(async () => (await connectionsOf(this.deployment)).length === 0, { what: 'no connection to Redis' });
    await this.deployment.close();
  }

  private async isReady(): Promise<void> {
    await this.isKnown();
    if (this.row.nodes.includes('reference')) {
      await Promise.all(this.ofEachStream().map((nsp) => this.wakeReference(nsp)));
    }
  }

  /** Until it has read its first entry, the reference misses what is sent between two of its reads. */
  private async wakeReference(nsp: string): Promise<void> {
    await this.create(nsp);
    const clients = await this.connectToEach({ nsp });
    await until(
      async () => {
        await this.node(0).run(({ io }, nsp) => void io.of(nsp).emit('awake?'), nsp);
        return clients.every(({ received }) => received.length > 0);
      },
      { what: 'the reference to read', interval: 50 },
    );
    for (const client of clients) {
      client.close();
    }
  }

  /** A namespace of each stream. */
  private ofEachStream(): string[] {
    const { streamCount = 1 } = this.row.options ?? {};
    const names = new Map<number, string>();
    for (let i = 0; names.size < streamCount; i++) {
      const nsp = this.nsp(`/awake-${i}`);
      names.set(streamIndexOf(nsp, streamCount), nsp);
    }
    return [...names.values()];
  }
}

async function startHere(settings: SocketServerOptions): Promise<FleetNode> {
  const server = await SocketServer.start(settings);
  return {
    kind: settings.adapter,
    url: server.url,
    run: async (task, ...args) => task(server, ...args),
    close: () => server.close(),
  };
}

async function startProcess(settings: SocketServerOptions): Promise<FleetNode> {
  const process = await NodeProcess.start(new URL('./socket-server.child.ts', import.meta.url), {
    options: settings,
    name: `${settings.adapter} node`,
  });
  return {
    kind: settings.adapter,
    url: await process.call<string>('url'),
    process,
    run: (task, ...args) => process.call('run', task.toString(), args),
    close: async () => {
      await process.call('close');
      await process.release();
      await process.close();
    },
  };
}

/**
 * The name, or a longer one, of which the reference's hash is not negative: it writes the others to streams that nobody
 * reads.
 */
function nonNegative(name: string, streamCount: number): string {
  for (let suffix = 0; ; suffix++) {
    const nsp = suffix === 0 ? name : `${name}${suffix}`;
    if (referenceIndexOf(nsp, streamCount) >= 0) {
      return nsp;
    }
  }
}

/** As the reference computes it. */
export function referenceIndexOf(nsp: string, streamCount: number): number {
  let hash = 0;
  for (let i = 0; i < nsp.length; i++) {
    hash = (hash * 31 + nsp.charCodeAt(i)) | 0;
  }
  return hash % streamCount;
}
