import { beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { BroadcastOptions } from 'socket.io-adapter';
import { ApplyHook } from '../../lib/adapter/apply-hook.js';

type Callback = (socket: { id: string }) => void;

const OPTS: BroadcastOptions = { rooms: new Set() };

/** Calls back for each of three sockets, as an adapter does. */
class ApplyingAdapter {
  private readonly sockets = ['a', 'b', 'c'].map((id) => ({ id }));

  apply(_opts: BroadcastOptions, callback: Callback): void {
    this.sockets.forEach(callback);
  }
}

describe('ApplyHook', () => {
  let adapter: ApplyingAdapter;
  let hook: ApplyHook;
  let done: string[];
  const note: Callback = ({ id }) => void done.push(id);
  const failAt =
    (failing: string): Callback =>
    ({ id }) => {
      done.push(id);
      if (id === failing) throw new Error(`a listener of ${id}`);
    };

  beforeEach(() => {
    adapter = new ApplyingAdapter();
    hook = new ApplyHook(adapter);
    done = [];
  });

  test('limits work to some of the sockets that are meant, as long as it lasts', () => {
    adapter.apply(OPTS, note);
    hook.limit(
      (sid) => sid !== 'b',
      () => adapter.apply(OPTS, note),
    );
    adapter.apply(OPTS, note);
    expect(done.join('')).toBe('abc' + 'ac' + 'abc');
  });

  test('limits it by each of two limits, one within the other', () => {
    hook.limit(
      (sid) => sid !== 'a',
      () => {
        hook.limit(
          (sid) => sid !== 'b',
          () => adapter.apply(OPTS, note),
        );
        adapter.apply(OPTS, note);
      },
    );
    expect(done.join('')).toBe('c' + 'bc');
  });

  test('does not limit what the application does by itself meanwhile', () => {
    hook.limit(
      (sid) => sid === 'b',
      () => adapter.apply(OPTS, () => adapter.apply(OPTS, note)),
    );
    expect(done.join('')).toBe('abc');
  });

  test('limits nothing once work has thrown, be it by itself or in a listener', () => {
    const fail = (): never => {
      throw new Error('not encodable');
    };
    expect(() => hook.limit(() => false, fail)).toThrow('not encodable');
    expect(() =>
      hook.limit(
        () => true,
        () => adapter.apply(OPTS, fail),
      ),
    ).toThrow('not encodable');
    adapter.apply(OPTS, note);
    expect(done.join('')).toBe('abc');
  });

  test('isolates sockets: a listener of one that throws does not keep work from the others, and is uncaught', () => {
    const thrown: (() => void)[] = [];
    const microtask = jest.spyOn(globalThis, 'queueMicrotask').mockImplementation((run) => void thrown.push(run));
    hook.isolate(() => adapter.apply(OPTS, failAt('a')));
    microtask.mockRestore();
    expect(done).toEqual(['a', 'b', 'c']);
    expect(thrown).toHaveLength(1);
    expect(thrown[0]).toThrow('a listener of a');
  });

  test('isolates nothing that the application does by itself: it hears what its call throws', () => {
    expect(() => adapter.apply(OPTS, failAt('a'))).toThrow('a listener of a');
    let heard: unknown;
    hook.isolate(() =>
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

  test('isolates nothing once work has thrown', () => {
    expect(() =>
      hook.isolate(() => {
        throw new Error('not encodable');
      }),
    ).toThrow('not encodable');
    expect(() => adapter.apply(OPTS, failAt('a'))).toThrow('a listener of a');
  });

  test('limits and isolates at the same time, whichever is within the other', () => {
    const microtask = jest.spyOn(globalThis, 'queueMicrotask').mockImplementation(() => undefined);
    const isNotB = (sid: string): boolean => sid !== 'b';
    hook.isolate(() => hook.limit(isNotB, () => adapter.apply(OPTS, failAt('a'))));
    hook.limit(isNotB, () => hook.isolate(() => adapter.apply(OPTS, failAt('a'))));
    expect(microtask).toHaveBeenCalledTimes(2);
    microtask.mockRestore();
    expect(done.join('')).toBe('ac' + 'ac');
  });
});
