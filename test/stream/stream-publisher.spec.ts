import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from '@jest/globals';
import type { Command, RedisConnection } from '../../lib/redis/driver.js';
import type { StreamEvent } from '../../lib/stream/events.js';
import { multiRefused } from '../../lib/redis/multi-refused.js';
import { FlowControl } from '../../lib/stream/flow-control.js';
import { Lane } from '../../lib/stream/lane.js';
import { StreamPublisher } from '../../lib/stream/stream-publisher.js';

const MAX_LEN = 1_000;
/** A quarter of the stream, for two nodes. */
const SHARE = MAX_LEN / 8;

/** How much a publisher appends, as far as that depends on flow control only. Real servers: test/faults. */
describe('StreamPublisher', () => {
  let connection: { ready: boolean; appended: number };
  let reader: { isOpen: boolean; isReading: boolean; fetched: string };
  let lane: Lane;
  let flow: FlowControl;
  let asked: number;
  let events: StreamEvent[];
  let publisher: StreamPublisher;

  beforeEach(() => {
    connection = { ready: true, appended: 0 };
    reader = { isOpen: true, isReading: true, fetched: '0-0' };
    lane = new Lane('me');
    asked = 0;
    events = [];
    const append = (): string => `${++connection.appended}-0`;
    const redis: Partial<RedisConnection> = {
      get ready() {
        return connection.ready;
      },
      call: () => Promise.resolve(append()),
      transaction: (commands: readonly Command[]) => Promise.resolve(commands.map(append)),
    };
    flow = new FlowControl(reader, {
      ...{ nodeId: 'me', maxLen: MAX_LEN, heartbeatTimeout: 10_000 },
      readers: { count: () => 2, present: () => ['me', 'peer'], ask: () => asked++ },
    });
    publisher = new StreamPublisher(
      redis as RedisConnection,
      {
        ...{ stream: 's', maxLen: MAX_LEN, maxHoldMs: 0, commandTimeout: 1_000 },
        outbox: { maxEntries: 100_000, maxBytes: 100_000_000 },
        emit: (event) => events.push(event),
      },
      flow,
    );
  });

  function onReadBack(): void {
    flow.onReadBack();
    publisher.onReaders();
  }

  function append(count: number): void {
    for (let i = 0; i < count; i++) {
      publisher.append({ lane, seq: lane.next().seq, fields: ['data', '{}'], bytes: 70 });
    }
  }

  /** Lets it append all that it may, its reader keeping up. */
  async function settle(): Promise<void> {
    for (let before = -1; before < connection.appended;) {
      before = connection.appended;
      for (let turn = 0; turn < 20; turn++) {
        await new Promise((resolve) => setImmediate(resolve));
        reader.fetched = reader.isReading ? `${connection.appended}-0` : reader.fetched;
        onReadBack();
      }
    }
  }

  test('appends nothing before it is known where reading began', async () => {
    reader.isOpen = reader.isReading = false;
    append(10);
    await settle();
    expect(connection.appended).toBe(0);
    reader.isOpen = reader.isReading = true;
    await settle();
    expect(connection.appended).toBe(10);
  });

  test('appends its share at most, however often the connection is lost, until all are known to read', async () => {
    connection.ready = false;
    publisher.onLost();
    append(5_000);
    for (let round = 1; round <= 5; round++) {
      connection.ready = true;
      publisher.onReady();
      await settle();
      expect(connection.appended).toBe(SHARE);
      expect(asked).toBe(round);
      connection.ready = false;
      publisher.onLost();
    }
    connection.ready = true;
    publisher.onReady();
    flow.onReading('peer');
    publisher.onReaders();
    await settle();
    expect(connection.appended).toBe(5_000);
  });

  test('does not count what a node said before the connection was back', async () => {
    connection.ready = false;
    publisher.onLost();
    append(1_000);
    flow.onReading('peer');
    publisher.onReaders();
    connection.ready = true;
    publisher.onReady();
    await settle();
    expect(connection.appended).toBe(SHARE);
    flow.onLeft('peer');
    publisher.onReaders();
    await settle();
    expect(connection.appended).toBe(1_000);
  });

  test('resumes when its own reader resumes; does not wait for a reader that has stopped', async () => {
    reader.isReading = true;
    onReadBack();
    reader.isReading = false;
    onReadBack();
    append(1_000);
    await settle();
    expect(connection.appended).toBe(SHARE);
    reader.isReading = true;
    await settle();
    expect(connection.appended).toBe(1_000);
  });

  test('reports what is left when it is closed', async () => {
    connection.ready = false;
    append(30);
    await publisher.close(10);
    expect(publisher.dropped).toBe(30);
    expect(events).toMatchObject([{ type: 'outbox-dropped', dropped: 30 }]);
  });
});

/** How entries leave with a read. Real servers: test/faults/piggyback.spec.ts. */
describe('StreamPublisher with a reader that is about to read', () => {
  /** What was sent on each connection: the numbers of its entries, with an "again" if they were sent before. */
  let sent: { own: string[][]; reading: string[][] };
  /** What becomes of what is sent on the connection of the reader: it fails with an error, or is answered when a promise resolves. */
  let fails: () => Error | Promise<void> | undefined;
  let onEvent: (event: StreamEvent) => void;
  let lane: Lane;
  let holdMs: number | undefined;
  let isPossible: boolean;
  let reading: RedisConnection;
  let publisher: StreamPublisher;

  beforeEach(() => {
    sent = { own: [], reading: [] };
    fails = () => undefined;
    onEvent = () => undefined;
    lane = new Lane('me');
    holdMs = 10_000;
    isPossible = true;
    const own = connectionTo(sent.own, () => undefined);
    reading = connectionTo(sent.reading, () => fails());
    publisher = new StreamPublisher(
      own,
      {
        ...{ stream: 's', maxLen: MAX_LEN, maxHoldMs: 2, commandTimeout: 1_000 },
        outbox: { maxEntries: 100_000, maxBytes: 100_000_000 },
        emit: (event) => onEvent(event),
      },
      undefined,
      {
        get holdMs() {
          return isPossible ? holdMs : undefined;
        },
        get isPossible() {
          return isPossible;
        },
      },
    );
  });

  function connectionTo(commands: string[][], outcome: typeof fails): RedisConnection {
    const run = async (batch: readonly Command[]): Promise<string[]> => {
      const numberOf = (command: Command): string => String(command[command.indexOf('seq') + 1]);
      commands.push(batch.map((command) => numberOf(command) + (command.includes('resent') ? ' again' : '')));
      const failure = outcome();
      if (failure instanceof Error) throw failure;
      await failure;
      return batch.map(() => '1-0');
    };
    const connection: Partial<RedisConnection> = {
      ready: true,
      call: async (command: Command) => (await run([command]))[0],
      transaction: run,
    };
    return connection as RedisConnection;
  }

  function append(count: number): void {
    for (let i = 0; i < count; i++) {
      publisher.append({ lane, seq: lane.next().seq, fields: ['data', '{}'], bytes: 70 });
    }
  }

  /** Has it know that entries come fast. */
  async function warmUp(): Promise<void> {
    isPossible = false;
    append(200);
    await publisher.whenAppended();
    isPossible = true;
    lane = new Lane('me');
    sent.own.length = 0;
  }

  test('sends what waits for a read on the connection of that, before it', async () => {
    await warmUp();
    append(2);
    expect([publisher.mode, sent]).toEqual(['gathering', { own: [], reading: [] }]);
    expect(publisher.onBeforeRead(reading)).toBe(true);
    expect(sent).toEqual({ own: [], reading: [['1', '2']] });
    await publisher.whenAppended();
    expect(publisher.onBeforeRead(reading)).toBe(false); // nothing waits
    expect(publisher.appended).toBe(202);
  });

  test('sends it on its own when the read does not come', async () => {
    await warmUp();
    holdMs = 1;
    append(1);
    await publisher.whenAppended();
    expect(sent).toEqual({ own: [['1']], reading: [] });
  });

  test('sends nothing with a read that it may not leave with any more', async () => {
    await warmUp();
    append(1);
    isPossible = false;
    expect(publisher.onBeforeRead(reading)).toBe(false);
    expect(sent.reading).toEqual([]);
    await publisher.close(1_000);
    expect(sent.own).toEqual([['1']]);
  });

  test('sends again on its own, marked as such and at once, what failed on the connection of the reader', async () => {
    await warmUp();
    const events: string[] = [];
    onEvent = ({ type }) => events.push(type);
    append(2);
    fails = () => multiRefused(new Error('NOPERM'));
    publisher.onBeforeRead(reading);
    fails = () => undefined;
    await new Promise(setImmediate); // no timer
    expect(sent).toEqual({ own: [['1 again', '2 again']], reading: [['1', '2']] });
    expect([lane.appended, publisher.mode, publisher.error, events]).toEqual([2, 'idle', undefined, []]);
  });

  test('has entries that come slowly wait for no read', async () => {
    for (let n = 1; n <= 3; n++) {
      await sleep(15);
      append(1);
      expect(publisher.mode).not.toBe('gathering');
      await publisher.whenAppended();
    }
    expect(sent).toEqual({ own: [['1'], ['2'], ['3']], reading: [] });
  });

  test('waits for no read any more when it is closed', async () => {
    await warmUp();
    append(2);
    let answer!: () => void;
    const answered = new Promise<void>((resolve) => (answer = resolve));
    fails = () => answered;
    publisher.onBeforeRead(reading);
    append(1);
    const closed = publisher.close(5_000);
    fails = () => undefined;
    answer();
    await closed;
    expect(sent).toEqual({ own: [['3']], reading: [['1', '2']] });
    expect(publisher.dropped).toBe(0);
  });
});
