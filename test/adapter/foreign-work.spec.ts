import { beforeEach, describe, expect, jest, test } from '@jest/globals';
import { ForeignWork } from '../../lib/adapter/foreign-work.js';
import { ApplyingAdapter, OPTS, type Callback } from './applying-adapter.js';

describe('ForeignWork', () => {
  let adapter: ApplyingAdapter;
  let work: ForeignWork;
  let done: string[];
  const failAt =
    (failing: string): Callback =>
    ({ id }) => {
      done.push(id);
      if (id === failing) throw new Error(`a listener of ${id}`);
    };

  beforeEach(() => {
    adapter = new ApplyingAdapter();
    work = new ForeignWork(adapter);
    done = [];
  });

  test('does it with all sockets though a listener of one throws, whose exception is uncaught', () => {
    const thrown: (() => void)[] = [];
    const microtask = jest.spyOn(globalThis, 'queueMicrotask').mockImplementation((run) => void thrown.push(run));
    work.run(() => adapter.apply(OPTS, failAt('a')));
    microtask.mockRestore();
    expect(done).toEqual(['a', 'b', 'c']);
    expect(thrown).toHaveLength(1);
    expect(thrown[0]).toThrow('a listener of a');
  });

  test('lets the application hear what its own call throws, outside such work and from within', () => {
    expect(() => adapter.apply(OPTS, failAt('a'))).toThrow('a listener of a');
    let heard: unknown;
    work.run(() =>
      adapter.apply(OPTS, ({ id }) => {
        try {
          if (id === 'a') adapter.apply(OPTS, failAt('b')); // a listener broadcasts
        } catch (error) {
          heard = error;
        }
      }),
    );
    expect(heard).toEqual(new Error('a listener of b'));
    expect(done).toEqual(['a', 'a', 'b']);
  });

  test('is over when it throws', () => {
    expect(() =>
      work.run(() => {
        throw new Error('not encodable');
      }),
    ).toThrow('not encodable');
    expect(() => adapter.apply(OPTS, failAt('a'))).toThrow('a listener of a');
  });
});
