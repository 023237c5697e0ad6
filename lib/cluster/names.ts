import type { RedisDriver } from '../redis/driver.js';
import type { AppScope } from '../wire/app-scope.js';
import { ChannelNames } from '../wire/channels.js';
import { sessionKeyPrefix, streamNames } from '../wire/keys.js';
import type { ResolvedOptions } from './options.js';

type NamingOptions = Pick<
  ResolvedOptions,
  'streamName' | 'streamCount' | 'channelPrefix' | 'sessionKeyPrefix' | 'useShardedPubSub' | 'referenceNames'
>;

/**
 * The names of an application as they are in Redis: they begin with what the user's client puts before names, so nothing
 * below needs to know of it. Another application on the same Redis has none of them, unless `referenceNames` is set.
 */
export interface Names {
  readonly streams: readonly string[];
  readonly channels: ChannelNames;
  /** What the keys of all sessions begin with. */
  readonly sessionKeys: string;
}

export function namesInRedis(driver: Pick<RedisDriver, 'prefix' | 'database'>, options: NamingOptions): Names {
  const { streamName, streamCount, channelPrefix, useShardedPubSub, referenceNames } = options;
  const { keys, shardedChannels } = driver.prefix ?? { keys: '', shardedChannels: '' };
  const beforeChannels = useShardedPubSub ? shardedChannels : '';
  const scope: AppScope = {
    streamName,
    database: driver.database ?? 0,
    keyPrefix: beforeChannels === '' ? keys : '', // else all channels begin with it
  };
  const sessions = referenceNames ? options.sessionKeyPrefix : sessionKeyPrefix(options.sessionKeyPrefix, streamName);
  return {
    streams: streamNames({ streamName: keys + streamName, streamCount }),
    channels: new ChannelNames(beforeChannels + channelPrefix, streamName, referenceNames ? {} : scope),
    sessionKeys: keys + sessions,
  };
}
