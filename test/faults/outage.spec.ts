import { describe, expect, test } from '@jest/globals';
import { Redis as Redis5 } from 'ioredis-5';
import { allReceived, from, Member, numbers, RedisServer, TcpProxy, until } from '../kit/index.js';
import { record } from './record.js';

/** Milliseconds, and the order of delivery. */
const outages = process.env.FAULTS_RECORD
  ? ([1_000, 15_000, 60_000].flatMap((outage) => [[outage, 'log'] as const, [outage, 'local-first'] as const]) as never)
  : ([[1_000, 'log'] as const, [3_000, 'local-first'] as const] as const);

describe.each([
  ['ioredis 6', undefined],
  ['ioredis 5', Redis5],
] as const)('an outage of Redis, with %s', (name, Client) => {
  test.each(outages)(
    'of %d ms loses nothing while all nodes broadcast (%s)',
    async (outage, ordering) => {
      const redis = await RedisServer.start({ appendonly: true });
      const start = (): Promise<Member> =>
        Member.start({ port: redis.port, adapter: { ordering }, ...(Client && { Client: Client }) });
      const members = [await start(), await start(), await start()];

      let sent = 0;
      const timer = setInterval(() => {
        members.forEach(({ io }, i) => io.emit('msg', [i, sent]));
        sent++;
      }, 5);
      await until(() => sent > 50, { what: 'some broadcasts before' });
      await redis.kill();
      const before = sent;
      await until(() => sent > before + outage / 5 / 2, { what: 'the outage to last', timeout: outage * 4 });
      if (ordering === 'local-first') {
        const soFar = sent;
        await until(() => members.every(({ received }, i) => from(i, received).length >= soFar), {
          what: 'local clients to receive while Redis is away',
        });
      }
      await redis.restart();
      const back = sent;
      await until(() => sent > back + 50, { what: 'some broadcasts after' });
      clearInterval(timer);

      await allReceived(members, 3 * sent);
      await until(() => members.every((member) => member.eventsOf('redis-reconnected').length > 0), {
        what: 'all nodes to report that Redis is back',
      });
      for (const { received, events, node, counters } of members) {
        for (const i of [0, 1, 2]) {
          expect(from(i, received)).toEqual(numbers(sent));
        }
        expect(counters).toMatchObject({ lost: 0, dropped: 0 });
        expect(events.filter(({ type }) => type.startsWith('redis-')).map(({ type }) => type)).toEqual([
          'redis-lost',
          'redis-reconnected',
        ]);
        expect(node.status().state).toBe('running');
      }
      record(
        `Redis killed for ${outage / 1_000} s, three nodes broadcasting (${name}, ${ordering})`,
        members,
        3 * sent,
      );
      if (ordering === 'log') {
        expect(members[1]!.received).toEqual(members[0]!.received);
        expect(members[2]!.received).toEqual(members[0]!.received);
      }
    },
    180_000,
  );
});

describe('an outage that is longer than the outbox holds', () => {
  test('drops the oldest broadcasts, reports how many, and keeps the order of the rest', async () => {
    const redis = await RedisServer.start({ appendonly: true });
    const sender = await Member.start({ port: redis.port, adapter: { outboxMaxEntries: 100 } });
    const receiver = await Member.start({ port: redis.port });
    await redis.kill();
    // What is sent before that is noticed may have arrived: it is not dropped.
    const hasNoticed = (): boolean => /the commands connection is lost/.test(sender.node.status().reasons.join());
    await until(hasNoticed, { what: 'the loss to be noticed' });

    for (const i of numbers(250)) {
      sender.io.emit('msg', i);
    }
    await redis.restart();

    await allReceived([receiver], 100);
    expect(receiver.received).toEqual(numbers(250).slice(150));
    expect(sender.received).toEqual(numbers(250)); // local clients never wait
    expect(sender.counters.dropped).toBe(150);
    await until(() => sender.eventsOf('outbox-accepting').length > 0, {
      what: 'the end of the overflow to be reported',
    });
    expect(sender.eventsOf('outbox-dropped')).toHaveLength(1);
    expect(sender.eventsOf('outbox-accepting')).toMatchObject([{ dropped: 150 }]);
    expect(receiver.counters.lost).toBe(0);
    record('outage longer than the outbox (100) holds, 250 broadcasts', [receiver], 250, sender.counters.dropped);
  });
});

describe('what waits for Redis', () => {
  test.each(['log', 'local-first'] as const)(
    'may be many times what the stream holds, on all nodes together: nobody is outrun (%s)',
    async (ordering) => {
      const redis = await RedisServer.start({ appendonly: true });
      const adapter = { ordering, maxLen: 1_000 };
      const start = (): Promise<Member> => Member.start({ port: redis.port, adapter });
      const members = [await start(), await start(), await start()];
      await redis.kill();
      await until(() => members.every(({ node }) => node.status().state === 'degraded'), { what: 'the loss' });

      for (const n of numbers(3_000)) {
        members.forEach(({ io }, i) => io.emit('msg', [i, n]));
      }
      await redis.restart();

      await allReceived(members, 9_000, 25_000);
      for (const { received, counters } of members) {
        for (const i of [0, 1, 2]) {
          expect(from(i, received)).toEqual(numbers(3_000));
        }
        expect(counters.lost).toBe(0);
      }
      record(`three outboxes of 3,000 over a stream of 1,000 entries (${ordering})`, members, 9_000);
    },
  );
});

describe('a node that starts without Redis', () => {
  test('gives its own clients what it broadcasts meanwhile, too (log)', async () => {
    const redis = await RedisServer.start();
    await redis.kill();
    const adapter = { ordering: 'log', onStartTimeout: 'degrade', startTimeout: 100 } as const;
    const member = await Member.start({ port: redis.port, adapter });
    for (const i of numbers(20)) {
      member.io.emit('msg', i);
    }
    await redis.restart();
    await allReceived([member], 20);
    expect(member.received).toEqual(numbers(20));
  });
});

describe('an append whose answer is lost', () => {
  test('is delivered once', async () => {
    const redis = await RedisServer.start();
    const proxy = await TcpProxy.start(redis.port);
    const sender = await Member.start({ port: proxy.port });
    const receiver = await Member.start({ port: redis.port });

    for (let round = 0; round < 5; round++) {
      const lost = proxy.loseReplyTo('XADD');
      for (let i = 0; i < 10; i++) {
        sender.io.emit('msg', round * 10 + i);
      }
      await lost;
      await allReceived([receiver], (round + 1) * 10);
    }

    sender.io.emit('msg', 50);
    await allReceived([receiver], 51);
    expect(receiver.received).toEqual(numbers(51));
    expect(receiver.counters.duplicates).toBeGreaterThan(0); // it was appended twice
    record('answer of an append lost, five times', [receiver], 51);
  });
});

describe('a Redis that is connected but silent', () => {
  /** Milliseconds. */
  const silence = process.env.FAULTS_RECORD ? 20_000 : 4_000;

  test.each<[string, (redis: RedisServer) => unknown, (redis: RedisServer) => unknown]>([
    ['SIGSTOP', (redis) => redis.pause(), (redis) => redis.resume()],
    ['CLIENT PAUSE', (redis) => redis.command('CLIENT', 'PAUSE', String(silence), 'ALL'), () => undefined],
  ])(
    '(%s) is noticed, and everything resumes without loss',
    async (how, pause, resume) => {
      const redis = await RedisServer.start();
      const members = [await Member.start({ port: redis.port }), await Member.start({ port: redis.port })];
      const [sender, receiver] = members as [Member, Member];
      await pause(redis);
      const since = performance.now();
      let sent = 0;
      const timer = setInterval(() => sender.io.emit('msg', sent++), 20);
      await until(() => members.every(({ node }) => node.status().state === 'degraded'), { what: 'both to notice' });
      expect(receiver.node.status().reasons.join()).toMatch(/did not answer|connection is lost/);
      await until(() => performance.now() - since >= silence, { what: 'the silence to last', timeout: 2 * silence });
      await resume(redis);
      const back = sent;
      await until(() => sent > back + 50, { what: 'some broadcasts after', timeout: 20_000 });
      clearInterval(timer);

      await allReceived(members, sent);
      for (const { received, node, counters } of members) {
        expect(received).toEqual(numbers(sent));
        expect(counters).toMatchObject({ lost: 0, dropped: 0 });
        await until(() => node.status().state === 'running', { what: 'the node to recover' });
      }
      record(`Redis connected but silent for ${silence / 1_000} s (\`${how}\`)`, members, sent);
    },
    60_000,
  );
});
