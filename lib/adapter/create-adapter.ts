import type { ClusterMember } from '../cluster/cluster-member.js';
import { ClusterNode } from '../cluster/cluster-node.js';
import { debugLogger, type RedisStreamsLogger } from '../cluster/logger.js';
import type { RedisStreamsAdapterOptions } from '../cluster/options.js';
import { RedisStreamsAdapter } from './redis-streams.adapter.js';

/**
 * What `new Server({ adapter })` takes, and the node behind it.
 *
 * @publicApi
 */
export interface RedisStreamsAdapterFactory {
  /**
   * Makes the adapter of a namespace. Only Socket.IO calls it, with `new`. Its type fits the `Adapter` of any copy of
   * socket.io-adapter: that class has private fields, so no class but its own copy's is one in the eyes of TypeScript.
   */
  (nsp: unknown): never;
  new (nsp: unknown): never;
  /** This process as a member of the cluster: its state, the other nodes, events. */
  readonly node: ClusterMember;
}

/**
 * Makes a Socket.IO server a member of the cluster, without Nest: `new Server({ adapter: createAdapter(client) })`.
 *
 * The node is closed with the last namespace of its servers, that is by `io.close()`.
 *
 * @param client - a client of ioredis or node-redis. It is duplicated, never used, changed or closed.
 * @param logger - gets a line for each change of state, such as Redis lost and reconnected; such as `console`. Without one, errors
 *   are on the console, and all lines with the environment variable `DEBUG=redis-streams-adapter`
 * @throws InvalidOptionError if an option has a value that is not allowed
 * @throws RedisClientError if the client is of no known kind
 * @publicApi
 */
export function createAdapter(
  client: unknown,
  options: RedisStreamsAdapterOptions = {},
  logger: RedisStreamsLogger = debugLogger,
): RedisStreamsAdapterFactory {
  // Nobody awaits this start, so it cannot fail: the node begins without Redis if need be.
  const node = new ClusterNode(client, { ...options, onStartTimeout: 'degrade' }, logger);
  void node.start();
  return adapterFactory(node, async (last) => {
    if (last) {
      await node.close();
    }
  });
}

/** @param onClosed - called when a namespace is closed; `last`: none is left */
export function adapterFactory(
  node: ClusterNode,
  onClosed: (last: boolean) => Promise<void>,
): RedisStreamsAdapterFactory {
  // Socket.IO calls it with "new", which an arrow function does not allow.
  function Factory(nsp: unknown): RedisStreamsAdapter {
    return new RedisStreamsAdapter(nsp, node, onClosed);
  }
  return Object.assign(Factory as unknown as RedisStreamsAdapterFactory, { node });
}
