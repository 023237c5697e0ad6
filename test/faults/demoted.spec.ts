import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { numbers, RedisServer, TcpProxy, until } from '../kit/index.js';
import { startNode } from '../recovery/recovery-node.js';
import { visit } from '../recovery/visitor.js';

test('a read that begins at a master and ends when that follows another one misses nothing', async () => {
  const former = await RedisServer.start();
  const master = await RedisServer.start({ replicaOf: former });
  await master.inSync();
  const proxy = await TcpProxy.start(former.port);
  const quiet = { heartbeatInterval: 8_000, heartbeatTimeout: 20_000, blockTimeInMs: 20_000 };
  // Without recovery it writes nothing: a write would be refused, and its connections be dropped.
  const server = { connectionStateRecovery: undefined };
  const reading = await startNode({ port: former.port, readerPort: proxy.port, adapter: quiet, server });
  const visitor = await visit(reading);
  const sending = await startNode({ port: former.port, adapter: quiet });
  sending.io.emit('msg', 'before');
  await until(() => visitor.received.length === 1, { what: 'the first message' });

  await master.inSync();
  await master.command('REPLICAOF', 'NO', 'ONE');
  const other = await startNode({ port: master.port });
  numbers(5).forEach((i) => other.io.emit('msg', i));
  await until(() => other.counters.read === 5, { what: 'all to be in the stream' });
  await sleep(5); // the next entry has a later id
  proxy.blackhole('toServer'); // the read after the next one is held back
  sending.io.emit('msg', 'lost');
  await until(() => visitor.received.length === 2, { what: 'the message that will be lost' });
  await former.command('REPLICAOF', '127.0.0.1', master.port); // its connections are kept
  await former.inSync();
  other.io.emit('msg', 5);
  await until(() => other.counters.read === 6, { what: 'the last message to be in the stream' });
  await former.inSync();
  proxy.heal();

  await until(() => visitor.received.length >= 8, { what: 'all to be received' });
  expect(visitor.values).toEqual(['before', 'lost', ...numbers(6)]);
  expect(reading.eventsOf('stream-replaced')).toMatchObject([{ reason: 'rewound' }]);
  expect(reading.eventsOf('gap')).toEqual([]);
});
