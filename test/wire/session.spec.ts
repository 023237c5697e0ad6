import { describe, expect, test } from '@jest/globals';
import { encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { decodeSession, encodeSession, isSessionId, type Session } from '../../lib/wire/session.js';
import { cutAt } from '../../lib/wire/cut.js';

const session: Session = {
  sid: 'socket',
  pid: 'private',
  rooms: ['socket', 'room', 42 as never],
  data: { name: 'Ada', bytes: new Uint8Array([1, 2]), list: [1, null] },
  nsp: '/chat',
  since: cutAt('1-0'),
  forgotten: cutAt('2-0'),
  epoch: 3,
  owner: 'node',
  joined: [['room', { position: '5-0', ahead: [{ node: 'node', seq: 3 }] }]],
  left: [['old', cutAt('1-0'), cutAt('4-0')]],
  sent: { other: '6-0', own: { origin: { node: 'node', seq: 8 }, id: '6-5' } },
  position: cutAt('7-0'),
  ahead: [
    { node: 'other', seq: 2, coveredAt: '4-0' },
    { node: 'third', seq: 1 },
  ],
};

describe('a session', () => {
  test('is read as it was written', () => {
    expect(decodeSession(encodeSession(session), 'private')).toEqual(session);
  });

  test('is kept but for rooms whose names are none, of which only one node can know', () => {
    const odd = [Symbol('room'), () => 1, undefined, { id: 1 }] as never[];
    const rooms = [...session.rooms, ...odd];
    const joined = odd.map((room): [string, ReturnType<typeof cutAt>] => [room, cutAt('1-0')]);
    const written = encodeSession({ ...session, rooms, joined: [...session.joined!, ...joined] });
    expect(decodeSession(written, 'private')).toEqual(session);
  });

  test.each<[string, unknown, unknown]>([
    ['a text', 'a text', 'a text'],
    ['an array', [1], [1]],
    ['nothing', undefined, {}],
    ['nested as deep as can be', nested(1_000), expect.any(Object)],
    ['with a property __proto__', JSON.parse('{"__proto__":{"a":1}}'), JSON.parse('{"__proto__":{"a":1}}')],
  ])('is read as it was written when its data are %s', (_name, data, read) => {
    expect(decodeSession(encodeSession({ ...session, data }), 'private')).toEqual({ ...session, data: read });
  });

  test('of the reference is read', () => {
    const { sid, pid, rooms, data } = session;
    const written = Buffer.from(encode({ sid, pid, rooms, data })).toString('base64');
    expect(decodeSession(written, 'private')).toEqual({ sid, pid, rooms, data });
  });

  test('of another client is none', () => {
    expect(decodeSession(encodeSession(session), 'other')).toBeUndefined();
  });

  test('keeps of its fields those that can be understood', () => {
    const written = Buffer.from(
      encode({
        ...{ sid: 's', pid: 'p', rooms: ['a', {}, null, 1], data: 'no object', nsp: 1, epoch: 'x' },
        ...{ joined: [['a']], left: [['a', '1-0', 'x']], sent: '01-0', position: 5, since: null, later: 1, ahead: 7 },
      }),
    ).toString('base64');
    expect(decodeSession(written, 'p')).toEqual({ sid: 's', pid: 'p', rooms: ['a', 1], data: 'no object' });
  });

  test('that anybody may have written is read or is none', () => {
    fc.assert(
      fc.property(fc.oneof(fc.base64String(), fc.string(), fc.anything()), (value) => {
        expect(decodeSession(value, 'private')).toBeUndefined();
      }),
      { numRuns: 2_000 },
    );
    const whole = Buffer.from(encodeSession(session), 'base64');
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 }), (at, byte) => {
        const changed = Buffer.from(whole);
        changed[at] = byte;
        const decoded = decodeSession(changed.toString('base64'), 'private');
        if (decoded)
          expect([decoded.pid, typeof decoded.sid, Array.isArray(decoded.rooms)]).toEqual(['private', 'string', true]);
      }),
      { numRuns: 2_000 },
    );
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  test('keeps dates, maps, sets, BigInts and binary data in its data as they are', () => {
    const data = { since: new Date(5), seen: new Map([[1, new Set(['a'])]]), sum: 5n, image: Buffer.from('a') };
    expect(decodeSession(encodeSession({ ...session, data }), session.pid)?.data).toEqual(data);
  });

  test('whose data hold a circular reference keeps the rest of them, and says what it left out', () => {
    const leftOut: string[] = [];
    const encoded = encodeSession({ ...session, data: { name: 'a', circle: circle() } }, ({ path }) =>
      leftOut.push(path),
    );
    expect(decodeSession(encoded, session.pid)?.data).toMatchObject({ name: 'a' });
    expect(leftOut).toHaveLength(1);
  });

  test('has an id of letters, digits, "-" and "_"', () => {
    expect(['TWyQZ_0d-aB3', 'a'].every(isSessionId)).toBe(true);
    expect(
      ['', 'a:b', 'live:nodes', 'a b', 'a\n', 'x'.repeat(65), 'é', 5, null, {}, ['a']].filter(isSessionId),
    ).toEqual([]);
  });
});

function circle(): unknown {
  const one: Record<string, unknown> = {};
  one.self = one;
  return one;
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = { value };
  return value;
}
