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
 * @throws TypeError if the value is circular or holds a BigInt
 */
export function toPlain(value: unknown): unknown {
  return ofFiniteDepth(() => plain(value));
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') {
    throw new TypeError('Do not know how to serialize a BigInt');
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  if (value instanceof ArrayBuffer) {
    return new Uint8Array(value);
  }
  if (isBinary(value)) {
    return value;
  }
  if (Array.isArray(value)) {
    return value.map((item) => (isOmitted(item) ? null : plain(item)));
  }
  const toJSON = (value as { toJSON?: unknown }).toJSON;
  if (typeof toJSON === 'function') {
    return plain(toJSON.call(value));
  }
  const copy: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (!isOmitted(item)) {
      copy[key] = plain(item);
    }
  }
  return copy;
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

function isBinary(value: object): boolean {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer;
}

function isOmitted(value: unknown): boolean {
  return value === undefined || typeof value === 'function' || typeof value === 'symbol';
}
