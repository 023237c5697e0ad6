import { beforeEach, describe, expect, test } from '@jest/globals';
import type { Command, RedisConnection } from '../../lib/redis/driver.js';
import type { StreamEvent } from '../../lib/stream/events.js';
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
