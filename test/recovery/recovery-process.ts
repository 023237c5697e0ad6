import type { RedisStreamsAdapterOptions } from '../../lib/adapter/index.js';
import { NodeProcess, type NodeProcessOptions } from '../kit/index.js';
import type { RedisPlace } from './topology.js';

export interface RecoveryProcessOptions {
  kind: 'ours' | 'reference';
  /** The port of Redis, if that is a single server. */
  port?: number;
  /** Where Redis is, otherwise. */
  place?: RedisPlace;
  adapter?: RedisStreamsAdapterOptions;
  /** What clients connect to, and what is sent in. @default "/" */
  namespace?: string;
  /** The most milliseconds that a middleware takes. @default 0: there is none */
  middleware?: number;
  skipMiddlewares?: boolean;
  maxDisconnectionDuration?: number;
  /** Milliseconds by which the clock of the process is wrong. */
  clockAhead?: number;
}

/**
 * A node with connection state recovery in a process of its own, which can be killed and suspended.
 * `recovery-node.child.ts` has the methods that it can be asked for.
 */
export function startRecoveryProcess(
  options: RecoveryProcessOptions,
  settings: Omit<NodeProcessOptions, 'options'> = {},
): Promise<NodeProcess> {
  return NodeProcess.start(new URL('./recovery-node.child.ts', import.meta.url), {
    startTimeout: 60_000,
    ...settings,
    options,
  });
}
