import { expect, test } from '@jest/globals';
import { NodeProcess } from '../kit/index.js';

test('loggers and listeners for events that throw harm nothing: it is uncaught, and all else goes on', async () => {
  const child = new URL('./throwing-observers.child.ts', import.meta.url);
  const node = await NodeProcess.start(child, { startTimeout: 40_000 });
  const outcome = await node.call<Record<string, unknown>>('run');
  const sent = ['before', 'refused', 'after it', 'after a restart'];
  expect(outcome).toEqual({
    failure: undefined,
    received: [...sent.flatMap((what) => [`${what}, of the node`, `${what}, of the emitter`]), 'last'].sort(),
    uncaught: ['error', 'log', 'onEvent', 'onEvent of the emitter', 'onNodes', 'onStatus', 'warn'],
  });
}, 90_000);
