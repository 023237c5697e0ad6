import { describe, expect, test } from '@jest/globals';
import { encode } from '@msgpack/msgpack';
import fc from 'fast-check';
import { Decoder, Encoder, PacketType } from 'socket.io-parser';
import {
  decodeEntry,
  encodeBus,
  DIRECT_LANE,
  encodeMessage,
  encodeOrigin,
  EntryType,
  type LogEntry,
  type LogMessage,
} from '../../lib/wire/entry.js';
import { InvalidEntryError } from '../../lib/wire/invalid-entry-error.js';
import { parseEntry, type FieldsInBytes } from '../../lib/wire/parse-entry.js';

const PLAIN = { onlyPlaintext: false };
const ROOMS = fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.integer().map(Number)), { maxLength: 4 });

/** Anything that JSON can carry, and binary data. */
const { argument } = fc.letrec((tie) => ({
  leaf: fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constantFrom(null, undefined, NaN, -0, Infinity),
    fc.date({ noInvalidDate: false }),
  ),
  binary: fc.oneof(
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.uint8Array(),
    fc.uint8Array().map((bytes) => bytes.buffer),
    fc.float32Array(),
  ),
  argument: fc.oneof(
    { weight: 4, arbitrary: tie('leaf') },
    { weight: 2, arbitrary: tie('binary') },
    { weight: 1, arbitrary: fc.array(tie('argument'), { maxLength: 4 }) },
    { weight: 1, arbitrary: fc.dictionary(fc.string({ unit: 'binary' }), tie('argument'), { maxKeys: 4 }) },
  ),
}));
const eventData = fc.array(argument, { maxLength: 4 }).map((args) => ['event', ...args]);

const wireOptions = fc.record({
  rooms: ROOMS as fc.Arbitrary<string[]>,
  except: ROOMS as fc.Arbitrary<string[]>,
  flags: fc.constantFrom<Record<string, unknown>>({}, { compress: false }),
});

const logMessage: fc.Arbitrary<LogMessage> = fc
  .tuple(fc.string({ unit: 'binary' }), wireOptions, ROOMS as fc.Arbitrary<string[]>, eventData, fc.boolean())
  .chain(([nsp, opts, rooms, data, close]) =>
    fc.constantFrom<LogMessage>(
      { uid: 'node', nsp, type: EntryType.Broadcast, data: { packet: { type: 2, data }, opts } },
      { uid: 'node', nsp, type: EntryType.SocketsJoin, data: { opts, rooms } },
      { uid: 'node', nsp, type: EntryType.SocketsLeave, data: { opts, rooms } },
      { uid: 'node', nsp, type: EntryType.DisconnectSockets, data: { opts, close } },
    ),
  );

/** All that is known of an entry, but for its size. */
function read({ id, uid, nsp, type, data, origin, rooms, prev, bus, problem, isResent, trace }: LogEntry): unknown {
  return { id, uid, nsp, type, data, origin, rooms, prev, bus, problem, isResent, trace };
}

/** The fields in one piece of bytes, with something between them. */
function inBytes(fields: readonly string[]): FieldsInBytes {
  const bytes = Buffer.from(`"${fields.join('","')}"`);
  return {
    count: fields.length,
    size: bytes.length,
    copyTo: (target, offset) => void bytes.copy(target, offset),
    cursor: () => {
      let n = 0;
      const cursor = {
        ...{ bytes, from: 0, to: -2 },
        next: () => {
          cursor.from = cursor.to + 3;
          cursor.to = cursor.from + Buffer.byteLength(fields[n++]!);
        },
      };
      return cursor;
    },
  };
}

function throughTheLog(message: LogMessage): LogMessage | undefined {
  const fields = [...encodeMessage(message, PLAIN), ...encodeOrigin('node', 7, 6, false)];
  const entry = parseEntry('1-1', fields);
  // Some clients give bytes, and our own reading of replies shows where they lie.
  const asBytes = fields.map((field) => Buffer.from(field));
  for (const other of [parseEntry('1-1', asBytes), parseEntry('1-1', inBytes(fields))]) {
    expect(read(other)).toEqual(read(entry));
  }
  return decodeEntry(entry) as LogMessage | undefined;
}

/** What a client is given when Socket.IO writes a packet with this data to it. */
function toClient(data: unknown[]): unknown {
  let received: unknown;
  const decoder = new Decoder();
  decoder.on('decoded', (packet) => (received = packet.data as unknown));
  for (const part of new Encoder().encode({ type: PacketType.EVENT, nsp: '/', data })) {
    decoder.add(typeof part === 'string' ? part : asReceived(part as ArrayBufferView | ArrayBuffer));
  }
  return received;
}

/** Bytes come out of the network as a Buffer. */
function asReceived(bytes: ArrayBufferView | ArrayBuffer): Buffer {
  return ArrayBuffer.isView(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : Buffer.from(bytes);
}

/** Runs it; whatever it throws that is no InvalidEntryError is thrown on. */
function survive(run: () => unknown): void {
  try {
    run();
  } catch (error) {
    if (!(error instanceof InvalidEntryError)) {
      throw error;
    }
  }
}

describe('an entry', () => {
  test('gives a client what Socket.IO alone would give it, whatever the arguments', () => {
    fc.assert(
      fc.property(eventData, (data) => {
        const opts = { rooms: [], except: [], flags: {} };
        const message = throughTheLog({
          uid: 'node',
          nsp: '/',
          type: EntryType.Broadcast,
          data: { packet: { type: 2, data }, opts },
        });
        expect(toClient((message as { data: { packet: { data: unknown[] } } }).data.packet.data)).toEqual(
          toClient(data),
        );
      }),
      { numRuns: 1_000 },
    );
  });

  test('keeps the JSON of data as Socket.IO makes it where it is written, and of long data where it is read', () => {
    let known = 0;
    fc.assert(
      fc.property(eventData, wireOptions, (start, opts) => {
        const data = [...start, 'long '.repeat(300)];
        const message: LogMessage = {
          ...{ uid: 'node', nsp: '/', type: EntryType.Broadcast },
          data: { packet: { type: 2, data }, opts },
        };
        const decoded = throughTheLog(message) as typeof message;
        const [encoded, ...attachments] = new Encoder().encode({ type: PacketType.EVENT, nsp: '/', data });
        const json = attachments.length > 0 ? undefined : (encoded as string).slice(1);
        expect(message.data.packet.json).toBe(json);
        // With options that JSON changes, such as -0, it is not known.
        expect([undefined, json]).toContain(decoded.data.packet.json);
        known += Number(decoded.data.packet.json !== undefined);
      }),
      { numRuns: 500 },
    );
    expect(known).toBeGreaterThan(50);
  });

  test.each([
    ['the reference', '{"packet":{"type":2,"data":["x"]},"opts":{"rooms":[],"except":[],"flags":{}}}'],
    ['somebody who adds to the packet', '{"opts":{"rooms":[],"except":[]},"packet":{"type":2,"data":["x"],"more":[]}}'],
    ['somebody who writes it with spaces', '{"opts":{ "rooms":[],"except":[]},"packet":{"type":2,"data":["x"]}}'],
    ['somebody with another order', '{"opts":{"rooms":[],"except":[]},"packet":{"data":["x"],"type":2}}'],
  ])('of %s has no JSON that is known', (_, data) => {
    const long = 'long '.repeat(300);
    const entry = { uid: 'node', nsp: '/', type: EntryType.Broadcast, data: data.replace('"x"', `"${long}"`) };
    expect(decodeEntry(entry)?.data).toMatchObject({ packet: { type: 2, data: [long] } });
    expect(decodeEntry(entry)?.data).not.toHaveProperty('packet.json');
  });

  test('keeps who sent it, its namespace, type, rooms, exceptions and flags', () => {
    fc.assert(
      fc.property(logMessage, (message) => {
        const decoded = throughTheLog(message)!;
        // JSON has no -0.
        const [given, got] = [message, decoded].map(({ data, ...rest }) => ({
          ...rest,
          opts: { ...data.opts, rooms: data.opts.rooms.map(normal), except: data.opts.except.map(normal) },
          ...('rooms' in data && { rooms: data.rooms.map(normal) }),
          ...('close' in data && { close: data.close }),
        }));
        expect(got).toEqual(given);
      }),
    );
    function normal(room: string | number): string | number {
      return room === 0 ? 0 : room;
    }
  });

  test('shows its rooms and its place among its sender’s entries without being decoded', () => {
    const opts = { rooms: ['a', 42 as never], except: [], flags: {} };
    const fields = encodeMessage(
      { uid: 'node.1', nsp: '/', type: EntryType.SocketsLeave, data: { opts, rooms: [] } },
      PLAIN,
    );
    const entry = parseEntry('5-0', [...fields, ...encodeOrigin('abc', 9, 8, false)]);
    expect([entry.id, entry.origin, entry.rooms]).toEqual(['5-0', { node: 'node', seq: 9 }, ['a', 42]]);
  });

  test('shows its lane, what was dropped before it, whether it was sent again, and the request before it', () => {
    const opts = { rooms: [], except: [], flags: {} };
    const fields = encodeMessage(
      { uid: 'node.1', nsp: '/', type: EntryType.DisconnectSockets, data: { opts, close: true } },
      PLAIN,
    );
    const entry = parseEntry('5-0', [...fields, ...encodeBus(3), ...encodeOrigin(`node${DIRECT_LANE}`, 9, 6, true)]);
    expect(entry).toMatchObject({ origin: { node: 'node~', seq: 9 }, prev: 6, isResent: true, bus: 3, uid: 'node.1' });
    const plain = parseEntry('5-0', [...fields.slice(0, 8), ...encodeOrigin('node', 9, 8, false)]);
    expect([plain.origin, plain.prev, plain.isResent, plain.bus]).toEqual([
      { node: 'node', seq: 9 },
      undefined,
      false,
      undefined,
    ]);
  });

  test('of the reference shows neither rooms nor origin', () => {
    const entry = parseEntry('1-0', ['uid', 'abc', 'nsp', '/', 'type', '3', 'data', '{}']);
    expect([entry.origin, entry.rooms]).toEqual([undefined, undefined]);
  });

  test('is JSON without binary data, and base64 of MessagePack with it, as in the reference', () => {
    const encoded = (data: unknown[]): string =>
      encodeMessage(
        {
          uid: 'node',
          nsp: '/',
          type: EntryType.Broadcast,
          data: { packet: { type: 2, data }, opts: { rooms: [], except: [], flags: {} } },
        },
        PLAIN,
      )[7]!;
    expect(encoded(['event', 1])[0]).toBe('{');
    expect(encoded(['event', Buffer.from('x')])).toMatch(/^[\w+/]+=*$/);
  });

  test('of an unknown type is not decoded', () => {
    const entry = parseEntry('1-0', ['uid', 'abc', 'nsp', '/', 'type', '99', 'data', 'anything']);
    expect(decodeEntry(entry)).toBeUndefined();
  });

  describe.each<[string, unknown]>([
    ['a BigInt', 1n],
    ['a circular reference', circle()],
    ['an object nested ten thousand deep', nested(10_000)],
  ])('with %s', (_what, value) => {
    test.each([
      ['', [value]],
      [' beside binary data', [Buffer.from('x'), { value }]],
      [' whose toJSON returns it, beside binary data', [Buffer.from('x'), { toJSON: () => value }]],
    ])('is refused with a TypeError%s', (_beside, args) => {
      const opts = { rooms: [], except: [], flags: {} };
      const packet = { type: 2, data: ['event', ...args] };
      expect(() =>
        encodeMessage({ uid: 'node', nsp: '/', type: EntryType.Broadcast, data: { packet, opts } }, PLAIN),
      ).toThrow(TypeError);
    });
  });

  test('nested as deep as can be encoded can be decoded', () => {
    const opts = { rooms: [], except: [], flags: {} };
    for (let depth = 200; depth < 300; depth++) {
      const packet = { type: 2, data: ['event', Buffer.from('x'), nested(depth)] };
      const message: LogMessage = { uid: 'node', nsp: '/', type: EntryType.Broadcast, data: { packet, opts } };
      let fields;
      try {
        fields = encodeMessage(message, PLAIN);
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError);
        expect(depth).toBeGreaterThan(240);
        return;
      }
      expect(decodeEntry(parseEntry('1-1', fields))).toBeDefined();
    }
    throw new Error('MessagePack of any depth was encoded');
  });
});

describe('an entry that anybody may have written', () => {
  const before = Object.getOwnPropertyNames(Object.prototype);
  const untouched = (): void => {
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  };
  const decode = (type: number, data: string): unknown =>
    decodeEntry(parseEntry('1-1', ['uid', 'u', 'nsp', '/', 'type', String(type), 'data', data]));
  const type = fc.constantFrom(...Object.values(EntryType));

  test('is decoded or refused as invalid, whatever its bytes are', () => {
    fc.assert(
      fc.property(type, fc.uint8Array({ maxLength: 200 }), fc.boolean(), (type, bytes, base64) => {
        survive(() => decode(type, Buffer.from(bytes).toString(base64 ? 'base64' : 'latin1')));
        survive(() => decode(type, `{${Buffer.from(bytes).toString()}`));
      }),
      { numRuns: 10_000 },
    );
    untouched();
  });

  test('is decoded or refused as invalid, when it is a valid one in which something was changed', () => {
    fc.assert(
      fc.property(logMessage, fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat(3), (message, at, byte, how) => {
        const fields = encodeMessage(message, PLAIN);
        const data = fields[7]!;
        const bytes = Buffer.from(data, data.startsWith('{') ? 'utf8' : 'base64');
        const place = at % bytes.length;
        const changed = [
          Buffer.concat([bytes.subarray(0, place), Buffer.from([byte]), bytes.subarray(place)]),
          Buffer.concat([bytes.subarray(0, place), Buffer.from([byte]), bytes.subarray(place + 1)]),
          Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + 1)]),
          bytes.subarray(0, place),
        ][how]!;
        survive(() => decode(message.type, changed.toString(data.startsWith('{') ? 'utf8' : 'base64')));
      }),
      { numRuns: 10_000 },
    );
    untouched();
  });

  test('is parsed or refused as invalid, whatever its fields are', () => {
    const name = fc.constantFrom('uid', 'nsp', 'type', 'data', 'seq', 'rooms', '__proto__', 'constructor');
    const value = fc.oneof(fc.string(), fc.constantFrom('3', '[]', '{}', '1', '-1', '1e9', null, 1, {}));
    fc.assert(
      fc.property(fc.array(fc.oneof(name, value), { maxLength: 16 }), (fields) => {
        survive(() => {
          const entry = parseEntry('1-1', fields);
          expect([typeof entry.uid, typeof entry.nsp, typeof entry.data]).toEqual(['string', 'string', 'string']);
          survive(() => decodeEntry(entry));
        });
      }),
      { numRuns: 10_000 },
    );
    untouched();
  });

  const evil = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}';
  test.each([
    ['data', evil],
    ['options', `{"opts":${evil},"packet":{"type":2,"data":["x"]}}`],
    ['flags', `{"opts":{"rooms":[],"except":[],"flags":${evil}},"packet":{"type":2,"data":["x",${evil}]}}`],
    ['packet', `{"opts":{"rooms":[],"except":[]},"packet":{"__proto__":{"type":2,"data":["x"]}}}`],
  ])('touches no prototype by its %s', (_what, data) => {
    survive(() => decode(EntryType.Broadcast, data));
    untouched();
  });

  test('touches no prototype by MessagePack', () => {
    const evilMap = new Map<string, unknown>([['__proto__', { polluted: 1 }]]);
    const keys = Object.fromEntries([...evilMap].map(([key, value]) => [key, value]));
    survive(() => decode(EntryType.Broadcast, Buffer.from(encode(keys)).toString('base64')));
    // {"__proto__": {"polluted": 1}}, as bytes
    const bytes = Buffer.concat([
      Buffer.from([0x81, 0xa9]),
      Buffer.from('__proto__'),
      Buffer.from([0x81, 0xa8]),
      Buffer.from('polluted'),
      Buffer.from([1]),
    ]);
    survive(() => decode(EntryType.Broadcast, bytes.toString('base64')));
    untouched();
  });

  test.each<[string, string]>([
    ['no object', '[]'],
    ['no options', '{"packet":{"type":2,"data":["x"]}}'],
    ['rooms that are no array', '{"opts":{"rooms":{},"except":[]},"packet":{"type":2,"data":["x"]}}'],
    ['no packet', '{"opts":{"rooms":[],"except":[]}}'],
    ['a packet of another type', '{"opts":{"rooms":[],"except":[]},"packet":{"type":1,"data":["x"]}}'],
    ['a packet without data', '{"opts":{"rooms":[],"except":[]},"packet":{"type":2,"data":[]}}'],
  ])('is refused with a reason when it has %s', (_what, data) => {
    expect(() => decode(EntryType.Broadcast, data)).toThrow(InvalidEntryError);
  });

  test.each<[string, string[], string[]]>([
    ['null, as JSON makes it of undefined', ['[null]'], []],
    ['an object', ['[{}]'], []],
    ['nothing of an array beside a name', ['["a",null,["b"],7]'], ['a', '7']],
  ])('is for nobody by a room that is %s', (_what, [rooms], named) => {
    const data = `{"opts":{"rooms":${rooms},"except":${rooms}},"packet":{"type":2,"data":["x"]}}`;
    const entry = parseEntry('1-1', ['uid', 'u', 'nsp', '/', 'type', '3', 'data', data, 'rooms', rooms!, 'seq', '1']);
    const decoded = decodeEntry(entry) as LogMessage;
    expect(entry.problem).toBeUndefined();
    expect(decoded.data.opts.except.map(String)).toEqual(named);
    for (const found of [entry.rooms!, decoded.data.opts.rooms]) {
      expect(found.length).toBeGreaterThan(0); // it would be for everybody
      expect(found.filter((room) => !String(room).startsWith('nobody ')).map(String)).toEqual(named);
    }
  });

  test.each([
    ['without a namespace', ['uid', 'node', 'type', '3', 'data', '{}', 'seq', '5']],
    ['with a type that is no number', ['uid', 'node.1', 'nsp', '/', 'type', 'x', 'data', '{}', 'seq', '5']],
  ])('keeps its number %s', (_what, fields) => {
    const { problem, origin } = parseEntry('1-1', fields);
    expect(problem).toEqual(expect.any(String));
    expect(origin).toEqual({ node: 'node', seq: 5 });
  });

  test('whose number is none has no origin, and says so', () => {
    const entry = parseEntry('1-1', ['uid', 'node', 'nsp', '/', 'type', '3', 'data', '{}', 'seq', '1e9']);
    expect([entry.origin, entry.problem]).toEqual([undefined, expect.stringContaining('"seq"')]);
  });
});

function circle(): unknown {
  const one: Record<string, unknown> = {};
  one.self = [one];
  return one;
}

function nested(depth: number): unknown {
  let value: unknown = 0;
  for (let i = 0; i < depth; i++) {
    value = [value];
  }
  return value;
}
