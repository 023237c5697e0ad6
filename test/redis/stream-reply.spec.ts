import { describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { RawReply } from '../../lib/redis/resp/raw-reply.js';
import { type FieldsInReply, toEntries, toInfo, toStreamEntries, type RawEntry } from '../../lib/redis/stream-reply.js';
import { closeAfterwards, RedisServer } from '../kit/index.js';
import { fieldsOf } from './fields-of.js';

const readable = (entries: RawEntry[]): unknown[] => entries.map((entry) => [entry.id, fieldsOf(entry)]);
const bulk = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
const raw = (text: string): RawReply => new RawReply(Buffer.from(`+before\r\n${text}+after\r\n`), 9);

const PAIRS = [
  ['1-0', ['a', 'ä', 'b', '']],
  ['1-1', ['a', '3']],
];

describe('the entries of a reply', () => {
  const entry = ([id, fields]: (typeof PAIRS)[number]): string =>
    `*2\r\n${bulk(id as string)}*${fields!.length}\r\n${(fields as string[]).map(bulk).join('')}`;
  const list = `*2\r\n${PAIRS.map(entry).join('')}`;

  test.each<[string, unknown]>([
    ['pairs, as RESP2 has them', [['s', PAIRS]]],
    ['names and entries by turns, as RESP3 flattened', ['s', PAIRS]],
    ['a Map', new Map([['s', PAIRS]])],
    ['an object', { s: PAIRS }],
    ['the bytes of RESP2', raw(`*1\r\n*2\r\n${bulk('s')}${list}`)],
    ['the bytes of RESP3', raw(`%1\r\n${bulk('s')}${list}`)],
  ])('of XREAD are the same from %s', (_name, reply) => {
    expect(readable(toStreamEntries(reply))).toEqual(PAIRS);
  });

  test('are none where XREAD had nothing', () => {
    const nothing = [null, undefined, raw('*-1\r\n'), raw('_\r\n'), {}, new Map()];
    expect(nothing.map((reply) => toStreamEntries(reply))).toEqual(nothing.map(() => []));
  });

  test.each<[string, unknown]>([
    [
      'pairs',
      [
        ['1-0', Object.fromEntries([['a', 'b']])],
        ['1-1', new Map([['a', 'b']])],
        ['1-2', ['a', 'b']],
      ],
    ],
    [
      'pairs of pairs',
      [
        ['1-0', [['a', 'b']]],
        ['1-1', [['a', 'b']]],
        ['1-2', [['a', 'b']]],
      ],
    ],
  ])('of XRANGE are those of %s', (_name, reply) => {
    expect(readable(toEntries(reply))).toEqual(['1-0', '1-1', '1-2'].map((id) => [id, ['a', 'b']]));
  });

  test('that were deleted while they were read have no fields', () => {
    expect(readable(toEntries(raw(`*2\r\n*2\r\n${bulk('1-0')}*-1\r\n${entry(['1-1', ['a', 'b']])}`)))).toEqual([
      ['1-0', []],
      ['1-1', ['a', 'b']],
    ]);
    expect(readable(toEntries([['1-0', null]]))).toEqual([['1-0', []]]);
  });

  test('have fields that can be copied as they lie there', () => {
    const fields = toEntries(raw(`*1\r\n${entry(['1-0', ['a', 'ä']])}`))[0]!.fields as FieldsInReply;
    const target = Buffer.alloc(fields.size + 2, '.');
    fields.copyTo(target, 1);
    expect(target.toString()).toBe(`.${bulk('a')}${bulk('ä')}.`);
  });
});

test('entries and XINFO are read from what a server answers each client, in RESP2 and RESP3', async () => {
  const redis = await RedisServer.start();
  const { port } = redis;
  for (const n of ['1', '2', '3']) {
    await redis.command('XADD', 's', `${n}-0`, 'n', n);
  }
  const io = disconnectAfterwards(new Redis(port, '127.0.0.1'));
  const io3 = disconnectAfterwards(new Redis(port, '127.0.0.1', { protocol: 3 } as object));
  const node2 = closeAfterwards(createClient({ socket: { port }, RESP: 2 }));
  const node3 = closeAfterwards(createClient({ socket: { port }, RESP: 3 }));
  await Promise.all([node2.connect(), node3.connect()]);
  const senders: ((...words: string[]) => Promise<unknown>)[] = [
    (...words) => io.call(...(words as [string])),
    (...words) => io3.call(...(words as [string])),
    (...words) => node2.sendCommand(words),
    (...words) => node3.sendCommand(words),
  ];
  for (const send of senders) {
    const expected = ['1', '2', '3'].map((n) => [`${n}-0`, ['n', n]]);
    expect(readable(toStreamEntries(await send('XREAD', 'STREAMS', 's', '0')))).toEqual(expected);
    expect(readable(toEntries(await send('XREVRANGE', 's', '+', '-')).reverse())).toEqual(expected);
    const info = toInfo(await send('XINFO', 'STREAM', 's'));
    expect([info.get('length'), info.get('last-generated-id'), info.get('entries-added')]).toEqual([3, '3-0', 3]);
  }
});

function disconnectAfterwards(client: Redis): Redis {
  closeAfterwards({ close: () => client.disconnect() });
  return client;
}
