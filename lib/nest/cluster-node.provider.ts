import { Logger, type FactoryProvider } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { ClusterNode } from '../cluster/cluster-node.js';
import { InvalidOptionError } from '../cluster/options.js';
import { closeClient, openClient } from './redis-connection.js';
import type { RedisStreamsModuleOptions } from './redis-streams-options.interface.js';
import { REDIS_STREAMS_CLIENT, REDIS_STREAMS_OPTIONS } from './redis-streams.constants.js';

interface OpenNode {
  stream: string;
  close(): Promise<void>;
}

/** The nodes of an application, which has one container however many modules; by their streams. */
const nodesOf = new WeakMap<ModulesContainer, OpenNode[]>();

/** @throws InvalidOptionError, RedisClientError */
export const redisClientProvider: FactoryProvider<object> = {
  provide: REDIS_STREAMS_CLIENT,
  inject: [REDIS_STREAMS_OPTIONS],
  useFactory: async (options: RedisStreamsModuleOptions | undefined): Promise<object> => {
    const { client, connection } = options ?? {};
    if (isMissing(client) && isMissing(connection)) {
      throw new InvalidOptionError(
        'client',
        client,
        'RedisStreamsAdapterModule a client of ioredis or node-redis or, instead, a "connection" such as ' +
          '{ url: "redis://localhost:6379" }',
      );
    }
    if (!isMissing(client) && !isMissing(connection)) {
      throw new InvalidOptionError('connection', connection, 'either "client" or "connection", not both');
    }
    return client ?? (await openClient(connection!));
  },
};

/**
 * The node, started. An application whose node cannot start fails with the reason, and what was opened is closed, for
 * Nest calls no hook of an application that was never made.
 *
 * @throws InvalidOptionError, RedisClientError
 */
export const clusterNodeProvider: FactoryProvider<ClusterNode> = {
  provide: ClusterNode,
  inject: [REDIS_STREAMS_CLIENT, REDIS_STREAMS_OPTIONS, ModulesContainer],
  useFactory: async (
    redisClient: object,
    options: RedisStreamsModuleOptions,
    container: ModulesContainer,
  ): Promise<ClusterNode> => {
    const siblings = nodesOf.get(container) ?? [];
    nodesOf.set(container, siblings);
    try {
      // eslint-disable-next-line @typescript-eslint/no-unused-vars -- what is left is the adapter's
      const { client, connection, serverOptions, ...adapterOptions } = options;
      const node = new ClusterNode(redisClient, adapterOptions, new Logger('RedisStreams'));
      const { streamName, channelPrefix } = node.options;
      const stream = JSON.stringify([streamName, channelPrefix]);
      const isTaken = siblings.some((sibling) => sibling.stream === stream);
      siblings.push({ stream, close: () => closeNode(node, redisClient) });
      if (isTaken) {
        throw new InvalidOptionError(
          'streamName',
          streamName,
          'each RedisStreamsAdapterModule of an application a stream of its own; or call forRoot once, with ' +
            '"isGlobal: true", or export the module where it is imported, and inject it wherever it is needed',
        );
      }
      await node.start();
      return node;
    } catch (error) {
      await Promise.all([closeClient(redisClient), ...siblings.map((sibling) => sibling.close())]);
      throw error;
    }
  },
};

/** Closes a node, and its client if that is the module's. May be called again. */
export async function closeNode(node: ClusterNode, client: unknown): Promise<void> {
  await node.close();
  await closeClient(client);
}

function isMissing(value: unknown): value is undefined | null {
  return value === undefined || value === null;
}
