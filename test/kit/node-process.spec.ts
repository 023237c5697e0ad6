import { expect, test } from '@jest/globals';
import { NodeProcess } from './index.js';

const echo = new URL('./fixtures/echo.ts', import.meta.url);

test('answers calls with structured clones and emits events', async () => {
  const node = await NodeProcess.start(echo);
  const value = { text: 'hello', bytes: new Uint8Array([1, 2]), none: undefined, map: new Map([[1, 2]]) };
  expect(await node.call('echo', value)).toEqual(value);
  expect(await node.event('echoed', ({ text }) => text === 'hello')).toEqual([value]);
});

test('hands its options to the script', async () => {
  const options = { port: 1, adapter: { ordering: 'log' } };
  expect(await (await NodeProcess.start(echo, { options })).call('options')).toEqual(options);
  expect(await (await NodeProcess.start(echo)).call('options')).toEqual({});
});

test('compiles decorators with their metadata, as Nest needs them', async () => {
  const node = await NodeProcess.start(echo);
  expect(await node.call('metadata')).toBe('Number');
});

test('rejects a call that throws in the child with its error', async () => {
  const node = await NodeProcess.start(echo);
  await expect(node.call('fail')).rejects.toMatchObject({ name: 'TypeError', message: 'This is wrong' });
  await expect(node.call('nothing')).rejects.toThrow('There is no method "nothing"');
});

test('rejects the calls of a child that is killed, with what it printed', async () => {
  const node = await NodeProcess.start(echo, { name: 'node a' });
  await node.call('print', 'last words');
  const hanging = node.call('hang');
  const rejected = expect(hanging).rejects.toThrow(/node a ended before it answered .*SIGKILL[^]*last words/);
  expect(await node.kill()).toEqual({ code: null, signal: 'SIGKILL' });
  await rejected;
  await expect(node.call('echo')).rejects.toThrow('cannot be asked for echo');
});

test('ends by itself when it is released and nothing keeps it', async () => {
  const node = await NodeProcess.start(echo);
  expect(await node.release()).toEqual({ code: 0, signal: null });
});

test('reports when something keeps a released child alive', async () => {
  const node = await NodeProcess.start(echo);
  await node.call('keepAlive');
  await expect(node.release(300)).rejects.toThrow('in vain for echo.ts to end after being released');
});

test('stops by SIGTERM', async () => {
  const node = await NodeProcess.start(echo);
  expect(await node.stop()).toEqual({ code: null, signal: 'SIGTERM' });
});

test('a script that fails at its start says why', async () => {
  await expect(NodeProcess.start(new URL('./fixtures/missing.ts', import.meta.url))).rejects.toThrow('missing.ts');
});
