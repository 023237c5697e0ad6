import { beforeEach, describe, expect, test } from '@jest/globals';
import { aheadOf, ClientsAhead, type ClientAhead, withMore } from '../../lib/adapter/clients-ahead.js';
import type { LogEntry } from '../../lib/wire/entry.js';
import type { Ahead } from '../../lib/wire/session.js';

const NODE = 'node';
const entry = (id: string, seq: number, node = NODE): LogEntry => ({
  ...{ id, uid: 'uid', nsp: '/', type: 3, data: '{}', origin: { node, seq } },
});
const client = (sid: string, ...ahead: Ahead[]): ClientAhead => ({ sid, ahead });

describe('ClientsAhead', () => {
  let read: Record<string, number>;
  let clients: ClientsAhead;
  const withheldFrom = (of: LogEntry): string[] => [...(clients.withheldFrom(of) ?? [])];

  beforeEach(() => {
    read = {};
    clients = new ClientsAhead({ position: '10-0', hasRead: (node, seq) => (read[node] ?? 0) >= seq });
  });

  test('gets to know what a client has of a history that was replaced, where that is more', () => {
    const ahead = [
      { node: NODE, seq: 1, coveredAt: '5-0' },
      { node: 'other', seq: 9 },
    ];
    const former = [
      { node: NODE, seq: 2 },
      { node: 'other', seq: 3 },
      { node: 'third', seq: 1 },
    ];
    expect(withMore(ahead, former)).toEqual([
      { node: NODE, seq: 2 },
      { node: 'other', seq: 9 },
      { node: 'third', seq: 1 },
    ]);
    expect(withMore(ahead, [])).toEqual(ahead);
  });

  test('withholds an entry from the clients that have it, and from no other', () => {
    clients.add(client('has 1', { node: NODE, seq: 1 }));
    clients.add(client('has 2', { node: NODE, seq: 2 }));
    clients.add(client('has other', { node: 'other', seq: 5 }));
    expect(withheldFrom(entry('11-0', 1))).toEqual(['has 1', 'has 2']);
    expect(withheldFrom(entry('12-0', 2))).toEqual(['has 2']);
    expect(withheldFrom(entry('13-0', 3))).toEqual([]);
    expect(withheldFrom(entry('14-0', 5, 'other'))).toEqual(['has other']);
  });

  test('notes where the log covers what a client has, also if its last entry is never read', () => {
    const [exact, lost] = [client('exact', { node: NODE, seq: 2 }), client('lost', { node: NODE, seq: 3 })];
    clients.add(exact);
    clients.add(lost);
    clients.withheldFrom(entry('11-0', 2));
    expect(exact.ahead).toEqual([{ node: NODE, seq: 2, coveredAt: '11-0' }]);
    expect(lost.ahead).toEqual([{ node: NODE, seq: 3 }]);
    expect(withheldFrom(entry('12-0', 4))).toEqual([]);
    expect(lost.ahead).toEqual([{ node: NODE, seq: 3, coveredAt: '12-0' }]);
  });

  test('withholds nothing from a client when this node has read as much already', () => {
    read[NODE] = 2;
    const caughtUp = client('caught up', { node: NODE, seq: 2 });
    clients.add(caughtUp);
    expect(caughtUp.ahead).toEqual([{ node: NODE, seq: 2, coveredAt: '10-0' }]);
    expect(clients.withheldFrom(entry('11-0', 1))).toBeUndefined();
  });

  test('forgets a client that is gone, but not the others of the same publisher', () => {
    const [gone, stays] = [client('gone', { node: NODE, seq: 5 }), client('stays', { node: NODE, seq: 5 })];
    clients.add(gone);
    clients.add(stays);
    clients.remove(gone);
    expect(withheldFrom(entry('11-0', 1))).toEqual(['stays']);
    clients.remove(stays);
    expect(clients.withheldFrom(entry('12-0', 2))).toBeUndefined();
  });

  test('gives a client an offset that says what it has until this node has read it, and others none', () => {
    const all = (): boolean => true;
    expect(clients.ownOffsets('10-0', all)).toBeUndefined();
    clients.add(client('a', { node: NODE, seq: 5 }, { node: 'covered', seq: 1, coveredAt: '9-0' }));
    clients.add(client('b', { node: NODE, seq: 6 }, { node: 'other', seq: 2 }));
    const offsets = new Map([
      ['a', `10-0,me:1,${NODE}:5`],
      ['b', `10-0,me:1,${NODE}:6,other:2`],
    ]);
    expect(clients.ownOffsets('10-0,me:1', all)).toEqual(offsets);
    expect(clients.ownOffsets('10-0,me:1', (sid) => sid === 'a')).toEqual(new Map([['a', offsets.get('a')]]));
    expect(clients.ownOffsets('10-0,me:1', () => false)).toBeUndefined();
    clients.withheldFrom(entry('11-0', 6));
    expect(clients.ownOffsets('11-0', all)).toEqual(new Map([['b', '11-0,other:2']]));
    clients.withheldFrom(entry('12-0', 2, 'other'));
    expect(clients.ownOffsets('12-0', all)).toBeUndefined();
  });

  test('gives no offset that says what the given one says already', () => {
    clients.add(client('a', { node: NODE, seq: 5 }));
    expect(clients.ownOffsets(`10-0,${NODE}:5`, () => true)).toBeUndefined();
  });

  test('makes no more than 16 different offsets, which any number of clients may have', () => {
    for (let i = 0; i < 40; i++) {
      clients.add(client(`client ${i}`, { node: NODE, seq: 1 + (i % 20) }));
    }
    const own = clients.ownOffsets('10-0', () => true)!;
    expect([new Set(own.values()).size, own.size]).toEqual([16, 32]);
  });

  test('withholds no entry that says no publisher, as those of the reference adapter', () => {
    clients.add(client('client', { node: NODE, seq: 5 }));
    expect(clients.withheldFrom({ ...entry('11-0', 1), origin: undefined })).toBeUndefined();
  });
});

describe('aheadOf', () => {
  test('takes the greater of what the session and the offset say of a publisher', () => {
    const session = {
      ahead: [
        { node: 'a', seq: 1 },
        { node: 'b', seq: 9 },
      ],
    };
    const ahead = [
      { node: 'a', seq: 4 },
      { node: 'b', seq: 2 },
      { node: 'c', seq: 3 },
    ];
    expect(aheadOf(session, { position: '10-0', ahead })).toEqual([
      { node: 'a', seq: 4 },
      { node: 'b', seq: 9 },
      { node: 'c', seq: 3 },
    ]);
  });

  test('leaves out what the position of the offset covers', () => {
    const session = {
      ahead: [
        { node: 'covered', seq: 1, coveredAt: '10-0' },
        { node: 'later', seq: 1, coveredAt: '10-1' },
        { node: 'unread', seq: 1 },
      ],
    };
    expect(aheadOf(session, { position: '10-0', ahead: [] }).map(({ node }) => node)).toEqual(['later', 'unread']);
  });

  test('keeps the last 16 publishers, and adds none with the number 0', () => {
    const ahead = Array.from({ length: 20 }, (_, i) => ({ node: `n${i}`, seq: i }));
    expect(aheadOf({}, { position: '10-0', ahead }).map(({ seq }) => seq)).toEqual(
      ahead.slice(4).map(({ seq }) => seq),
    );
    expect(aheadOf({}, { position: '10-0', ahead: [{ node: 'a', seq: 0 }] })).toEqual([]);
  });
});
