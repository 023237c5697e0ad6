import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from '@jest/globals';
import { PendingPromises } from '../../lib/time/pending-promises.js';

test('PendingPromises waits for all, those that are added meanwhile too, whatever becomes of them', async () => {
  const pending = new PendingPromises();
  let isDone = false;
  pending.add(sleep(5).then(() => pending.add(sleep(5).then(() => (isDone = true)))));
  pending.add(Promise.reject(new Error('no')));
  expect(pending.size).toBe(2);
  await pending.whenDone();
  expect([isDone, pending.size]).toEqual([true, 0]);
  await pending.whenDone();
});
