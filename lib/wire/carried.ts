import { types } from 'node:util';
import { bytesOf, isBinary, MAX_DEPTH, setOwn } from './binary.js';

/** Something in a value that cannot be sent to another process. */
export interface NotCarried {
  /** Where it is, such as `user.session.timer`; empty if it is the value itself. */
  path: string;
  reason: string;
}

export interface CarryOptions {
  /** Called with each part that cannot be carried, which is left out then. Without it, the first one is an error. */
  onLeftOut?: (what: NotCarried) => void;
}

/** Objects that mean something only in their own process. */
const BOUND = /^\[object (Promise|WeakMap|WeakSet|WeakRef|Blob|File|.*Generator|Map Iterator|Set Iterator)\]$/;

/**
 * A copy of a value that any process can be given: of what JSON knows, of `Date`, `Map`, `Set`, `BigInt` and binary data
 * (see `encodeMsgpack`). An object that has `toJSON` is what that returns; any other is its own properties. In objects,
 * properties that are undefined are left out; in arrays, undefined is null.
 *
 * @throws TypeError that names what cannot be carried and where it is (functions, symbols, circular references and the
 *   like), unless there is `onLeftOut`
 */
export function carry(value: unknown, options: CarryOptions = {}): unknown {
  return new Carrier(options).carry(value);
}

/** Whether a value that {@link carry} gave contains something that JSON would make something else of. */
export function exceedsJson(value: unknown): boolean {
  if (typeof value === 'number') {
    return !Number.isFinite(value);
  }
  if (typeof value !== 'object' || value === null) {
    return typeof value === 'bigint';
  }
  if (Array.isArray(value)) {
    return value.some(exceedsJson);
  }
  return isSpecial(value) || Object.values(value).some(exceedsJson);
}

const LEFT_OUT = Symbol('left out');

class Carrier {
  /** The objects and the names of their properties that lead to the value that is looked at. */
  private readonly ancestors: object[] = [];
  private readonly path: (string | number)[] = [];

  constructor(private readonly options: CarryOptions) {}

  carry(value: unknown): unknown {
    const carried = this.any(value);
    return carried === LEFT_OUT ? null : carried;
  }

  private any(value: unknown, callsToJson = true): unknown {
    switch (typeof value) {
      case 'undefined':
        return null;
      case 'number':
        return value === 0 ? 0 : value; // there is no minus zero in JSON
      case 'function':
      case 'symbol':
        return this.leaveOut(`a ${typeof value} cannot be sent to another process`);
      case 'object':
        return value === null ? null : this.object(value, callsToJson);
      default:
        return value;
    }
  }

  private object(value: object, callsToJson: boolean): unknown {
    if (isBinary(value)) {
      return this.read(() => bytesOf(value)) === LEFT_OUT ? LEFT_OUT : value; // a buffer may be detached
    }
    if (this.ancestors.includes(value)) {
      return this.leaveOut('it is a circular reference');
    }
    if (this.ancestors.length >= MAX_DEPTH) {
      return this.leaveOut(`it is nested more than ${MAX_DEPTH} deep`);
    }
    this.ancestors.push(value);
    try {
      return this.contents(value, callsToJson);
    } catch (error) {
      return this.unreadable(error); // a proxy, for instance
    } finally {
      this.ancestors.pop();
    }
  }

  /** @param callsToJson - false of what `toJSON` has returned, as in JSON */
  private contents(value: object, callsToJson: boolean): unknown {
    if (Array.isArray(value)) {
      return value.map((item, i) => this.at(i, () => item as unknown, null));
    }
    if (types.isDate(value)) {
      return Number.isNaN(value.getTime()) ? null : new Date(value);
    }
    if (types.isMap(value)) {
      return new Map([...value].map(([key, item], i) => [this.at(i, () => key, null), this.at(i, () => item, null)]));
    }
    if (types.isSet(value)) {
      return new Set([...value].map((item, i) => this.at(i, () => item, null)));
    }
    const { toJSON } = value as { toJSON?: unknown };
    if (callsToJson && typeof toJSON === 'function') {
      const result = this.read(() => toJSON.call(value, '') as unknown);
      if (result === value) {
        return this.contents(value, false);
      }
      return result === LEFT_OUT ? LEFT_OUT : this.any(result, false);
    }
    if (value instanceof Number || value instanceof String || value instanceof Boolean || value instanceof BigInt) {
      return this.any(value.valueOf());
    }
    const tag = Object.prototype.toString.call(value);
    if (BOUND.test(tag)) {
      return this.leaveOut(`a ${tag.slice('[object '.length, -1)} cannot be sent to another process`);
    }
    const copy: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      if (key === 'toJSON' && typeof toJSON === 'function') {
        continue; // it was called
      }
      const item = this.at(key, () => (value as Record<string, unknown>)[key], LEFT_OUT);
      if (item !== LEFT_OUT) {
        setOwn(copy, key, item);
      }
    }
    return copy;
  }

  /** @param otherwise - what is there if it cannot be carried */
  private at(key: string | number, read: () => unknown, otherwise: unknown): unknown {
    this.path.push(key);
    try {
      const item = this.read(read);
      const carried = item === undefined ? otherwise : item === LEFT_OUT ? LEFT_OUT : this.any(item);
      return carried === LEFT_OUT ? otherwise : carried;
    } finally {
      this.path.pop();
    }
  }

  /** What a getter or `toJSON` gives, which may throw: it is the application's code. */
  private read(read: () => unknown): unknown {
    try {
      return read();
    } catch (error) {
      return this.unreadable(error);
    }
  }

  /** @throws the error itself, if nothing is to be left out */
  private unreadable(error: unknown): typeof LEFT_OUT {
    if (!this.options.onLeftOut) {
      throw error;
    }
    return this.leaveOut(`reading it throws: ${messageOf(error)}`);
  }

  private leaveOut(reason: string): typeof LEFT_OUT {
    const path = this.path.join('.');
    if (!this.options.onLeftOut) {
      throw new TypeError(`${path === '' ? 'the value' : `"${path}"`} cannot be sent: ${reason}`);
    }
    this.options.onLeftOut({ path, reason });
    return LEFT_OUT;
  }
}

/** An application may throw anything. */
function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? error.message : String(error);
  } catch {
    return 'something without a message';
  }
}

function isSpecial(value: object): boolean {
  return isBinary(value) || types.isDate(value) || types.isMap(value) || types.isSet(value);
}
