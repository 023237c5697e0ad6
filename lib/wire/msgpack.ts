import { types } from 'node:util';
import { Decoder, Encoder, ExtensionCodec } from '@msgpack/msgpack';
import { bytesOf, isBinary, MAX_DEPTH, setOwn } from './binary.js';
import { carry } from './carried.js';

/** Bytes. An encoder keeps the buffer of the largest value that it has encoded, a decoder the last. */
const MAX_KEPT_BYTES = 64 * 1024;

/**
 * Extension types, besides that of MessagePack itself for a date. The reference gives what it does not know as an
 * `ExtData`, and never sends any of them.
 */
const ExtensionType = {
  /** An array of keys and values by turns. */
  Map: 1,
  /** An array. */
  Set: 2,
  /** Decimal digits. */
  BigInt: 3,
  /** The index of its kind in {@link VIEWS}, then its bytes. A `Buffer` and a `Uint8Array` are plain bytes. */
  View: 4,
  /** An object with a property `__proto__`, which decoders refuse as a key: an array of keys and values by turns. */
  Object: 5,
} as const;

const VIEWS = [
  ArrayBuffer,
  DataView,
  ...[Int8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array],
  ...[Float32Array, Float64Array, BigInt64Array, BigUint64Array],
] as const;

const extensions = new ExtensionCodec();
extend(
  ExtensionType.Map,
  (value) => types.isMap(value) && encodePlain([...value].flat(1)),
  (data) => {
    const items = decodeArray(data);
    return new Map(items.flatMap((key, i) => (i % 2 === 0 ? [[key, items[i + 1]] as const] : [])));
  },
);
extend(
  ExtensionType.Set,
  (value) => types.isSet(value) && encodePlain([...value]),
  (data) => new Set(decodeArray(data)),
);
extend(
  ExtensionType.BigInt,
  (value) => typeof value === 'bigint' && Buffer.from(String(value)),
  (data) => BigInt(Buffer.from(data).toString('latin1')),
);
extend(
  ExtensionType.View,
  (value) => typeof value === 'object' && isBinary(value) && !(value instanceof Uint8Array) && encodeView(value),
  decodeView,
);
extend(
  ExtensionType.Object,
  (value) =>
    typeof value === 'object' && Object.hasOwn(value, '__proto__') && encodePlain(Object.entries(value).flat(1)),
  (data) => {
    const items = decodeArray(data);
    const object: Record<string, unknown> = {};
    for (let i = 0; i < items.length; i += 2) {
      setOwn(object, String(items[i]), items[i + 1]);
    }
    return object;
  },
);

function extend(
  type: number,
  encode: (value: object | bigint) => Uint8Array | false,
  decode: (data: Uint8Array) => unknown,
): void {
  extensions.register({ type, decode, encode: (value: unknown) => encode(value as object | bigint) || null });
}

function decodeArray(data: Uint8Array): unknown[] {
  const items = decodeMsgpack(data);
  if (!Array.isArray(items)) {
    throw new Error('a MessagePack extension without its items');
  }
  return items;
}

/** Of a kind that is not known here, only the bytes are sent. */
function encodeView(value: ArrayBuffer | ArrayBufferView): Uint8Array | false {
  const kind = VIEWS.findIndex((kind) => value instanceof kind);
  return kind >= 0 && Buffer.concat([Buffer.of(kind), bytesOf(value)]);
}

function decodeView(data: Uint8Array): ArrayBuffer | ArrayBufferView {
  const kind = VIEWS[data[0] ?? -1];
  if (!kind) {
    throw new Error('a MessagePack extension with binary data of an unknown kind');
  }
  const { buffer } = new Uint8Array(data.subarray(1)); // a copy: the elements of some kinds must be aligned
  return kind === ArrayBuffer ? buffer : new (kind as new (buffer: ArrayBuffer) => ArrayBufferView)(buffer);
}

let encoder = newEncoder();
let decoder = newDecoder();

/**
 * Encodes a value so that another process is given the same: what {@link carry} makes of it.
 *
 * @throws TypeError that names what cannot be carried
 */
export function encodeMsgpack(value: unknown): Buffer {
  return encodePlain(carry(value));
}

/** What {@link carry} makes of a value, whatever becomes of the value and its buffers afterwards. @throws TypeError */
export function copyOf<T>(value: T): T {
  return decodeMsgpack(encodeMsgpack(value)) as T;
}

/** @param value - from {@link carry} */
function encodePlain(value: unknown): Buffer {
  try {
    const { buffer, byteOffset, byteLength } = encoder.encode(value);
    if (byteLength > MAX_KEPT_BYTES) {
      encoder = newEncoder();
    }
    return Buffer.from(buffer, byteOffset, byteLength);
  } catch (cause) {
    encoder = newEncoder();
    throw new TypeError(`cannot be sent: ${(cause as Error).message}`, { cause });
  }
}
function newEncoder(): Encoder {
  return new Encoder({ maxDepth: MAX_DEPTH + 1, extensionCodec: extensions });
}

function newDecoder(): Decoder {
  return new Decoder({ extensionCodec: extensions });
}

/**
 * Decodes MessagePack that anybody who can write to Redis may have made. The lengths that the bytes state are checked
 * against the bytes that there are before anything is allocated for them.
 *
 * @throws Error if the bytes are not one whole MessagePack value, or nested more than 256 deep
 */
export function decodeMsgpack(bytes: Uint8Array): unknown {
  checkLengths(bytes);
  try {
    return decoder.decode(bytes);
  } finally {
    if (bytes.length > MAX_KEPT_BYTES) {
      decoder = newDecoder();
    }
  }
}

/** @see https://github.com/msgpack/msgpack/blob/master/spec.md#formats */
function checkLengths(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const open: number[] = []; // how many values of each open array or map are still to come
  let at = 0;
  let missing = 1;
  let outstanding = 1; // how many values are missing in all of them

  const container = (values: number): void => {
    outstanding += values;
    if (outstanding > bytes.length - at) {
      throw new Error('MessagePack states more elements than it has bytes');
    }
    if (values > 0) {
      if (open.push(missing) > MAX_DEPTH) {
        throw new Error(`MessagePack is nested more than ${MAX_DEPTH} deep`);
      }
      missing = values;
    }
  };

  for (;;) {
    while (missing === 0) {
      const outer = open.pop();
      if (outer === undefined) {
        if (at !== bytes.length) {
          throw new Error('MessagePack is followed by other bytes');
        }
        return;
      }
      missing = outer;
    }
    missing--;
    outstanding--;
    const head = view.getUint8(at++); // a RangeError at the end
    if (head <= 0x7f || head >= 0xe0 || (head >= 0xc0 && head <= 0xc3)) {
      continue; // small integers, nil and booleans
    } else if (head <= 0x8f) {
      container(2 * (head & 0x0f));
    } else if (head <= 0x9f) {
      container(head & 0x0f);
    } else if (head <= 0xbf) {
      at += head & 0x1f;
    } else {
      switch (head) {
        case 0xc4: // bin 8
        case 0xd9: // str 8
          at += 1 + view.getUint8(at);
          break;
        case 0xc5:
        case 0xda:
          at += 2 + view.getUint16(at);
          break;
        case 0xc6:
        case 0xdb:
          at += 4 + view.getUint32(at);
          break;
        case 0xc7: // ext 8
          at += 2 + view.getUint8(at);
          break;
        case 0xc8:
          at += 3 + view.getUint16(at);
          break;
        case 0xc9:
          at += 5 + view.getUint32(at);
          break;
        case 0xcc: // uint 8
        case 0xd0:
          at += 1;
          break;
        case 0xcd:
        case 0xd1:
        case 0xd4: // fixext 1
          at += 2;
          break;
        case 0xd5:
          at += 3;
          break;
        case 0xca: // float 32
        case 0xce:
        case 0xd2:
          at += 4;
          break;
        case 0xd6:
          at += 5;
          break;
        case 0xcb: // float 64
        case 0xcf:
        case 0xd3:
          at += 8;
          break;
        case 0xd7:
          at += 9;
          break;
        case 0xd8:
          at += 17;
          break;
        case 0xdc:
          at += 2;
          container(view.getUint16(at - 2));
          break;
        case 0xdd:
          at += 4;
          container(view.getUint32(at - 4));
          break;
        case 0xde:
          at += 2;
          container(2 * view.getUint16(at - 2));
          break;
        case 0xdf:
          at += 4;
          container(2 * view.getUint32(at - 4));
          break;
      }
    }
    if (at > bytes.length) {
      throw new Error('MessagePack is cut off');
    }
  }
}
