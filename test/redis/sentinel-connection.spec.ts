import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { RedisSentinel, until } from '../kit/index.js';
import { outcomeOf, Probe, sentinelRows } from './rows.js';

describe.each(sentinelRows)('SentinelConnection of $name', ({ create }) => {
  let group: RedisSentinel;
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown): number => unhandled.push(error);

  beforeAll(async () => {
    process.on('unhandledRejection', onUnhandled);
    group = await RedisSentinel.start({ replicas: 2 });
  }, 60_000);
  afterAll(() => {
    process.off('unhandledRejection', onUnhandled);
    expect(unhandled).toEqual([]);
  });

  const client = (): any => create({ name: group.name, addresses: group.addresses });

  test('connections are to the master, and closing leaves none', async () => {
    const one = await new Probe(client(), { connectionName: 'probe' }).ready();
    expect(await one.connection.call(['SET', 'k', 'v'])).toBe('OK');
    const master = await group.master();
    expect((await master.clients()).filter(({ name }) => name === 'probe')).toHaveLength(1);
    const sentinel = async (): Promise<string> => String(await group.sentinels[0]!.command('CLIENT', 'LIST'));
    await until(async () => (await sentinel()).includes('name=redis-streams:sentinel'), { what: 'the watch' });
    await one.connection.close();
    await until(async () => !(await master.clients()).some(({ name }) => name === 'probe'), {
      what: 'the connection to go',
    });
    // All that is left there is the other servers' and the test's own.
    await until(async () => !/name=redis-streams|lib-name=node-redis|cmd=psubscribe/.test(await sentinel()), {
      what: 'the connections to the sentinel to go',
    });
  });

  test('a sentinel that is away is passed over, and reported if there is no other', async () => {
    const none = { host: '127.0.0.1', port: 1 };
    const some = new Probe(create({ name: group.name, addresses: [none, ...group.addresses] }));
    const lost = new Probe(create({ name: group.name, addresses: [none] }));
    await some.ready();
    await until(() => lost.errors.length > 1, { what: 'two attempts' });
    expect(lost.errors[0]?.message).toMatch(/ECONNREFUSED|sentinel/i);
  });

  test('PUB/SUB', async () => {
    const subscriber = await new Probe(client(), { role: 'subscriber' }).ready();
    const { connection: commands } = await new Probe(client()).ready();
    await subscriber.connection.subscribe(['c#/☃#']);
    expect(await commands.countSubscribers(['c#/☃#'])).toEqual([1]);
    await commands.publish('c#/☃#', Buffer.from('m'));
    await until(() => subscriber.messages.length > 0, { what: 'the message' });
    expect(subscriber.messages).toEqual([['c#/☃#', 'm']]);
  });

  test('a killed master is replaced, and what is appended meanwhile is refused', async () => {
    const one = await new Probe(client()).ready();
    const failover = group.failover();
    await one.lost();
    expect((await outcomeOf(one.connection.call(['XADD', 'f', '*', 't', '1']))).ms).toBeLessThan(500);
    await failover;
    await one.ready(2);
    expect(await one.connection.call(['SET', 'k3', 'v'])).toBe('OK');
  }, 60_000);

  test('all connections follow at once when a replica takes over in good order, and nothing is lost', async () => {
    const [commands, reader, subscriber] = await Promise.all(
      (['commands', 'reader', 'subscriber'] as const).map((role) => new Probe(client(), { role }).ready()),
    );
    const read = outcomeOf(reader!.connection.call(['XREAD', 'BLOCK', '60000', 'STREAMS', 's', '$']));
    // Refused as long as the last failover has not been settled.
    const former = await until(() => group.switchover(), { what: 'a failover', interval: 50 });
    await until(() => [commands, reader, subscriber].every((one) => one!.events.length >= 3 && one!.connection.ready), {
      what: 'all connections to be back',
      timeout: 3_000,
    });
    expect((await read).error?.message).toMatch(/./);
    // The former master would still take it.
    expect((await former.info('replication'))['role']).toBe('master');
    expect(await commands!.connection.call(['SET', 'k2', 'v'])).toBe('OK');
    expect(await (await group.master()).command('GET', 'k2')).toBe('v');
  }, 60_000);
});
