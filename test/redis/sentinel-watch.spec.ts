import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { Address } from '../../lib/redis/cluster/cluster-slots.js';
import type { Command } from '../../lib/redis/driver.js';
import type { ReconnectingConnection } from '../../lib/redis/reconnecting-connection.js';
import type { RedisSocket, RedisSocketOptions } from '../../lib/redis/redis-socket.js';
import { SentinelWatch } from '../../lib/redis/sentinel/sentinel-watch.js';

const SENTINELS: Address[] = [1, 2, 3].map((port) => ({ host: 's', port }));

/** A socket to a sentinel, which names a master. */
class Socket implements RedisSocket {
  readonly channels: string[] = [];
  isDestroyed = false;

  constructor(
    readonly port: number,
    readonly options: RedisSocketOptions,
    private readonly master: () => unknown,
    private readonly isAway: boolean,
  ) {}

  open(): Promise<void> {
    return this.isAway ? Promise.reject(new Error('refused')) : Promise.resolve();
  }

  call([name]: Command): Promise<unknown> {
    return Promise.resolve(name === 'SENTINEL' ? this.master() : '');
  }

  read(command: Command): Promise<unknown> {
    return this.call(command);
  }

  send(commands: readonly Command[]): Promise<unknown>[] {
    return commands.map((command) => this.call(command));
  }

  subscribe(channels: readonly string[]): Promise<unknown> {
    this.channels.push(...channels);
    return Promise.resolve();
  }

  unsubscribe(): Promise<unknown> {
    return Promise.resolve();
  }

  destroy(): void {
    this.isDestroyed = true;
  }
}

describe('SentinelWatch', () => {
  let sockets: Socket[];
  let away: Set<number>;
  let master: unknown;
  let resets: number;
  let watch: SentinelWatch;
  let connection: ReconnectingConnection;

  beforeEach(() => {
    jest.useFakeTimers();
    sockets = [];
    away = new Set();
    master = ['10.0.0.1', '6379'];
    resets = 0;
    connection = { reset: () => resets++ } as unknown as ReconnectingConnection;
    watch = new SentinelWatch({
      name: 'mymaster',
      sentinels: SENTINELS,
      connect: ({ port }, options) => {
        sockets.push(new Socket(port, options, () => master, away.has(port)));
        return sockets.at(-1)!;
      },
    });
  });
  afterEach(() => {
    watch.delete(connection);
    jest.useRealTimers();
  });

  const ports = (): number[] => watch.sentinels.map(({ port }) => port);
  const pass = (ms: number): Promise<void> => jest.advanceTimersByTimeAsync(ms);
  const announce = (text: string): void => sockets.at(-1)!.options.onMessage('+switch-master', Buffer.from(text));

  async function start(): Promise<void> {
    watch.add(connection);
    watch.start();
    await pass(0);
  }

  test('has the sentinels asked in another order each time, as long as it listens to none', () => {
    expect([ports(), ports(), ports(), ports()]).toEqual([[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 2, 3]]); // prettier-ignore
  });

  test('listens to one sentinel, which is asked first from then on', async () => {
    await start();
    watch.start();
    expect([sockets.length, sockets[0]!.channels]).toEqual([1, ['+switch-master']]);
    expect([ports(), ports()]).toEqual([[1, 2, 3], [1, 2, 3]]); // prettier-ignore
  });

  test('turns to the next sentinel when the one that it listens to is away', async () => {
    away.add(1);
    await start();
    await pass(5_000);
    expect(sockets.map(({ port }) => port)).toEqual([1, 2]);
    expect(ports()).toEqual([2, 1, 3]);
  });

  test('drops all connections when another server is the master, and no other time', async () => {
    await start();
    announce('mymaster 10.0.0.9 6379 10.0.0.1 6379'); // it is already
    announce('another 10.0.0.1 6379 10.0.0.2 6379');
    announce('nonsense');
    expect(resets).toBe(0);
    announce('mymaster 10.0.0.1 6379 10.0.0.2 6379');
    expect(resets).toBe(1);
    announce('mymaster 10.0.0.2 6379 10.0.0.2 6380');
    expect(resets).toBe(2);
  });

  test('drops them too if the master has become another while it did not listen', async () => {
    await start();
    master = ['10.0.0.2', '6379'];
    sockets[0]!.options.onClosed(new Error('gone'));
    await pass(5_000);
    expect([sockets.length, resets]).toEqual([2, 1]);
  });

  test('goes on if the sentinel does not say who the master is', async () => {
    master = null;
    await start();
    announce('mymaster 10.0.0.1 6379 10.0.0.2 6379'); // nothing is known that it could differ from
    expect(resets).toBe(0);
    announce('mymaster 10.0.0.2 6379 10.0.0.3 6379');
    expect(resets).toBe(1);
  });

  test('listens to nobody without connections, and again when there is one', async () => {
    watch.start();
    expect(sockets).toEqual([]);
    await start();
    watch.delete(connection);
    expect(sockets[0]!.isDestroyed).toBe(true);
    await pass(60_000);
    expect(sockets).toHaveLength(1);
    await start();
    expect(sockets).toHaveLength(2);
  });
});
