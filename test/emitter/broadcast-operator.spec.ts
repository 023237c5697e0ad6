import { beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { Server } from 'socket.io';
import { Adapter, type BroadcastOptions } from 'socket.io-adapter';
import { BroadcastOperator } from '../../lib/emitter/broadcast-operator.js';
import { EntryType, type LogMessage } from '../../lib/wire/entry.js';
import { RequestType } from '../../lib/wire/requests.js';

/** One step of a chain, as both libraries have it. */
type Step = ['to' | 'in' | 'except', string | string[]] | ['compress', boolean] | ['volatile'];

const room = fc.constantFrom('a', 'b', 'c', '');
const rooms = fc.oneof(room, fc.array(room, { maxLength: 3 }));
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(fc.constantFrom('to' as const, 'in' as const, 'except' as const), rooms),
  fc.tuple(fc.constant('compress' as const), fc.boolean()),
);

function chain(operator: any, steps: readonly Step[]): any {
  return steps.reduce((on, [name, ...args]) => (name === 'volatile' ? on[name] : on[name](...args)), operator);
}

describe('BroadcastOperator', () => {
  let appended: LogMessage[];
  let published: unknown[][];
  let operator: BroadcastOperator;

  beforeEach(() => {
    [appended, published] = [[], []];
    const sender = {
      uid: 'me',
      append: (message: LogMessage) => void appended.push(message),
      publish: (...args: unknown[]) => void published.push(args),
    };
    operator = new BroadcastOperator(sender, '/chat');
  });

  test('means the sockets that Socket.IO would mean, whatever is called one after the other', () => {
    let meant: BroadcastOptions | undefined;
    class Noting extends Adapter {
      override broadcast(_packet: unknown, opts: BroadcastOptions): void {
        meant = opts;
      }
    }
    const io = new Server({ adapter: Noting as never });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 6 }), (steps) => {
        chain(io, steps).emit('event');
        chain(operator, steps).emit('event');
        const { rooms, except, flags } = (appended.pop() as Extract<LogMessage, { type: 3 }>).data.opts;
        expect({ rooms: new Set(rooms), except: new Set(except), flags }).toEqual({
          ...{ rooms: meant!.rooms, except: meant!.except ?? new Set(), flags: meant!.flags ?? {} },
        });
        expect([rooms.length, except.length]).toEqual([new Set(rooms).size, new Set(except).size]);
      }),
    );
  });

  test('is not changed by its methods: each makes another', () => {
    const toA = operator.to('a');
    toA.to('b').except('c').compress(true);
    expect(toA.volatile).not.toBe(toA);
    toA.emit('event', 1);
    operator.emit('event', 2);
    expect(appended.map(({ data }) => data.opts)).toEqual([
      { rooms: ['a'], except: [], flags: {} },
      { rooms: [], except: [], flags: {} },
    ]);
  });

  test('appends broadcasts and room changes, with its namespace and its sender', () => {
    operator.to('a').emit('event', 1, 'x');
    operator.in('a').socketsJoin(['b', 'c']);
    operator.in('a').socketsLeave('b');
    operator.in('a').disconnectSockets(true);
    const opts = { rooms: ['a'], except: [], flags: {} };
    const from = { uid: 'me', nsp: '/chat' };
    expect(appended).toEqual([
      { ...from, type: EntryType.Broadcast, data: { packet: { type: 2, data: ['event', 1, 'x'] }, opts } },
      { ...from, type: EntryType.SocketsJoin, data: { opts, rooms: ['b', 'c'] } },
      { ...from, type: EntryType.SocketsLeave, data: { opts, rooms: ['b'] } },
      { ...from, type: EntryType.DisconnectSockets, data: { opts, close: true } },
    ]);
    expect(published).toEqual([]);
  });

  test('publishes what is volatile, and events for the servers, which are not kept', () => {
    operator.to('a').volatile.emit('event', 1);
    operator.serverSideEmit('event', 2);
    const opts = { rooms: ['a'], except: [], flags: { volatile: true } };
    expect(published).toEqual([
      ['/chat', 'event', RequestType.Broadcast, { packet: { type: 2, data: ['event', 1] }, opts }],
      ['/chat', 'event', RequestType.ServerSideEmit, { packet: ['event', 2] }],
    ]);
    expect(appended).toEqual([]);
  });

  test('to what is no name of a room means nobody, not everybody; except for it, nobody is spared', () => {
    operator.to(undefined as never).emit('event');
    operator.to([{} as never, 'a']).emit('event');
    operator.except(undefined as never).emit('event');
    operator.socketsJoin([undefined as never, 'a']);
    expect(
      appended.map(({ data: { opts, ...rest } }) => [opts.rooms, opts.except, 'rooms' in rest && rest.rooms]),
    ).toEqual([
      [[null], [], false],
      [[null, 'a'], [], false],
      [[], [], false],
      [[], [], ['a']],
    ]);
  });

  test.each(['connect', 'disconnect', 'newListener'])(
    'refuses the event %s, which clients take for another',
    (name) => {
      expect(() => operator.emit(name)).toThrow(/reserved event name.*another name/);
      expect(() => operator.serverSideEmit('connection')).toThrow(/reserved event name/);
      expect([...appended, ...published]).toEqual([]);
    },
  );
});
