import { describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { ClusterNode } from '../../lib/cluster/cluster-node.js';
import { LEAST_RIGHTS } from '../faults/least-rights.js';
import { closeAfterwards, RedisServer } from '../kit/index.js';
import { describeFeatures } from './features.js';

/** What came after Redis 6.2. */
const LATER_COMMANDS = [
  ...['blmpop', 'bzmpop', 'eval_ro', 'evalsha_ro', 'expiretime', 'fcall', 'fcall_ro', 'function', 'lmpop'],
  ...['pexpiretime', 'sintercard', 'sort_ro', 'spublish', 'ssubscribe', 'sunsubscribe', 'zmpop'],
];
const config = LATER_COMMANDS.map((command) => `rename-command ${command} ""`);

describe('a server without the commands that came after Redis 6.2', () => {
  describeFeatures({
    ...{ client: 'ioredis 6', server: 'Redis', topology: 'single', config },
    ...{ nodes: ['ours', 'ours', 'ours'], recovery: true, options: { streamCount: 2 } },
  });

  test('cannot be used with sharded PUB/SUB, which the start says', async () => {
    const redis = await RedisServer.start({ config });
    const client = new Redis(redis.port, { lazyConnect: true });
    const node = closeAfterwards(new ClusterNode(client, { useShardedPubSub: true, startTimeout: 500 }));
    await expect(node.start()).rejects.toThrow(/cannot be subscribed to: ERR unknown command 'ssubscribe'/);
  });
});

test('no right that a node needs is of a later command than Redis 6.2', async () => {
  const redis = await RedisServer.start();
  const names = LEAST_RIGHTS.filter((rule) => /^\+[a-z]/.test(rule)).map((rule) => rule.slice(1));
  expect(names.length).toBeGreaterThan(20);
  for (const name of names) {
    const [command, subcommand] = name.split('|');
    const docs = await redis.command('COMMAND', 'DOCS', subcommand ? `${command}|${subcommand}` : command!);
    const fields = (docs as string[][])[1]!;
    const since = fields[fields.indexOf('since') + 1]!;
    expect({ name, old: since.localeCompare('6.2.0', 'en', { numeric: true }) <= 0 }).toEqual({ name, old: true });
  }
});
