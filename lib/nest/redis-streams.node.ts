import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import { WebSocketGateway } from '@nestjs/websockets';
import { ReplaySubject } from 'rxjs';
import { adapterFactory, type RedisStreamsAdapterFactory } from '../adapter/create-adapter.js';
import type { ClusterMember } from '../cluster/cluster-member.js';
import { ClusterNode } from '../cluster/cluster-node.js';
import type { ClusterNodeListener } from '../cluster/event-publisher.js';
import type { ClusterNodeStatus, NodeStatus } from '../cluster/events.js';
import { InMemoryMember } from '../cluster/in-memory-member.js';
import { checkFlag, InvalidOptionError, resolveOptions, type RedisStreamsAdapterOptions } from '../cluster/options.js';
import { driverFor } from '../redis/driver-for.js';
import { closeUnlessClosedLater, closeWithApplication } from './app-lifecycle.js';
import { closeClient } from './redis-connection.js';
import type { RedisStreamsModuleOptions, RedisStreamsServerOptions } from './redis-streams-options.interface.js';
import { REDIS_STREAMS_CLIENT, REDIS_STREAMS_OPTIONS } from './redis-streams.constants.js';

/** Milliseconds after which a start that is not done says what it waits for. */
const SLOW_START_MS = 2_000;

/** What is used of a Socket.IO server here. */
interface SocketIoServer {
  readonly sockets: SocketIoNamespace;
  close(): Promise<void>;
  on(event: 'new_namespace', listener: (namespace: SocketIoNamespace) => void): unknown;
}

interface SocketIoNamespace {
  readonly sockets: { readonly size: number };
  on(
    event: 'connection',
    listener: (socket: { on(event: 'disconnect', listener: () => void): unknown }) => void,
  ): unknown;
}

/** The nodes of an application, which has one container however many modules. */
const nodesOf = new WeakMap<ModulesContainer, RedisStreamsNode[]>();

/**
 * The application as a member of the cluster. It owns what the module opens: it is started when the application is
 * initialized, before it listens, and closed after the application's sockets and after the hooks of all modules, or at once
 * when the application fails to start or to shut down.
 *
 * Inject it to make a `RedisStreamsIoAdapter` of your own.
 *
 * @publicApi
 */
@Injectable()
export class RedisStreamsNode implements ClusterMember, OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  /** Emits when it is closed. @internal */
  readonly closed$ = new ReplaySubject<void>(1);
  /** Options of every Socket.IO server. @internal */
  readonly serverOptions: RedisStreamsServerOptions;

  /** Where the node logs. */
  private readonly logger = new Logger('RedisStreams');
  /** Whether this process takes part, or only looks on. */
  private readonly role: 'node' | 'observer';
  /** See the option `enabled`. */
  private readonly isEnabled: boolean;
  /** Those of the adapter. */
  private readonly options: RedisStreamsAdapterOptions;
  /** The servers of the application that are not closed yet. */
  private readonly servers = new Set<SocketIoServer>();
  /** The namespaces of the servers. */
  private readonly namespaces = new Set<SocketIoNamespace>();
  /** Whether a gateway was given a server by `RedisStreamsIoAdapter`. */
  private isServing = false;
  /** This process as a member of the cluster; undefined before somebody needs it. */
  private made: ClusterNode | InMemoryMember | undefined;
  /** The closing that is under way or done; undefined before. */
  private closing: Promise<void> | undefined;

  /** @throws InvalidOptionError, RedisClientError */
  constructor(
    @Inject(REDIS_STREAMS_CLIENT) private readonly client: object | undefined,
    @Inject(REDIS_STREAMS_OPTIONS) options: RedisStreamsModuleOptions,
    private readonly modules: ModulesContainer,
    private readonly http: HttpAdapterHost,
  ) {
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- what is left is the adapter's
    const { client: _client, connection, serverOptions, role = 'node', enabled = true, ...rest } = options;
    if (role !== 'node' && role !== 'observer') {
      throw new InvalidOptionError('role', role, '"node" or "observer"');
    }
    checkFlag('enabled', enabled);
    this.options = rest;
    this.serverOptions = checkServerOptions(serverOptions ?? {}, enabled);
    this.role = role;
    this.isEnabled = enabled;
    resolveOptions(rest);
    if (enabled) {
      driverFor(client);
      this.rejectSameStream();
    }
    closeWithApplication(modules, this);
  }

  get id(): string {
    return this.member.id;
  }

  /** Nest calls it, before the application listens. */
  async onModuleInit(): Promise<void> {
    await this.start();
  }

  /** Nest calls it when the application has started. Gateways that are not part of the cluster are warned of. */
  onApplicationBootstrap(): void {
    const siblings = nodesOf.get(this.modules) ?? [this];
    if (
      siblings[0] === this &&
      !siblings.some(({ isServing }) => isServing) &&
      this.http.httpAdapter &&
      this.hasGateways()
    ) {
      this.logger.warn(
        'The gateways of this application are not part of the cluster: their server was made without ' +
          'RedisStreamsIoAdapter. Call app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter)) before app.listen().',
      );
    }
  }

  /** Nest calls it when it has closed the sockets, whose sessions were written meanwhile. */
  async onApplicationShutdown(): Promise<void> {
    await closeUnlessClosedLater(this);
  }

  async start(): Promise<void> {
    const slow = setTimeout(() => {
      const reasons = this.status().reasons.join('; ') || 'it does not answer';
      this.logger.warn(`Waiting for Redis to start: ${reasons}`);
    }, SLOW_START_MS);
    try {
      await this.member.start();
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      clearTimeout(slow);
    }
  }

  close(): Promise<void> {
    this.closing ??= this.doClose();
    return this.closing;
  }

  subscribe(listener: ClusterNodeListener): () => void {
    return this.member.subscribe(listener);
  }

  nodes(): NodeStatus[] {
    return this.member.nodes();
  }

  status(): ClusterNodeStatus {
    return this.member.status();
  }

  /** The HTTP server of the application, once it has one. @internal */
  get httpServer(): unknown {
    return this.http.httpAdapter?.getHttpServer() as unknown;
  }

  /**
   * What a Socket.IO server takes as its `adapter`; none without Redis.
   *
   * @throws InvalidOptionError if this is an observer
   * @internal
   */
  socketAdapter(): RedisStreamsAdapterFactory | undefined {
    if (this.role === 'observer') {
      throw new InvalidOptionError(
        'role',
        this.role,
        '"node" in an application with gateways: an observer serves no sockets',
      );
    }
    const { member } = this;
    if (!(member instanceof ClusterNode)) {
      return undefined;
    }
    // Nest makes servers before it initializes modules; whether the node could start is asked there.
    member.start().catch(() => undefined);
    // The node outlives its namespaces: it is closed with the module.
    return adapterFactory(member, () => Promise.resolve());
  }

  /** @internal */
  onServer(server: SocketIoServer): void {
    this.isServing = true;
    this.servers.add(server);
    const { member } = this;
    if (member instanceof InMemoryMember) {
      this.count(server.sockets, member);
      server.on('new_namespace', (namespace) => this.count(namespace, member));
    }
  }

  /** @internal */
  onServerClosed(server: SocketIoServer): void {
    this.servers.delete(server);
  }

  /** Made when it is needed first, so that an application that fails before it starts has opened nothing. */
  private get member(): ClusterNode | InMemoryMember {
    this.made ??= this.isEnabled
      ? new ClusterNode(this.client, this.options, this.logger, this.role)
      : new InMemoryMember(() => [...this.namespaces].reduce((sum, { sockets }) => sum + sockets.size, 0));
    return this.made;
  }

  private async doClose(): Promise<void> {
    // Nest has closed them, unless the application has failed. Their sessions are written as they close.
    for (const server of this.servers) {
      server.close().catch(() => undefined);
    }
    await this.member.close(); // also one that has not been used: it must not be opened later
    await closeClient(this.client);
    this.closed$.next();
    this.closed$.complete();
  }

  private count(namespace: SocketIoNamespace, member: InMemoryMember): void {
    if (this.namespaces.has(namespace)) {
      return;
    }
    this.namespaces.add(namespace);
    namespace.on('connection', (socket) => {
      member.onChange();
      socket.on('disconnect', () => member.onChange());
    });
  }

  private rejectSameStream(): void {
    const siblings = nodesOf.get(this.modules) ?? [];
    nodesOf.set(this.modules, [...siblings, this]);
    const { streamName, channelPrefix } = resolveOptions(this.options);
    const isTaken = siblings.some(({ options }) => {
      const other = resolveOptions(options);
      return other.streamName === streamName && other.channelPrefix === channelPrefix;
    });
    if (isTaken) {
      throw new InvalidOptionError(
        'streamName',
        streamName,
        'each RedisStreamsAdapterModule of an application a stream of its own; or call forRoot once, with ' +
          '"isGlobal: true", or export the module where it is imported, and inject it wherever it is needed',
      );
    }
  }

  private hasGateways(): boolean {
    return [...this.modules.values()].some(({ providers }) =>
      [...providers.values()].some(({ metatype }) => typeof metatype === 'function' && isGateway(metatype)),
    );
  }
}

@WebSocketGateway()
class SomeGateway {}

/** What `@WebSocketGateway()` marks a class with, whatever it is called. */
const GATEWAY_MARKS = Reflect.getMetadataKeys(SomeGateway).filter(
  (key) => Reflect.getMetadata(key as string, SomeGateway) === true,
);

function isGateway(metatype: object): boolean {
  return GATEWAY_MARKS.some((mark) => Reflect.getMetadata(mark as string, metatype) === true);
}

/** @throws InvalidOptionError */
function checkServerOptions(serverOptions: unknown, enabled: boolean): RedisStreamsServerOptions {
  if (typeof serverOptions !== 'object' || serverOptions === null || Array.isArray(serverOptions)) {
    throw new InvalidOptionError(
      'serverOptions',
      serverOptions,
      'an object with options of Socket.IO servers, such as { connectionStateRecovery: {} }',
    );
  }
  const { adapter } = serverOptions as { adapter?: unknown };
  if (enabled && adapter !== undefined) {
    throw new InvalidOptionError(
      'serverOptions.adapter',
      adapter,
      'no adapter: RedisStreamsAdapterModule has its own, whose options are beside "serverOptions"',
    );
  }
  return serverOptions;
}
