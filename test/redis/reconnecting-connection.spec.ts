import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { Command } from '../../lib/redis/driver.js';
import { ReconnectingConnection, type ReconnectingConnectionOptions } from '../../lib/redis/reconnecting-connection.js';
import type { RedisSocket, RedisSocketOptions } from '../../lib/redis/redis-socket.js';
import type { TransactionOutcome } from '../../lib/redis/resp/resp-pipe.js';

/** What the server replies, by the command: a value, an error, or nothing at all. */
type Replies = Record<string, unknown>;

const SILENCE = Symbol('no reply');

/** A socket that is opened when the test says so. */
class Socket implements RedisSocket {
  readonly sent: string[] = [];
  isTakenOver = false;
  isDestroyed = false;
  refusal: Error | undefined;
  transaction?: (commands: readonly Command[]) => Promise<TransactionOutcome>;
  accept!: () => void;
  fail!: (error: Error) => void;
  private readonly opening = new Promise<void>((resolve, reject) => {
    this.accept = resolve;
    this.fail = reject;
  });

  constructor(
    readonly options: RedisSocketOptions,
    private readonly replies: Replies,
  ) {}

  open(): Promise<void> {
    return this.opening;
  }

  call(command: Command): Promise<unknown> {
    this.sent.push(command.join(' '));
    const name = String(command[0]);
    const reply = name in this.replies ? this.replies[name] : 'OK';
    return reply === SILENCE
      ? new Promise(() => undefined)
      : reply instanceof Error
        ? Promise.reject(reply)
        : Promise.resolve(reply);
  }

  read(command: Command): Promise<unknown> {
    return this.call(command);
  }

  send(commands: readonly Command[]): Promise<unknown>[] {
    return commands.map((command) => this.call(command));
  }

  takeOver(): Promise<void> {
    this.isTakenOver = true;
    return Promise.resolve();
  }

  subscribe(channels: readonly string[]): Promise<unknown> {
    return this.call(['SUBSCRIBE', ...channels]);
  }

  unsubscribe(channels: readonly string[]): Promise<unknown> {
    return this.call(['UNSUBSCRIBE', ...channels]);
  }

  destroy(): void {
    this.isDestroyed = true;
  }
}

describe('ReconnectingConnection', () => {
  let sockets: Socket[];
  let replies: Replies;
  let events: string[];

  beforeEach(() => {
    jest.useFakeTimers();
    jest.spyOn(Math, 'random').mockReturnValue(0); // pauses are as long as they can be
    sockets = [];
    replies = {};
    events = [];
  });
  afterEach(() => {
    jest.restoreAllMocks();
    jest.useRealTimers();
  });

  const settled = (): Promise<void> => jest.advanceTimersByTimeAsync(0);
  const socket = (n: number): Socket => sockets[n - 1]!;

  function connect(options: Partial<ReconnectingConnectionOptions> = {}): ReconnectingConnection {
    const make = (socketOptions: RedisSocketOptions): Socket => {
      sockets.push(new Socket(socketOptions, replies));
      return sockets.at(-1)!;
    };
    return new ReconnectingConnection(make, {
      ...{ role: 'commands', connectionName: 'c', sharded: false, writable: true, transactions: false, trusted: false },
      listener: {
        onReady: () => events.push('ready'),
        onLost: ({ message }) => events.push(`lost: ${message}`),
        onMessage: (channel, payload) => events.push(`${channel}: ${payload.toString()}`),
        onWarning: (text) => events.push(`warning: ${text}`),
      },
      ...options,
    });
  }

  /** Opens the socket that was made last. */
  async function open(): Promise<void> {
    sockets.at(-1)!.accept();
    await settled();
  }

  async function connected(options: Partial<ReconnectingConnectionOptions> = {}): Promise<ReconnectingConnection> {
    const connection = connect(options);
    await open();
    expect(connection.ready).toBe(true);
    return connection;
  }

  /** Expects the next socket to be made after so many milliseconds, and no earlier. */
  async function expectNextAfter(pause: number): Promise<void> {
    const { length } = sockets;
    await jest.advanceTimersByTimeAsync(pause - 1);
    expect([pause, sockets.length]).toEqual([pause, length]);
    await jest.advanceTimersByTimeAsync(1);
    expect([pause, sockets.length]).toEqual([pause, length + 1]);
  }

  /** How a promise has ended by now. */
  async function outcomeOf(promise: Promise<unknown>): Promise<string> {
    let outcome = 'pending';
    promise.then(
      (value) => (outcome = JSON.stringify(value)),
      (error: Error) => (outcome = `${error.name}: ${error.message}`),
    );
    await settled();
    return outcome;
  }

  describe('while it is being opened', () => {
    test('refuses commands at once, and is ready when the server has answered the first ones', async () => {
      const connection = connect();
      const refusal = 'RedisClientError: Redis cannot be used now: the connection is being opened';
      expect(await outcomeOf(connection.call(['GET', 'k']))).toBe(refusal);
      expect(await outcomeOf(connection.transaction([['GET', 'k']]))).toBe(refusal);
      expect(await outcomeOf(connection.subscribe(['c']))).toBe(refusal);
      expect([connection.ready, socket(1).sent, events]).toEqual([false, [], []]);
      await open();
      expect([connection.ready, socket(1).sent, events]).toEqual([true, ['INFO'], ['ready']]);
    });

    test('gives up a server that takes longer than five seconds, and tries again', async () => {
      replies.INFO = SILENCE;
      const connection = connect();
      await open();
      await jest.advanceTimersByTimeAsync(4_999);
      expect([events, sockets.length]).toEqual([[], 1]);
      await jest.advanceTimersByTimeAsync(1);
      expect(events).toEqual(['lost: Redis did not answer within 5000 ms']);
      expect(socket(1).isDestroyed).toBe(true);
      delete replies.INFO;
      await jest.advanceTimersByTimeAsync(100);
      await open();
      expect([connection.ready, sockets.length]).toEqual([true, 2]);
    });

    test('does not use a server that cannot do what it needs', async () => {
      replies.INFO = 'role:slave\r\n';
      const connection = connect();
      await open();
      expect(events).toEqual(['lost: the server is a replica, and cannot be written to']);
      expect([connection.ready, socket(1).isDestroyed]).toEqual([false, true]);
    });

    test('reports what the server refused the connection with, not that it was closed', async () => {
      connect();
      socket(1).refusal = new Error('NOAUTH Authentication required.');
      socket(1).fail(new Error('closed'));
      await settled();
      expect(events).toEqual([expect.stringMatching(/^lost: the server wants a password.*NOAUTH/)]);
    });

    test('warns of what its owner should know before it is ready', async () => {
      replies.INFO = 'redis_version:5.0.1\r\n';
      await connected();
      expect(events).toEqual([expect.stringContaining('warning: the server says that it is Redis 5.0.1'), 'ready']);
    });

    test.each([
      ['commands', true],
      ['reader', true],
      ['subscriber', false],
    ] as const)('as %s takes the socket from the client library: %s', async (role, isTakenOver) => {
      await connected({ role });
      expect(socket(1).isTakenOver).toBe(isTakenOver);
    });
  });

  describe('when it is lost', () => {
    test('rejects what is under way with the reason, and sends nothing of it again', async () => {
      const connection = await connected();
      replies.XADD = SILENCE;
      const appended = connection.call(['XADD', 's', '*', 'a', 'b']);
      expect(connection.isBusy).toBe(true);
      socket(1).options.onClosed(new Error('the network is gone'));
      expect(await outcomeOf(appended)).toBe('Error: the network is gone');
      expect(await outcomeOf(connection.call(['GET', 'k']))).toBe(
        'RedisClientError: Redis cannot be used now: the network is gone',
      );
      await jest.advanceTimersByTimeAsync(100);
      await open();
      expect([connection.isBusy, socket(2).sent]).toEqual([false, ['INFO']]);
      expect(events).toEqual(['ready', 'lost: the network is gone', 'ready']);
    });

    test('comes back after a pause that doubles up to two seconds, as long as no connection lasts', async () => {
      connect();
      for (const pause of [100, 200, 400, 800, 1_600, 2_000, 2_000]) {
        await open();
        await jest.advanceTimersByTimeAsync(1_000); // not longer than that
        sockets.at(-1)!.options.onClosed(new Error('gone'));
        await expectNextAfter(pause);
      }
    });

    test('comes back soon if it was good, and later each time if it cannot be made', async () => {
      const connection = connect();
      for (let round = 0; round < 2; round++) {
        await open();
        await jest.advanceTimersByTimeAsync(60_000);
        expect(connection.ready).toBe(true);
        connection.reset();
        for (const pause of [100, 200, 400, 800, 1_600]) {
          await expectNextAfter(pause);
          sockets.at(-1)!.fail(new Error('refused'));
          await settled();
        }
        await expectNextAfter(2_000);
      }
    });

    test('takes no notice of what comes from a socket that was left', async () => {
      const connection = connect({ role: 'subscriber' });
      socket(1).fail(new Error('refused'));
      await jest.advanceTimersByTimeAsync(100);
      socket(1).options.onClosed(new Error('late'));
      socket(1).options.onMessage('c', Buffer.from('late'));
      expect([events, sockets.length]).toEqual([['lost: refused'], 2]);
      await open();
      socket(1).options.onClosed(new Error('late'));
      socket(2).options.onMessage('c', Buffer.from('now'));
      expect([connection.ready, events]).toEqual([true, ['lost: refused', 'ready', 'c: now']]);
    });
  });

  describe('while it is ready', () => {
    test('leaves a server that has become another, and stays with one that refuses a command', async () => {
      const connection = await connected();
      replies.SET = new Error('NOPERM this user has no permissions');
      expect(await outcomeOf(connection.call(['SET', 'a', '1']))).toContain('NOPERM');
      expect(connection.ready).toBe(true);
      replies.SET = new Error("READONLY You can't write against a read only replica.");
      expect(await outcomeOf(connection.call(['SET', 'a', '1']))).toContain('READONLY');
      expect([connection.ready, socket(1).isDestroyed]).toEqual([false, true]);
    });

    test('leaves a server that does not answer in time, and all that waits is rejected', async () => {
      const connection = await connected();
      replies.GET = replies.XREAD = SILENCE;
      const get = connection.call(['GET', 'k'], 500).catch((error: Error) => error.message);
      const read = connection.read(['XREAD', 'BLOCK', '0']).catch((error: Error) => error.message);
      await jest.advanceTimersByTimeAsync(499);
      expect(connection.ready).toBe(true);
      await jest.advanceTimersByTimeAsync(10); // a timer may be early, and then what has arrived is looked at
      expect(connection.ready).toBe(false);
      const dropped = 'the connection was dropped because Redis did not answer';
      expect(await Promise.all([get, read])).toEqual(['Redis did not answer GET within 500 ms', dropped]);
      expect(events.slice(1)).toEqual([`lost: ${dropped}`]);
    });

    test('is dropped by reset, which does nothing in any other mode', async () => {
      const connection = connect();
      connection.reset();
      await open();
      expect([events, sockets.length]).toEqual([['ready'], 1]);
      connection.reset();
      connection.reset();
      expect(events).toEqual(['ready', 'lost: the connection was dropped because Redis did not answer']);
      await jest.advanceTimersByTimeAsync(100);
      expect(sockets).toHaveLength(2);
    });

    test('asks for a key of a slot that is being moved with ASKING before each command', async () => {
      const connection = await connected();
      await connection.call(['GET', 'k'], 100, true);
      await connection.read(['XRANGE', 's'], 100, true);
      expect(socket(1).sent.slice(1)).toEqual(['ASKING', 'GET k', 'ASKING', 'XRANGE s']);
    });

    test('publishes, counts and subscribes as its PUB/SUB is, and sends nothing for no channels', async () => {
      replies.PUBSUB = ['a', 1, 'b', '2'];
      const [plain, sharded] = [await connected(), await connected({ sharded: true })];
      for (const connection of [plain, sharded]) {
        await connection.publish('c', Buffer.from('m'));
        expect(await connection.countSubscribers(['a', 'b'])).toEqual([1, 2]);
        await connection.subscribe([]);
        await connection.unsubscribe([]);
      }
      expect(socket(1).sent.slice(1)).toEqual(['PUBLISH c m', 'PUBSUB NUMSUB a b']);
      expect(socket(2).sent.filter((command) => !command.startsWith('INFO'))).toEqual([
        'PUBSUB SHARDNUMSUB',
        'SPUBLISH c m',
        'PUBSUB SHARDNUMSUB a b',
      ]);
    });
  });

  describe('a transaction', () => {
    const commands = [
      ['SET', 'a', '1'],
      ['INCR', 'a'],
    ] as const;

    test('is sent between MULTI and EXEC, and resolves to the replies', async () => {
      const connection = await connected();
      replies.EXEC = ['OK', 2];
      expect(await connection.transaction(commands)).toEqual(['OK', 2]);
      expect(socket(1).sent.slice(1)).toEqual(['MULTI', 'SET a 1', 'INCR a', 'EXEC']);
    });

    test.each<[string, Replies, string]>([
      ['two commands were refused', { SET: new Error('ERR a'), INCR: new Error('ERR b'), EXEC: null }, 'Error: ERR a'],
      ['a command was refused', { INCR: new Error('OOM no'), EXEC: new Error('EXECABORT x') }, 'Error: OOM no'],
      ['a command has failed', { EXEC: ['OK', new Error('WRONGTYPE x')] }, 'Error: WRONGTYPE x'],
      ['it was aborted', { EXEC: null }, 'Error: the transaction was aborted'],
      ['EXEC alone was refused', { EXEC: new Error('EXECABORT x') }, 'Error: EXECABORT x'],
    ])('is rejected if %s, and the connection kept', async (_what, outcome, error) => {
      const connection = await connected();
      Object.assign(replies, outcome);
      expect(await outcomeOf(connection.transaction(commands))).toBe(error);
      expect(connection.ready).toBe(true);
    });

    test('whose MULTI is refused leaves the connection: the rest was executed, and would be again', async () => {
      const connection = await connected();
      replies.MULTI = new Error('NOPERM multi');
      expect(await outcomeOf(connection.transaction(commands))).toBe(
        'RedisClientError: MULTI was refused (NOPERM multi)',
      );
      expect(connection.ready).toBe(false);
    });

    test('that the server no longer may write is rejected with that, and the server left', async () => {
      const connection = await connected();
      replies.SET = new Error('READONLY x');
      replies.EXEC = new Error('EXECABORT x');
      expect(await outcomeOf(connection.transaction(commands))).toBe('Error: READONLY x');
      expect(connection.ready).toBe(false);
    });

    test('goes by the socket’s own way, if it has one', async () => {
      const connection = await connected();
      socket(1).transaction = () => Promise.resolve({ exec: ['OK', 3] });
      expect(await connection.transaction(commands)).toEqual(['OK', 3]);
      expect(socket(1).sent).toEqual(['INFO']);
    });
  });

  describe('with a probe', () => {
    const probe = { interval: 1_000, timeout: 300 };
    const pings = (): number => sockets.at(-1)!.sent.filter((command) => command === 'PING').length;

    test('asks a server for a sign of life only if there was none since the last look', async () => {
      const connection = await connected({ role: 'subscriber', probe });
      socket(1).options.onMessage('c', Buffer.from('m'));
      await jest.advanceTimersByTimeAsync(1_000);
      expect(pings()).toBe(0);
      await jest.advanceTimersByTimeAsync(1_000);
      expect(pings()).toBe(1);
      replies.GET = SILENCE;
      void outcomeOf(connection.call(['GET', 'k']));
      await jest.advanceTimersByTimeAsync(1_000);
      expect(pings()).toBe(1); // a reply is awaited anyway
    });

    test('leaves a server that gives none, and takes a refusal for one', async () => {
      const connection = await connected({ role: 'subscriber', probe });
      replies.PING = new Error('NOPERM ping');
      await jest.advanceTimersByTimeAsync(1_500);
      expect([pings(), connection.ready]).toEqual([1, true]);
      replies.PING = SILENCE;
      await jest.advanceTimersByTimeAsync(810);
      expect(connection.ready).toBe(false);
      await jest.advanceTimersByTimeAsync(100);
      await open();
      await jest.advanceTimersByTimeAsync(999);
      expect(pings()).toBe(0); // each connection has its own time
    });
  });

  describe('closed', () => {
    test.each<[mode: string, reach: () => Promise<ReconnectingConnection>]>([
      ['being opened', () => Promise.resolve(connect())],
      ['ready', () => connected({ role: 'subscriber', probe: { interval: 1_000, timeout: 300 } })],
      [
        'waiting',
        async () => {
          const connection = await connected();
          connection.reset();
          return connection;
        },
      ],
    ])('while %s, makes no socket and says nothing any more', async (_mode, reach) => {
      const connection = await reach();
      replies.GET = SILENCE;
      const underWay = outcomeOf(connection.call(['GET', 'k']));
      const before = [...events];
      await connection.close();
      expect(await underWay).toMatch(/^(Error: the connection was closed|RedisClientError: Redis cannot be used now)/);
      sockets.at(-1)!.accept();
      sockets.at(-1)!.options.onClosed(new Error('late'));
      sockets.at(-1)!.options.onMessage('c', Buffer.from('late'));
      await jest.advanceTimersByTimeAsync(60_000);
      expect([sockets.length, events, connection.ready]).toEqual([1, before, false]);
      expect([socket(1).isDestroyed, jest.getTimerCount()]).toEqual([true, 0]);
      expect(await outcomeOf(connection.call(['GET', 'k']))).toContain('the connection was closed');
    });
  });
});
