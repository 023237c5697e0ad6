import { expect, test } from '@jest/globals';
import { PendingWrites } from '../../lib/session/pending-writes.js';

test('PendingWrites waits for all writes, those that others cause too, and reports what fails', async () => {
  const errors: string[] = [];
  const writes = new PendingWrites((operation, error) => errors.push(`${operation}: ${error.message}`));
  let isDone = false;
  const later = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    isDone = true;
  };
  writes.add(
    'save',
    new Promise((resolve) => setTimeout(resolve, 5)).then(() => writes.add('checkpoint', later())),
  );
  writes.add('checkpoint', Promise.reject(new Error('no')));
  await writes.whenDone();
  expect([isDone, errors]).toEqual([true, ['checkpoint: no']]);
});
