import { beforeEach, describe, expect, jest, test } from '@jest/globals';
import { COMMANDS, Connections } from '../../lib/cluster/connections.js';
import type { ClusterEvent } from '../../lib/cluster/events.js';
import type { ConnectionListener, OpenOptions, RedisConnection, RedisDriver } from '../../lib/redis/driver.js';

/** A connection that is lost, and made, when the test says so. */
class Connection {
  ready = false;
  resets = 0;
  isClosed = false;

  constructor(readonly options: OpenOptions) {}

  make(): void {
    this.ready = true;
    this.options.listener.onReady();
  }

  lose(message = 'gone'): void {
    this.ready = false;
    this.options.listener.onLost(new Error(message));
  }

  reset(): void {
    this.resets++;
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

const quiet: ConnectionListener = { onReady: () => undefined, onLost: () => undefined };
const probe = { interval: 100, timeout: 300 };

describe('Connections', () => {
  let opened: Connection[];
  let events: ClusterEvent[];
  let log: string[];
  let connections: Connections;

  beforeEach(() => {
    opened = [];
    events = [];
    log = [];
    const driver: RedisDriver = {
      ...{ name: 'a client', isCluster: false },
      open: (options) => {
        opened.push(new Connection(options));
        return opened.at(-1) as unknown as RedisConnection;
      },
    };
    connections = new Connections(driver, {
      ...{ nodeId: 'me', sharded: true, commandTimeout: 60_000, skipServerCheck: false, probe },
      events: {
        emit: (event) => events.push(event),
        warnOnce: (text) => log.push(`warning: ${text}`),
        notifyStatus: () => log.push(`changed: ${connections.reasons().join('; ')}`),
      },
    });
  });

  const openAll = (listener = quiet): [Connection, Connection, Connection] => {
    connections.open('commands', COMMANDS, listener);
    connections.open('subscriber', 'subscriber', listener);
    connections.open('reader', 'reader of s', listener, 's');
    return opened as [Connection, Connection, Connection];
  };

  test('are named after their node and role; a reader has its key, and only the subscriber is probed', () => {
    const all = openAll().map(({ options: { listener: _listener, ...options } }) => options);
    const common = { sharded: true, skipServerCheck: false };
    expect(all).toEqual([
      { ...common, role: 'commands', connectionName: 'redis-streams:me:commands' },
      { ...common, role: 'subscriber', connectionName: 'redis-streams:me:subscriber', probe },
      { ...common, role: 'reader', connectionName: 'redis-streams:me:reader', key: 's' },
    ]);
  });

  test('have their owners hear of them after their state is known, and of warnings and messages', () => {
    connections.open('subscriber', 'subscriber', {
      onReady: () => log.push(`ready: ${connections.isLost('subscriber')}`),
      onLost: ({ message }) => log.push(`lost: ${message}`),
      onMessage: (channel, payload) => log.push(`${channel}: ${payload.toString()}`),
    });
    const [subscriber] = opened as [Connection];
    subscriber.lose('refused');
    subscriber.make();
    subscriber.options.listener.onMessage!('c', Buffer.from('m'));
    subscriber.options.listener.onWarning!('an old version');
    expect(log).toEqual([
      'changed: the subscriber connection is lost: refused',
      ...['lost: refused', 'changed: ', 'ready: false', 'c: m', 'warning: an old version'],
    ]);
  });

  test('report Redis as lost with the first of them, and as back with the last, once', () => {
    const now = jest.spyOn(performance, 'now').mockReturnValue(1_000);
    const [commands, subscriber, reader] = openAll();
    opened.forEach((connection) => connection.make());
    connections.report();
    subscriber.lose('first');
    now.mockReturnValue(2_000);
    commands.lose('second');
    subscriber.lose('again');
    expect(events).toEqual([{ type: 'redis-lost', error: new Error('first') }]);
    expect(connections.reasons()).toEqual([
      'the subscriber connection is lost: again',
      'the commands connection is lost: second',
    ]);
    subscriber.make();
    expect([connections.isLost('subscriber'), connections.isLost(COMMANDS), events.length]).toEqual([false, true, 1]);
    now.mockReturnValue(3_500.4);
    commands.make();
    reader.make(); // it was not lost
    now.mockRestore();
    expect(events.slice(1)).toEqual([{ type: 'redis-reconnected', afterMs: 2_500 }]);
    reader.lose();
    expect(events.map(({ type }) => type)).toEqual(['redis-lost', 'redis-reconnected', 'redis-lost']);
  });

  test('report nothing of what was lost while the node started, or is lost while it closes', () => {
    const [commands] = openAll();
    commands.lose();
    connections.report();
    commands.make();
    expect(events).toEqual([]);
    commands.lose();
    connections.stop();
    commands.make();
    commands.lose();
    expect(events.map(({ type }) => type)).toEqual(['redis-lost']);
  });

  test('resolve whenReady of the one that is asked for, when it is made for the first time', async () => {
    const [commands, subscriber] = openAll();
    let isReady = false;
    const ready = connections.whenReady(COMMANDS).then(() => (isReady = true));
    subscriber.make();
    await new Promise(setImmediate);
    expect(isReady).toBe(false);
    commands.make();
    await ready;
    commands.lose();
    commands.make(); // and nobody waits any more
  });

  describe('retry', () => {
    const failing = (times: number): (() => Promise<number>) => {
      let tries = 0;
      return () => (++tries > times ? Promise.resolve(tries) : Promise.reject(new Error('lost')));
    };

    test('runs a command again when the connection for commands is back, not another', async () => {
      const [commands, subscriber] = openAll();
      let outcome: unknown = 'pending';
      const retried = connections.retry(failing(1)).then((tries) => (outcome = tries));
      await new Promise(setImmediate);
      subscriber.make();
      await new Promise(setImmediate);
      expect(outcome).toBe('pending');
      commands.make();
      expect(await retried).toBe(2);
    });

    test('ends with the last error when the node closes', async () => {
      openAll();
      const retried = connections.retry(failing(5));
      await new Promise(setImmediate);
      connections.stop();
      await expect(retried).rejects.toThrow('lost');
    });
  });

  test('are made anew, all of them, if one shows that it leads to another server', () => {
    const [commands, subscriber, reader] = openAll();
    const resets = (): number[] => [commands, subscriber, reader].map((connection) => connection.resets);
    commands.lose('Redis closed the connection');
    reader.lose('UNBLOCKED force unblock from blocking operation');
    expect(resets()).toEqual([0, 0, 0]);
    commands.lose("READONLY You can't write against a read only replica.");
    expect(resets()).toEqual([0, 1, 1]);
    reader.lose("READONLY You can't write against a read only replica."); // what was appended with a read
    expect(resets()).toEqual([1, 2, 1]);
    commands.lose('LOADING Redis is loading the dataset in memory');
    expect(resets()).toEqual([1, 3, 2]);
  });

  test('are all closed', async () => {
    openAll();
    await connections.close();
    expect(opened.map(({ isClosed }) => isClosed)).toEqual([true, true, true]);
  });
});
