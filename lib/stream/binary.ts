/** Whether a value holds binary data anywhere, so that JSON cannot carry it. */
export function hasBinary(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  if (isBinary(value)) {
    return true;
  }
  if (Array.isArray(value)) {
    return value.some(hasBinary);
  }
  const toJSON = (value as { toJSON?: unknown }).toJSON;
  if (typeof toJSON === 'function') {
    return hasBinary(toJSON.call(value));
  }
  for (const key in value) {
    if (Object.hasOwn(value, key) && hasBinary((value as Record<string, unknown>)[key])) {
      return true;
    }
  }
  return false;
}

/**
 * The value as JSON would carry it (`toJSON` called, functions and undefined left out), but with its binary data kept:
 * what a client receives must not depend on whether there is a buffer beside.
 */
export function toPlain(value: unknown): unknown {
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
    return value.map((item) => (isOmitted(item) ? null : toPlain(item)));
  }
  const toJSON = (value as { toJSON?: unknown }).toJSON;
  if (typeof toJSON === 'function') {
    return toPlain(toJSON.call(value));
  }
  const plain: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (!isOmitted(item)) {
      plain[key] = toPlain(item);
    }
  }
  return plain;
}

function isBinary(value: object): boolean {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer;
}

function isOmitted(value: unknown): boolean {
  return value === undefined || typeof value === 'function' || typeof value === 'symbol';
}
