import { beforeEach, describe, expect, test } from '@jest/globals';
import { DeliveryQueue } from '../../lib/stream/delivery-queue.js';
import { EntryType, type LogEntry } from '../../lib/wire/entry.js';
import { until } from '../kit/index.js';

function entry(n: number): LogEntry {
  return { id: `${n}-0`, uid: 'node', nsp: '/', type: EntryType.Broadcast, data: 'x'.repeat(100) };
}

describe('DeliveryQueue', () => {
  let done: string[];
  let work: (() => void)[];
  let waits: Map<string, Promise<void>>;
  let onDeliver: (entry: LogEntry) => void;
  let queue: DeliveryQueue;

  beforeEach(() => {
    done = [];
    work = [];
    waits = new Map();
    onDeliver = () => undefined;
    const target = {
      before: ({ id }: LogEntry) => waits.get(id),
      deliver: (one: LogEntry) => {
        done.push(one.id);
        onDeliver(one);
      },
    };
    const localWork = {
      get isDue() {
        return work.length > 0;
      },
      doNext: () => work.shift()!(),
    };
    queue = new DeliveryQueue(target, localWork, () => undefined);
  });

  test('delivers at once and in order, also what is added during a delivery', () => {
    onDeliver = ({ id }) => {
      if (id === '1-0') queue.push([entry(3)]);
    };
    queue.push([entry(1), entry(2)]);
    expect(done).toEqual(['1-0', '2-0', '3-0']);
    expect(queue.isIdle).toBe(true);
  });

  test('does local work as soon as it is due, before the next entry', () => {
    onDeliver = ({ id }) => {
      if (id === '1-0') work.push(() => done.push('work'));
    };
    queue.push([entry(1), entry(2)]);
    work.push(() => done.push('more work'));
    queue.resume();
    expect(done).toEqual(['1-0', 'work', '2-0', 'more work']);
  });

  test('delivers nothing while an entry waits for what must come before it', async () => {
    let resolve!: () => void;
    waits.set('2-0', new Promise((settle) => (resolve = settle)));
    queue.push([entry(1), entry(2)]);
    queue.push([entry(3)]);
    expect(done).toEqual(['1-0']);
    expect([queue.length, queue.isIdle, queue.oldest!.id]).toEqual([2, false, '2-0']);
    resolve();
    await until(() => done.length === 3, { what: 'the rest to be delivered' });
    expect(done).toEqual(['1-0', '2-0', '3-0']);
  });

  test('lets others have their turns of the event loop, during entries and during local work', async () => {
    const spin = (): void => {
      const end = performance.now() + 1;
      while (performance.now() < end);
    };
    onDeliver = spin;
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    queue.push(Array.from({ length: 200 }, (_, i) => entry(i)));
    await until(() => queue.isIdle, { what: 'all entries to be delivered' });
    expect(turns).toBeGreaterThan(3);
    turns = 0;
    work = Array.from({ length: 200 }, () => spin);
    queue.resume();
    await until(() => queue.isIdle, { what: 'all work to be done' });
    expect(turns).toBeGreaterThan(3);
    clearInterval(timer);
  });

  test('delivers nothing more once it is closed', async () => {
    waits.set('2-0', Promise.resolve());
    queue.push([entry(1), entry(2), entry(3)]);
    queue.close();
    await new Promise((resolve) => setImmediate(resolve));
    expect(done).toEqual(['1-0']);
  });
});
