import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Fleet, type FleetNode } from '../kit/fleet.js';
import { until } from '../kit/index.js';
import type { TaskContext } from '../kit/socket-server.js';

describe('a request to a cluster of both kinds of nodes', () => {
  let fleet: Fleet;
  let ours: FleetNode;
  let reference: FleetNode;
  /** A node of the reference, in a process of its own, that hears requests and does not answer. */
  let debtor: FleetNode;

  beforeAll(async () => {
    fleet = await Fleet.start({
      client: 'ioredis 6',
      server: 'Redis',
      topology: 'single',
      nodes: ['ours', 'reference'],
    });
    [ours, reference] = fleet.nodes as [FleetNode, FleetNode];
    await reference.run(({ io }) => void io.on('who?', (reply: (answer: string) => void) => reply('reference')));
  });
  afterAll(() => fleet.close());

  beforeEach(async () => {
    await fleet.isKnown('/', 2);
    debtor = await fleet.startNode('reference', { ownProcess: true });
    await fleet.isKnown('/', 3);
    await debtor.run(({ io, seen }) => {
      const { adapter } = io.of('/') as unknown as { adapter: { onMessage(message: { type: number }): void } };
      adapter.onMessage = ({ type }) => void seen.push(type);
    });
  });

  const ask = async ({ io }: TaskContext, timeout: number) => {
    const message = (error: Error): string => error.message;
    const sockets = io.timeout(timeout).fetchSockets();
    const count = sockets.then(({ length }) => length, message);
    return { answers: await io.serverSideEmitWithAck('who?').catch(message), sockets: await count };
  };

  test('waits for the nodes of both kinds, and ends when one of the reference is killed that owes an answer', async () => {
    const outcome = ours.run(ask, 30_000);
    await until(() => debtor.run(({ seen }) => seen.length >= 2), { what: 'both questions' });
    await debtor.process!.kill();
    expect(await outcome).toEqual({ answers: ['reference'], sockets: 0 });
  });

  test('ends when a node of the reference closes in order', async () => {
    const outcome = ours.run(ask, 30_000);
    await until(() => debtor.run(({ seen }) => seen.length >= 2), { what: 'both questions' });
    await debtor.process!.call('close');
    expect(await outcome).toEqual({ answers: ['reference'], sockets: 0 });
    await debtor.process!.kill();
  });

  test('fails in time when a node of the reference is stopped, which nothing reports', async () => {
    debtor.process!.pause();
    expect(await ours.run(ask, 300)).toEqual({
      answers: 'timeout reached: only 1 responses received out of 2',
      sockets: 'timeout reached: only 1 responses received out of 2',
    });
    await debtor.process!.kill();
  });
});
