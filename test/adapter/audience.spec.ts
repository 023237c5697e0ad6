import { beforeEach, describe, expect, test } from '@jest/globals';
import { Audience } from '../../lib/adapter/audience.js';
import { ApplyingAdapter, OPTS, type Callback } from './applying-adapter.js';

describe('Audience', () => {
  let adapter: ApplyingAdapter;
  let audience: Audience;
  let done: string[];
  const note: Callback = ({ id }) => void done.push(id);

  beforeEach(() => {
    adapter = new ApplyingAdapter();
    audience = new Audience(adapter);
    done = [];
  });

  test('is all sockets that are meant, unless it is limited', () => {
    adapter.apply(OPTS, note);
    audience.limit(
      (sid) => sid !== 'b',
      () => adapter.apply(OPTS, note),
    );
    adapter.apply(OPTS, note);
    expect(done.join('')).toBe('abc' + 'ac' + 'abc');
  });

  test('is limited by each of two limits, one within the other', () => {
    audience.limit(
      (sid) => sid !== 'a',
      () => {
        audience.limit(
          (sid) => sid !== 'b',
          () => adapter.apply(OPTS, note),
        );
        adapter.apply(OPTS, note);
      },
    );
    expect(done.join('')).toBe('c' + 'bc');
  });

  test('is all sockets for what the application does by itself while it is done', () => {
    audience.limit(
      (sid) => sid === 'b',
      () => adapter.apply(OPTS, () => adapter.apply(OPTS, note)),
    );
    expect(done.join('')).toBe('abc');
  });

  test('is limited no longer when it throws, be it the work or a listener', () => {
    const fail = (): never => {
      throw new Error('not encodable');
    };
    expect(() => audience.limit(() => false, fail)).toThrow('not encodable');
    expect(() =>
      audience.limit(
        () => true,
        () => adapter.apply(OPTS, fail),
      ),
    ).toThrow('not encodable');
    adapter.apply(OPTS, note);
    expect(done.join('')).toBe('abc');
  });
});
