import { describe, expect, test } from '@jest/globals';
import { Decoder, Encoder, PacketType } from 'socket.io-parser';
import { Packets, reuseJson, withOffset } from '../../lib/adapter/packets.js';
import type { LoggedPacket } from '../../lib/wire/entry.js';

const log = { offset: () => '7-0' };
const packets = (options: { areExact?: boolean; haveOffsets?: boolean } = {}): Packets =>
  new Packets(log, { areExact: false, haveOffsets: true, ...options });

const packet = (...data: unknown[]): LoggedPacket => ({ type: PacketType.EVENT, data });

describe('Packets', () => {
  test('offsetFor is the offset of an entry, for a packet that is in the log', () => {
    expect(packets().offsetFor(packet('news', 1), '5-0')).toBe('5-0');
  });

  test('offsetFor is that of all that was given, if a client would take the end of the packet for one', () => {
    expect(packets().offsetFor(packet('news', 'hello'))).toBe('7-0');
    expect(packets().offsetFor(packet('news', 1))).toBeUndefined();
  });

  test('offsetFor is none without recovery, and of a packet that asks for an acknowledgement', () => {
    expect(packets({ haveOffsets: false }).offsetFor(packet('news'), '5-0')).toBeUndefined();
    expect(packets().offsetFor({ ...packet('news'), id: 3 }, '5-0')).toBeUndefined();
  });

  test('onBus gives the packet as it is now and as JSON has it; with a parser of the application, as it is', () => {
    const data = { at: new Date(0) };
    const now = packets().onBus(packet('news', data));
    data.at = new Date(1);
    expect(now.data).toEqual(['news', { at: '1970-01-01T00:00:00.000Z' }]);
    const same = packet('news', data);
    expect(packets({ areExact: true }).onBus(same)).toBe(same);
  });

  test('exact copies what any process can be given and throws for what none can, with a parser of the app', () => {
    const exact = packets({ areExact: true });
    expect(exact.exact(packet('news', new Map([[1, 2n]]))).data).toEqual(['news', new Map([[1, 2n]])]);
    expect(() => exact.exact(packet('news', () => 1))).toThrow(TypeError);
    const same = packet('news', () => 1);
    expect(packets().exact(same)).toBe(same);
  });
});

test('withOffset adds an offset to a packet, and to the JSON that is known of it', () => {
  const logged = { ...packet('news', 1), json: '["news",1]' };
  expect(withOffset(logged, '5-0')).toEqual({ ...packet('news', 1, '5-0'), json: '["news",1,"5-0"]' });
  expect(logged.data).toEqual(['news', 1]);
});

describe('reuseJson', () => {
  test.each(['/', '/chat'])('encodes a packet of %s as Socket.IO does, with its JSON or without', (nsp) => {
    const encoder = new Encoder();
    const adapter = { encoder };
    reuseJson(adapter);
    const data = ['news', { text: 'ä, "quoted"' }];
    const expected = encoder.encode({ type: PacketType.EVENT, nsp, data });
    const encode = adapter.encoder.encode.bind(adapter.encoder) as (one: object) => unknown[];
    expect(encode({ ...packet(...data), nsp, json: JSON.stringify(data) })).toEqual(expected);
    expect(encode({ ...packet(...data), nsp })).toEqual(expected);
    const decoded: unknown[] = [];
    const decoder = new Decoder();
    decoder.on('decoded', (one) => decoded.push(one));
    decoder.add(expected[0] as string);
    expect(decoded).toEqual([{ type: PacketType.EVENT, nsp, data }]);
  });
});
