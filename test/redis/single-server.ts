import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { driverFor } from '../../lib/redis/driver-for.js';
import { toEntries, toInfo, toStreamEntries } from '../../lib/redis/stream-reply.js';
import { closeAfterwards, RedisServer, servers, TcpProxy, until } from '../kit/index.js';
import { fieldsOf } from './fields-of.js';
import { outcomeOf, Probe, type Row } from './rows.js';

const valkeyRows = ['ioredis 6', 'redis 6', 'iovalkey'];

/**
 * What a driver's connections do with a single server.
 *
 * @param classes - the driver, and its sockets
 */
export function describeSingleServer(classes: string, rows: readonly Row<number>[]): void {
  describe.each(rows)(`${classes}: $name with a single server`, ({ name, create, hasKeyPrefix }) => {
    let server: RedisServer;
    const isValkey = valkeyRows.includes(name);
    const unhandled: unknown[] = [];
    const onUnhandled = (error: unknown): number => unhandled.push(error);
    const output = [jest.spyOn(console, 'error'), jest.spyOn(console, 'warn')];

    beforeAll(async () => {
      process.on('unhandledRejection', onUnhandled);
      server = await RedisServer.start(isValkey ? { binary: servers.valkey() } : {});
    });
    afterAll(() => {
      process.off('unhandledRejection', onUnhandled);
      expect(unhandled).toEqual([]);
      for (const spy of output) {
        expect(spy).not.toHaveBeenCalled();
      }
    });

    const probe = async (...args: ConstructorParameters<typeof Probe>): Promise<Probe> => new Probe(...args).ready();

    test('replies have the shapes that the log and the sessions read', async () => {
      const { connection } = await probe(create(server.port));
      const id = String(
        await connection.call(['XADD', 's', 'MAXLEN', '~', '100', '*', 'naïve', '☃', 'bytes', Buffer.from('b')]),
      );
      expect(id).toMatch(/^\d+-\d+$/);
      expect(await connection.call(['XRANGE', 's', '-', '+'])).toEqual([[id, ['naïve', '☃', 'bytes', 'b']]]);
      expect(await connection.call(['XREVRANGE', 's', '+', '-', 'COUNT', '1'])).toEqual([
        [id, ['naïve', '☃', 'bytes', 'b']],
      ]);
      const read = await connection.call(['XREAD', 'COUNT', '10', 'STREAMS', 's', '0']);
      expect(toStreamEntries(read)).toEqual([{ id, fields: ['naïve', '☃', 'bytes', 'b'] }]);
      for (const [entry] of [
        toStreamEntries(await connection.read(['XREAD', 'COUNT', '10', 'STREAMS', 's', '0'])),
        toEntries(await connection.read(['XRANGE', 's', '-', '+'])),
      ]) {
        expect([entry!.id, ...fieldsOf(entry!)]).toEqual([id, 'naïve', '☃', 'bytes', 'b']);
      }
      expect(toStreamEntries(await connection.read(['XREAD', 'BLOCK', '5', 'STREAMS', 's', id]))).toEqual([]);
      expect(toEntries(await connection.read(['XRANGE', 'none', '-', '+']))).toEqual([]);
      expect(toStreamEntries(await connection.call(['XREAD', 'BLOCK', '5', 'STREAMS', 's', id]))).toEqual([]);
      const info = toInfo(await connection.call(['XINFO', 'STREAM', 's']));
      expect([info.get('length'), info.get('last-generated-id')]).toEqual([1, id]);
      expect(await connection.call(['HSET', 'h', 'f', '1'])).toBe(1);
      expect(await connection.call(['HGET', 'h', 'f'])).toBe('1');
      expect(await connection.call(['HGET', 'h', 'none'])).toBeNull();
      expect(await connection.call(['GET', 'none'])).toBeNull();
      expect(await connection.call(['SET', 'k', 'v', 'PX', '10000'])).toBe('OK');
      expect(await connection.call(['ZADD', 'z', '1', 'm'])).toBe(1);
      expect(await connection.call(['ZRANGE', 'z', '0', '-1'])).toEqual(['m']);
      await expect(connection.call(['XADD', 'k', '*', 'a', 'b'])).rejects.toThrow('WRONGTYPE');
    });

    test('a transaction is executed as a whole, or not at all', async () => {
      const { connection } = await probe(create(server.port));
      const add = (stream: string, text: string): string[] => ['XADD', stream, '*', 't', text];
      const ids = await connection.transaction([add('tx', '1'), add('tx', '2')]);
      expect(ids).toEqual([expect.stringMatching(/^\d+-\d+$/), expect.stringMatching(/^\d+-\d+$/)]);
      expect(
        await connection.transaction([
          ['GET', 'none'],
          ['DEL', 'none'],
        ]),
      ).toEqual([null, 0]);
      await connection.call(['SET', 'text', 'v']);
      await expect(connection.transaction([add('text', '1'), add('text', '2')])).rejects.toThrow('WRONGTYPE');
      await expect(connection.transaction([add('tx', '3'), ['XADD', 'tx']])).rejects.toThrow(
        'wrong number of arguments',
      );
      await server.command('CONFIG', 'SET', 'maxmemory', '1');
      try {
        await expect(connection.transaction([add('tx', '4'), add('tx', '5')])).rejects.toThrow('OOM');
      } finally {
        await server.command('CONFIG', 'SET', 'maxmemory', '0');
      }
      expect(await server.command('XLEN', 'tx')).toBe(2);
    });

    test('a large transaction keeps its order', async () => {
      const { connection } = await probe(create(server.port));
      const texts = Array.from({ length: 512 }, (_, i) => `${i}-${'x'.repeat(2_000)}`);
      await connection.transaction(texts.map((text) => ['XADD', 'large', '*', 't', text]));
      const entries = (await connection.call(['XRANGE', 'large', '-', '+'])) as [string, string[]][];
      expect(entries.map(([, fields]) => fields[1])).toEqual(texts);
    });

    test("the user's client is left alone", async () => {
      const client = create(server.port);
      const snapshot = (): unknown => [
        { ...client.options, socket: { ...client.options.socket } },
        client.status ?? [client.isOpen, client.isReady],
        client.eventNames().map((event: string) => [event, client.listenerCount(event)]),
      ];
      const before = snapshot();
      const { connection } = await probe(client);
      await connection.call(['GET', 'k']);
      await connection.close();
      expect(snapshot()).toEqual(before);
    });

    test('a connected client of the user stays connected', async () => {
      const client = create(server.port);
      client.on('error', () => undefined);
      await client.connect();
      const { connection } = await probe(client);
      connection.reset();
      await connection.close();
      expect(await client.get('none')).toBeNull();
      client.disconnect();
    });

    test('what is under way when the connection is lost is rejected, and never executed twice', async () => {
      const proxy = await TcpProxy.start(server.port);
      const one = await probe(create(proxy.port));
      const { connection } = one;
      proxy.swallowReplies();
      const appended = outcomeOf(connection.call(['XADD', 'once', '*', 't', '1']));
      const both = outcomeOf(
        connection.transaction([
          ['XADD', 'once', '*', 't', '2'],
          ['XADD', 'once', '*', 't', '3'],
        ]),
      );
      await until(async () => (await server.command('XLEN', 'once')) === 3, { what: 'the entries to be appended' });
      proxy.cut();
      expect((await appended).error?.message).toMatch(/./);
      expect((await both).error?.message).toMatch(/./);
      await one.ready(2);
      await connection.call(['GET', 'x']);
      expect(await one.entries('once')).toEqual(['1', '2', '3']);
      expect(one.events).toEqual(['ready', 'lost', 'ready']);
    });

    test('while it is not connected, everything is rejected at once', async () => {
      const proxy = await TcpProxy.start(server.port);
      const one = await probe(create(proxy.port));
      proxy.refuse();
      proxy.cut();
      await one.lost();
      const attempts = [
        () => one.connection.call(['XADD', 'off', '*', 't', '1']),
        () => one.connection.transaction([['XADD', 'off', '*', 't', '1']]),
        () => one.connection.publish('c', Buffer.from('m')),
        () => one.connection.subscribe(['c']),
        () => one.connection.unsubscribe(['c']),
        () => one.connection.countSubscribers(['c']),
      ];
      for (const attempt of attempts) {
        const { error, ms } = await outcomeOf(attempt());
        expect(error?.message).toMatch(/./);
        expect(ms).toBeLessThan(50);
      }
      await until(() => one.errors.some(({ message }) => message.includes('ECONNREFUSED')), { what: 'the reason' });
      await proxy.accept();
      await one.ready(2);
      expect(await server.command('EXISTS', 'off')).toBe(0);
    });

    test('it comes back after CLIENT KILL and after a restart of the server', async () => {
      const one = await probe(create(server.port), { connectionName: 'survivor' });
      await server.killClients(({ name }) => name === 'survivor');
      await one.ready(2);
      await server.restart();
      await one.ready(3);
      expect(one.events).toEqual(['ready', 'lost', 'ready', 'lost', 'ready']);
      expect(await one.connection.call(['SET', 'after', '1'])).toBe('OK');
    });

    test('a server that does not answer is left at once by reset, and used again when it answers', async () => {
      const one = await probe(create(server.port));
      server.pause();
      try {
        const silent = outcomeOf(one.connection.call(['GET', 'k']));
        one.connection.reset();
        expect((await silent).ms).toBeLessThan(100);
        expect(one.connection.ready).toBe(false);
      } finally {
        server.resume();
      }
      await one.ready(2);
      expect(await one.connection.call(['SET', 'k2', 'v'])).toBe('OK');
    });

    test('a command that is not answered in time is an error, and the connection is made anew', async () => {
      const one = await probe(create(server.port));
      const { connection } = one;
      expect(await connection.call(['SET', 'k3', 'v'], 5_000)).toBe('OK');
      server.pause();
      try {
        const others = [connection.transaction([['GET', 'k3']], 60_000), connection.publish('c', Buffer.from('m'))];
        const ends = others.map(outcomeOf);
        const { error } = await outcomeOf(connection.read(['XREAD', 'STREAMS', 's', '0'], 100));
        expect([error?.name, error?.message]).toEqual([
          'RedisTimeoutError',
          'Redis did not answer XREAD within 100 ms',
        ]);
        for (const end of ends) {
          expect((await end).error?.name).toBe('RedisTimeoutError');
        }
        expect(connection.ready).toBe(false);
      } finally {
        server.resume();
      }
      await one.ready(2);
      expect(await connection.call(['GET', 'k3'], 5_000)).toBe('v');
    });

    test('closing takes no time, whatever the server does, and leaves nothing', async () => {
      const idle = await probe(create(server.port), { connectionName: 'leaver' });
      const reading = await probe(create(server.port), { connectionName: 'leaver' });
      const read = outcomeOf(reading.connection.call(['XREAD', 'BLOCK', '60000', 'STREAMS', 'quiet', '$']));
      await until(async () => (await server.clients()).some(({ cmd, name }) => name === 'leaver' && cmd === 'xread'), {
        what: 'the read to block',
      });
      server.pause();
      let opening: Probe;
      try {
        opening = new Probe(create(server.port), { connectionName: 'leaver' });
        const pending = outcomeOf(idle.connection.call(['GET', 'k']));
        const closed = await outcomeOf(
          Promise.all([idle, reading, opening].map(({ connection }) => connection.close())),
        );
        expect(closed.ms).toBeLessThan(100);
        expect((await pending).error?.message).toMatch(/./);
        expect((await read).error?.message).toMatch(/./);
      } finally {
        server.resume();
      }
      await until(async () => !(await server.clients()).some(({ name }) => name === 'leaver'), {
        what: 'the connections to be gone',
      });
      expect([idle.events, reading.events, opening.events]).toEqual([['ready'], ['ready'], []]);
    });

    test('an unreachable server is reported with its reason, and closing ends the attempts', async () => {
      const one = new Probe(create(1));
      await until(() => one.errors.length > 1, { what: 'two attempts' });
      expect(one.errors[0]?.message).toContain('ECONNREFUSED');
      await one.connection.close();
      const { length } = one.errors;
      await new Promise((resolve) => setTimeout(resolve, 300));
      expect(one.errors).toHaveLength(length);
    });

    test('a blocked read ends with the connection', async () => {
      const one = await probe(create(server.port), { role: 'reader', connectionName: 'blocked' });
      const read = outcomeOf(one.connection.call(['XREAD', 'BLOCK', '60000', 'STREAMS', 'quiet', '$']));
      await until(async () => (await server.clients()).some(({ cmd, name }) => name === 'blocked' && cmd === 'xread'), {
        what: 'the read to block',
      });
      await server.killClients(({ name }) => name === 'blocked');
      expect((await read).error?.message).toMatch(/./);
      await one.ready(2);
    });

    test.each([{ sharded: false }, { sharded: true }])('PUB/SUB (sharded: $sharded)', async ({ sharded }) => {
      const options = { role: 'subscriber', sharded, connectionName: 'sub' } as const;
      const one = await probe(create(server.port), options);
      const { connection: commands } = await probe(create(server.port), { sharded });
      const channels = ['ch#/naïve#', 'ch#/☃#uid#'];
      await one.connection.subscribe(channels);
      await one.connection.subscribe(channels);
      expect(await commands.countSubscribers([...channels, 'nobody'])).toEqual([1, 1, 0]);
      await commands.publish(channels[1]!, Buffer.from([0, 255, 128]));
      await commands.publish(channels[0]!, Buffer.from('one'));
      await until(() => one.messages.length > 1, { what: 'the messages' });
      expect(one.messages).toEqual([
        [channels[1], Buffer.from([0, 255, 128]).toString()],
        [channels[0], 'one'],
      ]);

      await one.connection.unsubscribe([channels[1]!]);
      expect(await commands.countSubscribers(channels)).toEqual([1, 0]);

      // Subscriptions end with a connection, and their owner makes them anew: each message comes once.
      await server.killClients((client) => client.name === 'sub');
      await one.ready(2);
      expect(await commands.countSubscribers(channels)).toEqual([0, 0]);
      await one.connection.subscribe(channels);
      await commands.publish(channels[0]!, Buffer.from('two'));
      await commands.publish(channels[1]!, Buffer.from('three'));
      await until(() => one.messages.length > 3, { what: 'the messages' });
      expect(one.messages.slice(2).map(([, payload]) => payload)).toEqual(['two', 'three']);
      await one.connection.unsubscribe(channels);
      expect(await commands.countSubscribers(channels)).toEqual([0, 0]);
      await one.connection.subscribe([channels[0]!]);
      expect(await commands.countSubscribers(channels)).toEqual([1, 0]);
    });

    if (hasKeyPrefix) {
      test.each([{ sharded: false }, { sharded: true }])(
        "the driver reports the client's key prefix and adds none to names (sharded: $sharded)",
        async ({ sharded }) => {
          const client = create(server.port, { keyPrefix: 'app:' });
          expect(driverFor(client).prefix?.keys).toBe('app:');
          const one = await probe(client, { role: 'subscriber', sharded });
          const { connection: commands } = await probe(client, { sharded });
          await commands.call(['XADD', 'ps', '1-1', 't', '1']);
          await commands.transaction([
            ['SET', 'pk', 'v'],
            ['GET', 'pk'],
          ]);
          expect(await server.command('EXISTS', 'ps', 'pk')).toBe(2);
          expect(await server.command('DEL', 'ps', 'pk', 'app:ps', 'app:pk')).toBe(2);
          await one.connection.subscribe(['c']);
          expect(await commands.countSubscribers(['c'])).toEqual([1]);
          await commands.publish('c', Buffer.from('m'));
          await until(() => one.messages.length > 0, { what: 'the message' });
          expect(one.messages).toEqual([['c', 'm']]);
          await one.connection.unsubscribe(['c']);
          expect(await commands.countSubscribers(['c'])).toEqual([0]);
        },
      );
    }

    describe('with users', () => {
      test('a wrong password is reported as the reason, until it is mended', async () => {
        await server.command('ACL', 'SETUSER', 'app', 'on', '>right', '~*', '&*', '+@all');
        const one = new Probe(create(server.port, { username: 'app', password: 'wrong' }));
        await until(() => one.errors.length > 1, { what: 'two attempts' });
        expect(one.errors.map(({ message }) => message)).toEqual(
          one.errors.map(() => expect.stringContaining('WRONGPASS')),
        );
        expect((await outcomeOf(one.connection.call(['GET', 'k']))).error?.message).toContain('WRONGPASS');
        await server.command('ACL', 'SETUSER', 'app', '>wrong');
        await one.ready();
        expect(await one.connection.call(['SET', 'mended', '1'])).toBe('OK');
      });

      test('a server that asks for a password is reported as the reason', async () => {
        await server.command('CONFIG', 'SET', 'requirepass', 'secret');
        try {
          const one = new Probe(create(server.port));
          await until(() => one.errors.length > 0, { what: 'an attempt' });
          expect(one.errors[0]?.message).toContain('NOAUTH');
        } finally {
          await server.command('CONFIG', 'SET', 'requirepass', '');
        }
      });

      test('a user who may not use MULTI is refused, with the reason, until it may', async () => {
        await server.command('ACL', 'SETUSER', 'single', 'on', '>pw', '~*', '&*', '+@all', '-multi');
        const client = create(server.port, { username: 'single', password: 'pw' });
        const one = new Probe(client);
        await until(() => one.errors.length > 0, { what: 'an attempt' });
        expect(one.errors[0]!.name).toBe('RedisClientError');
        expect(one.errors[0]!.message).toMatch(
          /transactions are needed, and MULTI and EXEC are refused \(NOPERM.*multi/,
        );
        await new Probe(client, { role: 'reader', key: 's' }).ready();
        await server.command('ACL', 'SETUSER', 'single', '+multi');
        await one.ready();

        // The right is taken away while it is connected: what was sent is executed once, and not again and again.
        await server.command('ACL', 'SETUSER', 'single', '-multi');
        for (let tries = 0; tries < 20; tries++) {
          const batch = one.connection.transaction([
            ['XADD', 'grows', '*', 't', '1'],
            ['XADD', 'grows', '*', 't', '2'],
          ]);
          expect((await outcomeOf(batch)).error?.message).toContain('MULTI');
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        expect(await server.command('XLEN', 'grows')).toBeLessThanOrEqual(2);
      });

      test('a user who may do nothing else, not even INFO, can use Redis', async () => {
        await server.command(
          'ACL',
          'SETUSER',
          'few',
          'on',
          '>pw',
          '~*',
          '&*',
          '-@all',
          '+hello',
          '+client|setname',
          '+set',
          '+multi',
          '+exec',
        );
        const one = await probe(create(server.port, { username: 'few', password: 'pw' }));
        expect(await one.connection.call(['SET', 'few', '1'])).toBe('OK');
      });

      test('a command that is not permitted is rejected, and the connection kept', async () => {
        await server.command('ACL', 'SETUSER', 'reader', 'on', '>pw', '~*', '&*', '+@all', '-xadd');
        const one = await probe(create(server.port, { username: 'reader', password: 'pw' }));
        await expect(one.connection.call(['XADD', 's', '*', 'a', 'b'])).rejects.toThrow('NOPERM');
        expect(one.connection.ready).toBe(true);
      });
    });

    test('a server that has become a replica is left until it is a master again', async () => {
      const other = closeAfterwards(await RedisServer.start(isValkey ? { binary: servers.valkey() } : {}));
      const one = await probe(create(server.port));
      const reader = await probe(create(server.port), { role: 'reader', key: 'r' });
      const read = outcomeOf(reader.connection.call(['XREAD', 'BLOCK', '60000', 'STREAMS', 'r', '$']));
      await until(async () => (await server.clients()).some(({ cmd }) => cmd === 'xread'), {
        what: 'the read to block',
      });
      await server.command('REPLICAOF', '127.0.0.1', other.port);
      expect((await outcomeOf(one.connection.call(['SET', 'a', '1']))).error?.message).toContain('READONLY');
      expect((await read).error?.message).toContain('UNBLOCKED');
      await until(() => one.errors.some(({ message }) => message.includes('is a replica')), { what: 'the reason' });
      await server.command('REPLICAOF', 'NO', 'ONE');
      await Promise.all([one.ready(2), reader.ready(2)]);
    });
  });
}
