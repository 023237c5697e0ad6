import type { TaskContext } from '../kit/socket-server.js';

interface EmittedArguments {
  /** What an event is emitted with. */
  what: string;
  emit: (context: TaskContext) => void;
  /** The reference does not send it as Socket.IO alone would. */
  changedByReference?: boolean;
}

/**
 * Events whose arguments a way over the network may change. Each function emits one; it uses nothing from outside, for
 * it may run in another process.
 */
export const EMITTED_ARGUMENTS: EmittedArguments[] = [
  { what: 'no arguments', emit: ({ io }) => void io.emit('hello') },
  { what: 'several arguments', emit: ({ io }) => void io.emit('hello', 1, 'two', [3], { four: 4 }, null) },
  { what: 'numbers', emit: ({ io }) => void io.emit('hello', 0, -1, 1.5, 2 ** 53, -(2 ** 31), 1e300, Number.EPSILON) },
  {
    what: 'numbers that JSON does not have',
    emit: ({ io }) => void io.emit('hello', NaN, Infinity, -0, { inside: NaN }),
  },
  {
    what: 'texts',
    emit: ({ io }) => void io.emit('hello', '', 'ä😀', '\0', '\u2028', '"\\', '\ud800', '1700000000000-0'),
  },
  {
    what: 'more than a short text',
    emit: ({ io }) => {
      io.emit('hello', 'ä😀"\\\u2028'.repeat(400), undefined, { a: undefined, at: new Date(0) }, [NaN, -0, null]);
    },
  },
  { what: 'undefined', emit: ({ io }) => void io.emit('hello', undefined, { a: undefined, b: 1 }, [undefined, 1]) },
  { what: 'null', emit: ({ io }) => void io.emit('hello', null, { a: null }, [null]) },
  { what: 'dates', emit: ({ io }) => void io.emit('hello', new Date(0), { at: new Date(1e12) }, [new Date(NaN)]) },
  {
    what: 'objects with toJSON',
    emit: ({ io }) => {
      class Money {
        constructor(private readonly cents: number) {}
        toJSON(): unknown {
          return { cents: this.cents, date: new Date(0), nothing: undefined };
        }
      }
      io.emit('hello', new Money(1), [new Money(2)], { nested: { deeply: new Money(3) } });
    },
  },
  {
    what: 'maps, sets, functions, symbols and instances of classes',
    emit: ({ io }) => {
      class Point {
        x = 1;
        get y(): number {
          return 2;
        }
      }
      const values = {
        map: new Map([[1, 2]]),
        set: new Set([1]),
        call: () => 1,
        symbol: Symbol('s'),
        point: new Point(),
      };
      io.emit('hello', values, Object.values(values), Object.create(null), new Error('not told'));
    },
  },
  {
    what: 'keys that are special in JavaScript',
    emit: ({ io }) => void io.emit('hello', JSON.parse('{"__proto__":{"x":1},"constructor":2,"":3}')),
  },
  {
    what: 'something deeply nested',
    emit: ({ io }) => void io.emit('hello', JSON.parse('['.repeat(200) + ']'.repeat(200))),
  },
  { what: 'a Buffer', emit: ({ io }) => void io.emit('hello', Buffer.from([0, 1, 255])) },
  { what: 'an empty Buffer', emit: ({ io }) => void io.emit('hello', Buffer.alloc(0), 'beside') },
  {
    what: 'typed arrays',
    emit: ({ io }) => {
      const bytes = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
      io.emit('hello', bytes, bytes.subarray(2, 4), new Float32Array([1.5]), new DataView(bytes.buffer, 1, 2));
    },
  },
  {
    what: 'an ArrayBuffer',
    emit: ({ io }) => void io.emit('hello', new Uint8Array([1, 2, 3]).buffer),
    changedByReference: true,
  },
  {
    what: 'binary data in objects and arrays',
    emit: ({ io }) => void io.emit('hello', { a: [{ b: Buffer.from('deep') }, 1, 'x'], n: null }, [[Buffer.from('y')]]),
  },
  { what: 'binary data as the last argument', emit: ({ io }) => void io.emit('hello', 'text', Buffer.from('last')) },
  { what: 'binary data before a text', emit: ({ io }) => void io.emit('hello', Buffer.from('first'), 'text') },
  {
    what: 'binary data beside undefined, dates and functions',
    emit: ({ io }) =>
      void io.emit('hello', Buffer.from('x'), undefined, { a: undefined, b: 1, c: () => 1 }, [undefined, new Date(0)]),
    changedByReference: true,
  },
  {
    what: 'binary data beside numbers',
    emit: ({ io }) => void io.emit('hello', Buffer.from('x'), NaN, -0, 2 ** 53, -(2 ** 40), 1.5, 4_294_967_296),
  },
  {
    what: 'binary data beside texts',
    emit: ({ io }) => void io.emit('hello', Buffer.from('x'), '', 'ä😀', '\0', 'x'.repeat(70_000)),
  },
  {
    what: 'binary data beside maps, sets and instances of classes',
    emit: ({ io }) => {
      class Point {
        x = 1;
      }
      io.emit('hello', Buffer.from('x'), new Map([[1, 2]]), new Set([1]), new Point(), Object.create(null));
    },
  },
  { what: 'a text of a megabyte', emit: ({ io }) => void io.emit('hello', 'ä'.repeat(500_000)) },
  { what: 'a Buffer of a megabyte', emit: ({ io }) => void io.emit('hello', Buffer.alloc(1_000_000, 'ab')) },
];
