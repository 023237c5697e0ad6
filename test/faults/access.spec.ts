import { describe, expect, test } from '@jest/globals';
import type { RedisOptions } from 'ioredis';
import { allReceived, Member, numbers, RedisServer, until } from '../kit/index.js';
import { LEAST_RIGHTS } from './least-rights.js';
import { record } from './record.js';

async function pair(redis: RedisServer, options: RedisOptions = {}): Promise<[Member, Member]> {
  return [
    await Member.start({ port: redis.port, redis: options }),
    await Member.start({ port: redis.port, redis: options }),
  ];
}

const user = { username: 'app', password: 'secret' };

describe('rights that are taken away', () => {
  test.each([
    ['the stream', 'resetkeys ~sio:session:*', 'resetkeys ~socket.io ~sio:session:*'],
    ['the channels', 'resetchannels', 'resetchannels &socket.io#*'],
    ['to append', '-xadd', '+xadd'],
    ['to read', '-xread', '+xread'],
  ])(
    '%s: health says why, one log line a node, and what waited arrives when they are back',
    async (what, take, give) => {
      const redis = await RedisServer.start({ users: { app: `on >secret ${LEAST_RIGHTS.join(' ')}` } });
      const [sender, receiver] = await pair(redis, user);
      sender.io.emit('msg', 0);
      await allReceived([sender, receiver], 1);

      await redis.command('ACL', 'SETUSER', 'app', ...take.split(' '));
      await redis.killClients(({ name }) => name.startsWith('redis-streams:'));
      for (const i of numbers(20)) {
        sender.io.emit('msg', 1 + i);
      }
      await until(() => sender.node.status().reasons.some((reason) => /NOPERM|permission/i.test(reason)), {
        what: 'the reason to be reported',
      });
      await redis.command('ACL', 'SETUSER', 'app', ...give.split(' '));

      await allReceived([sender, receiver], 21);
      expect(receiver.received).toEqual(numbers(21));
      await until(() => [sender, receiver].every(({ node }) => node.status().state === 'running'), {
        what: 'both nodes to recover',
      });
      record(`ACL forbids ${what}, then allows it`, [sender, receiver], 21);
      for (const { log } of [sender, receiver]) {
        expect(log.filter((line) => line.includes('refused')).length).toBeLessThanOrEqual(2);
      }
    },
  );

  test('to read, while the stream is deleted: what is lost is reported, and the publisher goes on', async () => {
    const redis = await RedisServer.start();
    const adapter = { maxLen: 100, blockTimeInMs: 100 };
    const [sender, receiver] = [
      await Member.start({ port: redis.port, adapter }),
      await Member.start({ port: redis.port, adapter }),
    ];
    sender.io.emit('msg', 0);
    await allReceived([receiver], 1);
    await redis.command('ACL', 'SETUSER', 'default', '-xread', '-xrange');
    await until(() => sender.node.status().reasons.some((reason) => reason.includes('NOPERM')), {
      what: 'the refusal',
    });
    for (const i of numbers(200)) {
      sender.io.emit('msg', 1 + i);
    }
    await until(() => sender.counters.appended > 20, { what: 'some to be appended' });
    await redis.command('DEL', 'socket.io');
    await redis.command('ACL', 'SETUSER', 'default', '+xread', '+xrange');

    await until(() => sender.counters.appended === 201, { what: 'all to be appended', timeout: 20_000 });
    await until(() => receiver.received.length + receiver.counters.lost === 201, {
      what: 'each to be read or reported',
    });
    sender.io.emit('msg', 201);
    await until(() => receiver.received.at(-1) === 201, { what: 'what is sent after' });
    record('stream deleted while ACL forbids to read it', [receiver], 202, receiver.counters.lost);
  });

  test('the sessions: reported once, and clients connect and receive all the same', async () => {
    const redis = await RedisServer.start({
      users: { app: `on >secret ${LEAST_RIGHTS.join(' ')} resetkeys ~socket.io` },
    });
    const server = { connectionStateRecovery: {} };
    const sender = await Member.start({ port: redis.port, redis: user, server });
    const receiver = await Member.start({ port: redis.port, redis: user, server });
    await until(() => receiver.eventsOf('session-refused').length > 0, { what: 'the refusal to be reported' });
    sender.io.emit('msg', 0);
    await allReceived([sender, receiver], 1);
  });

  test('the password: reported, tried a few times a second, mended by itself', async () => {
    const redis = await RedisServer.start({ users: { app: `on >secret ${LEAST_RIGHTS.join(' ')}` } });
    const [sender, receiver] = await pair(redis, user);
    await redis.command('ACL', 'SETUSER', 'app', 'resetpass', '>other');
    await redis.killClients(({ name }) => name.startsWith('redis-streams:'));
    for (const i of numbers(20)) {
      sender.io.emit('msg', i);
    }
    await until(() => sender.node.status().reasons.some((reason) => reason.includes('WRONGPASS')), {
      what: 'the reason to be reported',
    });
    const tries = async (): Promise<number> => Number((await redis.info('stats')).total_connections_received);
    const [before, since] = [await tries(), performance.now()];
    await until(() => performance.now() - since > 2_000, { what: 'two seconds to pass' });
    expect((await tries()) - before).toBeLessThan(2 * 3 * 2 * 10); // two nodes, three connections, two seconds

    await redis.command('ACL', 'SETUSER', 'app', 'resetpass', '>secret');
    await allReceived([receiver], 20);
    expect(receiver.received).toEqual(numbers(20));
    expect(sender.log.filter((line) => line.startsWith('Redis is lost'))).toHaveLength(1);
    record('password changed, then changed back', [receiver], 20);
  });
});

describe('a server that has become a replica', () => {
  test('refuses what is appended until it is a master again; nothing is lost', async () => {
    const redis = await RedisServer.start();
    const [sender, receiver] = await pair(redis);
    await redis.command('REPLICAOF', '127.0.0.1', '1'); // a master that is not there
    for (const i of numbers(20)) {
      sender.io.emit('msg', i);
    }
    await until(() => sender.node.status().reasons.some((reason) => reason.includes('READONLY')), {
      what: 'the reason to be reported',
    });
    await redis.command('REPLICAOF', 'NO', 'ONE');

    await allReceived([receiver], 20);
    expect(receiver.received).toEqual(numbers(20));
    record('server turned read-only replica, then master again', [receiver], 20);
  });
});

describe.each<[string, RedisOptions]>([
  ['enableOfflineQueue: false', { enableOfflineQueue: false }],
  ['maxRetriesPerRequest: 0', { maxRetriesPerRequest: 0 }],
  ['maxRetriesPerRequest: 1', { maxRetriesPerRequest: 1 }],
  ['maxRetriesPerRequest: null', { maxRetriesPerRequest: null }],
  ['lazyConnect: true', { lazyConnect: true }],
  ['keyPrefix', { keyPrefix: 'tenant:' }],
  ['commandTimeout', { commandTimeout: 300 }],
  ['enableAutoPipelining', { enableAutoPipelining: true }],
])('a client with %s', (name, options) => {
  test('is as good as one with defaults, through a restart of Redis too', async () => {
    const redis = await RedisServer.start({ appendonly: true });
    const [sender, receiver] = await pair(redis, options);
    sender.io.emit('msg', 0);
    await allReceived([receiver], 1);
    await redis.kill();
    for (const i of numbers(50)) {
      sender.io.emit('msg', 1 + i);
    }
    await redis.restart();
    await allReceived([receiver], 51);
    expect(receiver.received).toEqual(numbers(51));
    record(`Redis restarted, client with \`${name}\``, [receiver], 51);
    expect(await redis.command('EXISTS', `${options.keyPrefix ?? ''}socket.io`)).toBe(1);
  });
});
