import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { expect, test } from '@jest/globals';
import { afterArrivals, MAX_LATENESS_MS, wasSuspended } from '../../lib/time/suspension.js';
import { closeAfterwards } from '../kit/index.js';

test('wasSuspended is true of what happens later than timers are in a process that runs', () => {
  expect([wasSuspended(1_000, 900), wasSuspended(1_000, 1_000 + MAX_LATENESS_MS)]).toEqual([false, false]);
  expect(wasSuspended(1_000, 1_001 + MAX_LATENESS_MS)).toBe(true);
  expect([wasSuspended(1_000, 3_500, 2_500), wasSuspended(1_000, 3_501, 2_500)]).toEqual([false, true]);
});

test('afterArrivals lets what has arrived in a long turn come first, and can be ended', async () => {
  const server = closeAfterwards(createServer());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [peer] = (await once(server, 'connection')) as [Socket];
  closeAfterwards({ close: () => [socket, peer].forEach((one) => one.destroy()) });

  const order: string[] = [];
  socket.on('data', () => order.push('arrived'));
  await new Promise<void>((resolve) => {
    setTimeout(() => {
      order.push('timer');
      afterArrivals(() => resolve(void order.push('after')));
      afterArrivals(() => order.push('ended'))();
    }, 1);
    peer.write('x');
    for (const since = performance.now(); performance.now() - since < 50;); // as a process that is too busy
  });
  expect(order).toEqual(['timer', 'arrived', 'after']);
});
