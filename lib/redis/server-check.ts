import { RedisClientError } from './driver.js';
import type { Link } from './link.js';

/** What a connection needs of its server. */
export interface ServerNeeds {
  /** Whether PUB/SUB is sharded, which came with Redis 7.0. */
  sharded: boolean;
  /** Whether it is written to, so that a replica will not do. */
  writable: boolean;
}

/**
 * Makes sure that a server can be used, from what `INFO` tells. A user who may not call `INFO` is trusted.
 *
 * @throws RedisClientError if the server is too old, still loads its data, or is a replica where a master is needed
 */
export async function checkServer(link: Link, needs: ServerNeeds): Promise<void> {
  try {
    checkInfo(String(await link.call(['INFO'])), needs);
  } catch (error) {
    if (!(error as Error).message.startsWith('NOPERM')) {
      throw error;
    }
  }
}

/** @throws RedisClientError as {@link checkServer} */
export function checkInfo(info: string, { sharded, writable }: ServerNeeds): void {
  const field = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1];
  const version = field('redis_version');
  const [major = 0, minor = 0] = (version ?? '').split('.').map(Number);
  if (version !== undefined && (major < 6 || (major === 6 && minor < 2))) {
    throw new RedisClientError(`Redis ${version} is too old: Redis 6.2 or later, or Valkey, is needed`);
  }
  if (version !== undefined && sharded && major < 7) {
    throw new RedisClientError(
      `useShardedPubSub needs Redis 7.0 or later, or Valkey, but the server is Redis ${version}`,
    );
  }
  if (field('loading') === '1') {
    throw new RedisClientError('Redis is still loading its data');
  }
  if (writable && field('role') === 'slave') {
    throw new RedisClientError('the server is a replica, and cannot be written to');
  }
}
