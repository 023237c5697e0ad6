import {
  createAdapter,
  type ClusterEvent,
  type RedisStreamsAdapterFactory,
  type RedisStreamsAdapterOptions,
} from '../../lib/adapter/index.js';

/** This package's adapter, and what its node tells and logs. */
export interface NotedAdapter {
  factory: RedisStreamsAdapterFactory;
  events: ClusterEvent[];
  log: string[];
}

export function createNotedAdapter(client: unknown, options: RedisStreamsAdapterOptions): NotedAdapter {
  const events: ClusterEvent[] = [];
  const log: string[] = [];
  const note = (line: string): void => void log.push(line);
  const factory = createAdapter(client, options, { log: note, warn: note, error: note });
  factory.node.subscribe({ onEvent: (event) => events.push(event) });
  return { factory, events, log };
}
