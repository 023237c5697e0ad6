import { Blob } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { types } from 'node:util';

/** How deep a value may be nested. */
export const MAX_DEPTH = 256;

/**
 * What Socket.IO's default parser makes of the arguments of an event: what JSON makes of them (`toJSON` called, functions
 * and undefined left out), but binary data stay what they are.
 *
 * @see https://github.com/socketio/socket.io-protocol
 */

/** Stands for binary data in JSON. Random: no value of an application has a key of this name. */
const ATTACHMENT = `attachment ${randomBytes(16).toString('hex')}`;
/** How deep the arguments of an event may be nested: what is around them is nested a little, too. */
const MAX_DEPTH_OF_EVENT = MAX_DEPTH - 8;

/**
 * Whether a value contains binary data anywhere, so that JSON cannot carry it. As in Socket.IO, what `toJSON` returns is not
 * asked for its own `toJSON`.
 *
 * @throws TypeError if the value is circular, or contains a Blob, which cannot be read at once
 */
export function hasBinary(value: unknown): boolean {
  return ofFiniteDepth(() => containsBinary(value, true));
}

function containsBinary(value: unknown, callsToJson: boolean): boolean {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  if (Array.isArray(value)) {
    return value.some((item) => containsBinary(item, true));
  }
  if (isBinary(value)) {
    return true;
  }
  const toJSON = (value as { toJSON?: unknown }).toJSON;
  if (callsToJson && typeof toJSON === 'function') {
    return containsBinary(toJSON.call(value), false);
  }
  rejectBlob(value);
  for (const key in value) {
    if (Object.hasOwn(value, key) && containsBinary((value as Record<string, unknown>)[key], true)) {
      return true;
    }
  }
  return false;
}

/**
 * The value as clients of Socket.IO's default parser are given it: what JSON makes of it and, if there is binary data in it,
 * what JSON makes of the rest once that is taken out.
 *
 * @throws TypeError if the value is circular, is nested more than {@link MAX_DEPTH_OF_EVENT} deep, or contains a BigInt or a Blob
 */
export function toPlain(value: unknown): unknown {
  return ofFiniteDepth(() => {
    const attachments: Uint8Array[] = [];
    const rest = hasBinary(value) ? withoutBinary(value, attachments, true) : value;
    return withBinary(JSON.parse(JSON.stringify(rest)), attachments, 0);
  });
}

/** A copy without binary data, as Socket.IO's parser makes it. */
function withoutBinary(value: unknown, attachments: Uint8Array[], callsToJson: boolean): unknown {
  if (typeof value !== 'object' || value === null || types.isDate(value)) {
    return value;
  }
  if (Array.isArray(value)) {
    return Array.from(value, (item) => withoutBinary(item, attachments, true));
  }
  if (isBinary(value)) {
    return { [ATTACHMENT]: attachments.push(bytesOf(value)) - 1 };
  }
  const toJSON = (value as { toJSON?: unknown }).toJSON;
  if (callsToJson && typeof toJSON === 'function') {
    return withoutBinary(toJSON.call(value), attachments, false);
  }
  rejectBlob(value);
  const copy: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (key !== '__proto__') {
      copy[key] = withoutBinary(item, attachments, true); // Socket.IO loses that one
    }
  }
  return copy;
}

/** It cannot be read at once, and clients that Socket.IO sends one to close their connections. @throws TypeError */
function rejectBlob(value: object): void {
  if (value instanceof Blob) {
    throw new TypeError('A Blob or File cannot be sent to clients: send what its arrayBuffer() gives');
  }
}

/** Puts binary data where it was, in place. @throws TypeError */
function withBinary(value: unknown, attachments: readonly Uint8Array[], depth: number): unknown {
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  if (Object.hasOwn(value, ATTACHMENT)) {
    return attachments[(value as Record<string, number>)[ATTACHMENT]!];
  }
  if (depth >= MAX_DEPTH_OF_EVENT) {
    throw new TypeError(`What is nested more than ${MAX_DEPTH_OF_EVENT} deep cannot be sent`);
  }
  const object = value as Record<string, unknown>;
  for (const key of Object.keys(value)) {
    const item = withBinary(object[key], attachments, depth + 1);
    if (item !== object[key]) {
      object[key] = item;
    }
  }
  return value;
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

/** @throws TypeError instead of the RangeError of an exhausted stack */
export function ofFiniteDepth<T>(walk: () => T): T {
  try {
    return walk();
  } catch (error) {
    throw error instanceof RangeError
      ? new TypeError('A circular reference, or objects nested too deeply, cannot be sent', { cause: error })
      : error;
  }
}
