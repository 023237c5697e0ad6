import { beforeEach, describe, expect, test } from '@jest/globals';
import { toEntries } from '../../lib/redis/stream-reply.js';
import { Continuity } from '../../lib/stream/continuity.js';
import { encodeMessage, encodeOrigin, EntryType } from '../../lib/wire/entry.js';
import { parseEntry } from '../../lib/wire/parse-entry.js';
import { STREAM_START } from '../../lib/wire/stream-id.js';
import { RedisServer } from '../kit/index.js';

const STREAM = 'log';

describe('Continuity', () => {
  let redis: RedisServer;
  let continuity: Continuity;
  let asked: string[];

  beforeEach(async () => {
    redis = await RedisServer.start();
    asked = [];
    const ask = (command: readonly unknown[]): Promise<unknown> => {
      asked.push(String(command[0]));
      return redis.command(...command.map(String));
    };
    continuity = new Continuity(STREAM, { call: ask, read: ask });
  });

  /** Appends entry `n`, as a node has sent it. */
  async function append(n: number, { id = `${n}-0`, node = 'node', text = '' } = {}): Promise<void> {
    const data = { packet: { type: 2, data: ['msg', n, text] }, opts: { rooms: [], except: [], flags: {} } };
    const fields = encodeMessage({ uid: node, nsp: '/', type: EntryType.Broadcast, data }, { onlyPlaintext: false });
    await redis.command('XADD', STREAM, id, ...fields, ...encodeOrigin(node, n, n - 1, false));
  }

  /** Reads all that the stream has. */
  async function readAll(): Promise<void> {
    const raw = toEntries(await redis.command('XRANGE', STREAM, '-', '+'));
    const entries = raw.map(({ id, fields }) => parseEntry(id, fields));
    entries.forEach((entry) => continuity.add(entry));
    continuity.onRead(entries.at(-1)!);
  }

  test('a stream continues if nothing was read of it yet', async () => {
    continuity.restart(STREAM_START);
    expect(await continuity.check(STREAM_START)).toEqual({ outcome: 'continues' });
    expect(asked).toEqual([]);
  });

  test('a stream continues while it has the last entry that was read, whatever was trimmed and came after it', async () => {
    for (const n of [1, 2, 3]) await append(n);
    await readAll();
    await append(4);
    await redis.command('XTRIM', STREAM, 'MAXLEN', '2');
    expect(continuity.newest).toBe('3-0');
    expect(await continuity.check('3-0')).toEqual({ outcome: 'continues' });
  });

  test('continuity is unproven if the last entry was trimmed, or the stream emptied', async () => {
    for (const n of [1, 2]) await append(n);
    await readAll();
    await append(3);
    await redis.command('XTRIM', STREAM, 'MAXLEN', '1');
    expect(await continuity.check('2-0')).toEqual({ outcome: 'unproven' });
    await redis.command('XTRIM', STREAM, 'MAXLEN', '0');
    expect(await continuity.check('2-0')).toEqual({ outcome: 'unproven' });
  });

  test('a stream that was deleted is read from its start', async () => {
    await append(1);
    await readAll();
    await redis.command('DEL', STREAM);
    expect(await continuity.check('1-0')).toEqual({ outcome: 'replaced', reason: 'deleted', position: STREAM_START });
  });

  test('a stream that was made anew, and has later entries only, is read on after the position', async () => {
    await append(1);
    await readAll();
    await redis.command('DEL', STREAM);
    await append(1, { id: '9-0' });
    expect(await continuity.check('1-0')).toEqual({ outcome: 'replaced', reason: 'recreated', position: '1-0' });
  });

  test('a stream without the last entries is read on after the last one that it has', async () => {
    for (const n of [1, 2, 3, 4]) await append(n);
    await readAll();
    await redis.command('XDEL', STREAM, '3-0', '4-0');
    expect(await continuity.check('4-0')).toEqual({ outcome: 'replaced', reason: 'rewound', position: '2-0' });
  });

  test('another entry with the id of the last one is not taken for it', async () => {
    for (const n of [1, 2, 3]) await append(n);
    await readAll();
    await redis.command('XDEL', STREAM, '2-0', '3-0');
    await redis.command('XSETID', STREAM, '1-0');
    await append(2, { node: 'other' });
    await append(3, { node: 'other' });
    expect(await continuity.check('3-0')).toEqual({ outcome: 'replaced', reason: 'rewound', position: '1-0' });
  });

  test('where histories of many entries part is found, more than a page back', async () => {
    for (let n = 1; n <= 600; n++) await append(n);
    await readAll();
    await redis.command('XTRIM', STREAM, 'MAXLEN', '0');
    await redis.command('DEL', STREAM);
    for (let n = 1; n <= 100; n++) await append(n);
    for (let n = 101; n <= 600; n++) await append(n, { node: 'other' });
    expect(await continuity.check('600-0')).toEqual({ outcome: 'replaced', reason: 'rewound', position: '100-0' });
  });

  test('a large last entry is read again only after the stream has changed or the connection was made anew', async () => {
    await append(1, { text: 'x'.repeat(20_000) });
    await readAll();
    const commands = async (): Promise<string[]> => {
      asked = [];
      expect(await continuity.check('1-0')).toEqual({ outcome: 'continues' });
      return asked;
    };
    expect(await commands()).toEqual(['XLEN', 'XRANGE']);
    expect(await commands()).toEqual(['XLEN']);
    continuity.forgetLength();
    expect(await commands()).toEqual(['XLEN', 'XRANGE']);
    await append(2);
    expect(await commands()).toEqual(['XLEN', 'XRANGE']);
  });
});
