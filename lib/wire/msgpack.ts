import { Decoder, Encoder } from '@msgpack/msgpack';
import { toPlain } from './binary.js';

const MAX_DEPTH = 256;
/** Bytes. An encoder keeps the buffer of the largest value that it has encoded, a decoder the last. */
const MAX_KEPT = 64 * 1024;

let encoder = newEncoder();
let decoder = new Decoder();

/**
 * Encodes a value as JSON would carry it, but with its binary data kept.
 *
 * @throws TypeError if the value is circular, nested more than 256 deep, or holds a BigInt
 */
export function encodeMsgpack(value: unknown): Buffer {
  const plain = toPlain(value);
  try {
    const { buffer, byteOffset, byteLength } = encoder.encode(plain);
    if (byteLength > MAX_KEPT) {
      encoder = newEncoder();
    }
    return Buffer.from(buffer, byteOffset, byteLength);
  } catch (cause) {
    encoder = newEncoder();
    throw new TypeError(`cannot be sent: ${(cause as Error).message}`, { cause });
  }
}

function newEncoder(): Encoder {
  return new Encoder({ maxDepth: MAX_DEPTH });
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
    if (bytes.length > MAX_KEPT) {
      decoder = new Decoder();
    }
  }
}

/** @see https://github.com/msgpack/msgpack/blob/master/spec.md#formats */
function checkLengths(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const open: number[] = []; // how many values each open array or map still lacks
  let at = 0;
  let missing = 1;
  let outstanding = 1; // how many values all of them lack

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
