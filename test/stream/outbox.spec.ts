import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Lane } from '../../lib/stream/lane.js';
import { Outbox, type OutboxEntry } from '../../lib/stream/outbox.js';

const lane = new Lane('node');
const item = (name: string, bytes = 10): OutboxEntry => ({ order: 1, lane, seq: 1, fields: [name], bytes });

function drain(outbox: Outbox): string[] {
  const names: string[] = [];
  for (let next = outbox.shift(); next; next = outbox.shift()) {
    names.push(next.fields[0]!);
  }
  return names;
}

describe('Outbox', () => {
  test('gives back in order what was put in', () => {
    const outbox = new Outbox({ maxEntries: 10_000, maxBytes: 1_000_000 });
    const names = Array.from({ length: 5_000 }, (_, i) => String(i));
    names.forEach((name) => outbox.push(item(name)));
    expect([outbox.length, outbox.bytes]).toEqual([5_000, 50_000]);
    expect(drain(outbox)).toEqual(names);
    expect([outbox.length, outbox.bytes, outbox.isEmpty, outbox.shift()]).toEqual([0, 0, true, undefined]);
  });

  test('drops the oldest when there are too many', () => {
    const outbox = new Outbox({ maxEntries: 2, maxBytes: 1_000 });
    expect(['a', 'b', 'c', 'd'].map((name) => outbox.push(item(name)).map(({ fields }) => fields[0]))).toEqual([
      [],
      [],
      ['a'],
      ['b'],
    ]);
    expect(drain(outbox)).toEqual(['c', 'd']);
  });

  test('drops as many of the oldest as a large one needs', () => {
    const outbox = new Outbox({ maxEntries: 100, maxBytes: 50 });
    ['a', 'b', 'c', 'd'].forEach((name) => outbox.push(item(name)));
    expect(outbox.push(item('large', 30))).toHaveLength(2);
    expect(drain(outbox)).toEqual(['c', 'd', 'large']);
  });

  test('drops all, and the new one too, when that is larger than everything allowed', () => {
    const outbox = new Outbox({ maxEntries: 100, maxBytes: 50 });
    outbox.push(item('a'));
    expect(outbox.push(item('huge', 51))).toHaveLength(2);
    expect([outbox.length, outbox.bytes]).toEqual([0, 0]);
  });

  test('never holds more than its bounds, and loses nothing but what it says', () => {
    const operation = fc.oneof(fc.integer({ min: 1, max: 120 }), fc.constant('shift' as const));
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
        const limits = { maxEntries: 7, maxBytes: 300 };
        const outbox = new Outbox(limits);
        let model: OutboxEntry[] = [];
        operations.forEach((operation, i) => {
          if (operation === 'shift') {
            expect(outbox.shift()).toBe(model.shift());
          } else {
            model.push(item(String(i), operation));
            const dropped = outbox.push(model.at(-1)!);
            const before = model;
            while (model.length > limits.maxEntries || sum(model) > limits.maxBytes) {
              model = model.slice(1);
            }
            expect(dropped).toEqual(before.slice(0, before.length - model.length));
          }
          expect([outbox.length, outbox.bytes, outbox.peek()]).toEqual([model.length, sum(model), model[0]]);
        });
      }),
    );
    function sum(items: OutboxEntry[]): number {
      return items.reduce((total, { bytes }) => total + bytes, 0);
    }
  });
});
