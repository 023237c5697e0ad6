import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Fleet, type Row } from '../kit/fleet.js';
import { until } from '../kit/index.js';
import type { TaskContext } from '../kit/socket-server.js';
import type { TestClient } from '../kit/test-client.js';

const COUNT = 1_500;

const row: Row = { client: 'ioredis 6', server: 'Redis', topology: 'single', nodes: ['ours', 'ours', 'ours'] };

/** A third of it in one turn of the event loop, the rest by and by; some with binary data, some to rooms. */
async function burst({ io }: TaskContext, from: number, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    if (i % 7 === 0) io.emit('hello', from, i, Buffer.from('binary'));
    else if (i % 5 === 0) io.to('room').emit('hello', from, i);
    else io.emit('hello', from, i);
    if (i > count / 3 && i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

describe.each<[string, Row]>([
  ['"log"', { ...row, options: { ordering: 'log' } }],
  ['"log", with connection state recovery', { ...row, recovery: true, options: { ordering: 'log' } }],
  ['"local-first", with connection state recovery', { ...row, recovery: true }],
  ['"local-first"', { ...row, options: { ordering: 'local-first' } }],
])('with the ordering %s, when three nodes broadcast at once,', (_name, row) => {
  let fleet: Fleet;
  let clients: TestClient[];

  beforeAll(async () => {
    fleet = await Fleet.start(row);
    clients = await fleet.connectToEach({ rooms: ['room'] });
    await Promise.all(fleet.nodes.map((node, from) => node.run(burst, from, COUNT)));
    await until(() => clients.every(({ received }) => received.length >= 3 * COUNT), {
      what: 'all broadcasts',
      timeout: 20_000,
    });
    await fleet.settle(clients);
  }, 60_000);
  afterAll(() => fleet.close());

  const keys = ({ received }: TestClient): string[] => received.map(([, from, i]) => `${String(from)}:${String(i)}`);

  test(`${3 * COUNT} messages arrive at each client once, each sender's in the order of sending`, () => {
    for (const client of clients) {
      expect(new Set(keys(client)).size).toBe(3 * COUNT);
      expect(client.received.length).toBe(3 * COUNT);
      for (const from of [0, 1, 2]) {
        const numbers = client.received.filter(([, sender]) => sender === from).map(([, , i]) => i);
        expect(numbers).toEqual(Array.from({ length: COUNT }, (_, i) => i));
      }
    }
  });

  if (row.options?.ordering === 'log') {
    test('all clients of all nodes see one order', () => {
      const [first, second, third] = clients.map(keys);
      expect(second).toEqual(first);
      expect(third).toEqual(first);
    });
  }
});
