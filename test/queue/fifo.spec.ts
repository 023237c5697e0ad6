import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Fifo } from '../../lib/queue/fifo.js';

test('Fifo is what an array is, whatever is done with it', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ push: fc.integer() }) },
    { weight: 4, arbitrary: fc.constant('shift' as const) },
    { weight: 1, arbitrary: fc.constantFrom('clear' as const, 'many' as const) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: -2, max: 20 }), (steps, place) => {
      const fifo = new Fifo<number>();
      let model: number[] = [];
      for (const one of steps) {
        if (one === 'shift') {
          expect(fifo.shift()).toBe(model.shift());
        } else if (one === 'clear') {
          fifo.clear();
          model = [];
        } else if (one === 'many') {
          for (let n = 0; n < 3_000; n++) fifo.push(n);
          for (let n = 0; n < 3_000; n++) model.push(n);
          for (let n = 0; n < 2_000; n++) expect(fifo.shift()).toBe(model.shift());
        } else {
          fifo.push(one.push);
          model.push(one.push);
        }
        expect([fifo.length, fifo.peek(), fifo.last()]).toEqual([model.length, model[0], model.at(-1)]);
        expect(fifo.at(place)).toBe(model[place]);
      }
      expect([...fifo]).toEqual(model);
    }),
    { numRuns: 100 },
  );
});
