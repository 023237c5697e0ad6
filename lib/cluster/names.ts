import type { RedisDriver } from '../redis/driver.js';
import type { AppScope } from '../wire/app-scope.js';
import { ChannelNames } from '../wire/channels.js';
import { sessionKeyPrefix } from '../wire/keys.js';
import type { ResolvedOptions } from './options.js';

type NamingOptions = Pick<
  ResolvedOptions,
  'streamName' | 'channelPrefix' | 'sessionKeyPrefix' | 'useShardedPubSub' | 'referenceNames'
>;

/** The channels of an application, which those of another on the same Redis never are, unless `referenceNames` is set. */
export function channelNames(driver: Pick<RedisDriver, 'keyspace'>, options: NamingOptions): ChannelNames {
  const { channelPrefix, streamName } = options;
  return new ChannelNames(channelPrefix, streamName, options.referenceNames ? {} : scopeOf(driver, options));
}

/** The beginning of the keys of an application's sessions. */
export function sessionKeys({ sessionKeyPrefix: prefix, streamName, referenceNames }: NamingOptions): string {
  return referenceNames ? prefix : sessionKeyPrefix(prefix, streamName);
}

function scopeOf({ keyspace }: Pick<RedisDriver, 'keyspace'>, options: NamingOptions): Partial<AppScope> {
  const { streamName, useShardedPubSub } = options;
  if (!keyspace) {
    return { streamName };
  }
  const { database, keyPrefix, prefixesShardedChannels } = keyspace;
  const isPrefixed = useShardedPubSub && prefixesShardedChannels; // by the client: then all channels have it already
  return { streamName, database, keyPrefix: isPrefixed ? '' : keyPrefix };
}
