import { types } from 'node:util';

/**
 * What Socket.IO's default parser makes of the arguments of an event: what JSON makes of them (`toJSON` called, functions
 * and undefined left out), but binary data stay what they are.
 *
 * @see https://github.com/socketio/socket.io-protocol
 */

/**
 * Whether a value holds binary data anywhere, so that JSON cannot carry it.
 *
 * @throws TypeError if the value is circular
 */
export function hasBinary(value: unknown): boolean {
  return ofFiniteDepth(() => holdsBinary(value));
}

function holdsBinary(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  if (isBinary(value)) {
    return true;
  }
  if (Array.isArray(value)) {
    return value.some(holdsBinary);
  }
  const toJSON = (value as { toJSON?: unknown }).toJSON;
  if (typeof toJSON === 'function') {
    return holdsBinary(toJSON.call(value));
  }
  for (const key in value) {
    if (Object.hasOwn(value, key) && holdsBinary((value as Record<string, unknown>)[key])) {
      return true;
    }
  }
  return false;
}

/**
 * The value as JSON would carry it (`toJSON` called, functions and undefined left out), but with its binary data kept:
 * what a client receives must not depend on whether there is a buffer beside.
 *
 * @throws TypeError if the value is circular or holds a BigInt, or a Blob, which cannot be read at once
 */
export function toPlain(value: unknown): unknown {
  return ofFiniteDepth(() => plain(value));
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') {
    throw new TypeError('Do not know how to serialize a BigInt');
  }
  if (typeof value === 'number') {
    return Number.isFinite(value) ? value : null;
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  if (isBinary(value)) {
    return bytesOf(value);
  }
  if (Array.isArray(value)) {
    return value.map((item) => (isOmitted(item) ? null : plain(item)));
  }
  const toJSON = (value as { toJSON?: unknown }).toJSON;
  if (typeof toJSON === 'function') {
    return plain(toJSON.call(value));
  }
  if (value instanceof Number || value instanceof String || value instanceof Boolean) {
    return plain(value.valueOf());
  }
  if (typeof Blob === 'function' && value instanceof Blob) {
    throw new TypeError('A Blob or File cannot be sent to other nodes: send what its arrayBuffer() gives');
  }
  const copy: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (!isOmitted(item)) {
      setOwn(copy, key, plain(item));
    }
  }
  return copy;
}

export function isBinary(value: object): value is ArrayBuffer | ArrayBufferView {
  return ArrayBuffer.isView(value) || types.isArrayBuffer(value);
}

/** The bytes themselves, which are not copied. */
export function bytesOf(value: ArrayBuffer | ArrayBufferView): Uint8Array {
  return types.isArrayBuffer(value)
    ? new Uint8Array(value)
    : value instanceof Uint8Array
      ? value
      : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

/** Sets a property of any name: assigned, `__proto__` would be none. */
export function setOwn(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    object[key] = value;
  }
}

function ofFiniteDepth<T>(walk: () => T): T {
  try {
    return walk();
  } catch (error) {
    throw error instanceof RangeError
      ? new TypeError('A circular reference, or objects nested too deeply, cannot be sent', { cause: error })
      : error;
  }
}

function isOmitted(value: unknown): boolean {
  return value === undefined || typeof value === 'function' || typeof value === 'symbol';
}
