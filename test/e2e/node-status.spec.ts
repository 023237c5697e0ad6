import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { Fleet, type FleetNode } from '../kit/fleet.js';
import { until } from '../kit/index.js';
import type { TaskContext } from '../kit/socket-server.js';

describe('the status of a node', () => {
  let fleet: Fleet;
  let teller: FleetNode;
  let witness: FleetNode;
  /** A process of its own, which can be stopped and killed. */
  let subject: FleetNode;
  let id: string;

  beforeAll(async () => {
    fleet = await Fleet.start({
      client: 'ioredis 6',
      server: 'Redis',
      topology: 'single',
      nodes: ['ours', 'ours'],
      options: { heartbeatInterval: 300, heartbeatTimeout: 1_500 },
    });
    [teller, witness] = fleet.nodes as [FleetNode, FleetNode];
  });
  afterAll(() => fleet.close());

  beforeEach(async () => {
    subject = await startSubject();
    id = await idOf(subject);
  });

  async function startSubject(): Promise<FleetNode> {
    const started = await fleet.startNode('ours', { ownProcess: true });
    const startedId = await idOf(started);
    await until(
      async () => {
        const states = await Promise.all([teller, witness].map((node) => stateOf(node, startedId)));
        const known = await started.run(({ node }) => node!.nodes().filter(({ state }) => state === 'up').length);
        return known >= 3 && states.every((state) => state === 'up');
      },
      { what: 'the nodes to know each other' },
    );
    return started;
  }

  const idOf = (node: FleetNode): Promise<string> => node.run(({ node }) => node!.id);

  /** What a node has told of another so far. */
  const toldOf = (teller: FleetNode, id: string): Promise<string[]> =>
    teller.run(
      ({ events }, id) => events.flatMap((event) => ('node' in event && event.node.id === id ? [event.type] : [])),
      id,
    );

  const stateOf = (teller: FleetNode, id: string): Promise<string | undefined> =>
    teller.run(({ node }, id) => node!.nodes().find((one) => one.id === id)?.state, id);

  const tells = (teller: FleetNode, id: string, type: string): Promise<unknown> =>
    until(async () => (await toldOf(teller, id)).includes(type), { what: `"${type}"` });

  test('is joined, suspected, down, back and left, in that order', async () => {
    const bothTell = (type: string): Promise<unknown> =>
      Promise.all([teller, witness].map((node) => tells(node, id, type)));
    expect(await stateOf(teller, id)).toBe('up');
    subject.process!.pause();
    await bothTell('node-suspected');
    await bothTell('node-down');
    expect(await stateOf(teller, id)).toBe('down');
    subject.process!.resume();
    await bothTell('node-back');
    expect(await stateOf(teller, id)).toBe('up');
    await subject.process!.call('close');
    await bothTell('node-left');
    expect(await stateOf(teller, id)).toBe('left');
    const told = ['node-joined', 'node-suspected', 'node-down', 'node-back', 'node-left'];
    expect(await toldOf(teller, id)).toEqual(told);
    expect(await toldOf(witness, id)).toEqual(told);
  });

  test('is suspected and then down when the node is killed, and its successor joins as another', async () => {
    await subject.process!.kill();
    await tells(teller, id, 'node-down');
    expect(await toldOf(teller, id)).toEqual(['node-joined', 'node-suspected', 'node-down']);
    const successor = await idOf(await startSubject());
    expect(successor).not.toBe(id);
    expect(await toldOf(teller, successor)).toEqual(['node-joined']);
  });

  test('is not reported as bad by a node that was stopped itself', async () => {
    const witnessId = await idOf(witness);
    subject.process!.pause();
    await tells(teller, id, 'node-down');
    subject.process!.resume();
    await tells(teller, id, 'node-back');
    expect(await toldOf(subject, witnessId)).toEqual(['node-joined']);
  });

  describe.each<[string, (node: FleetNode) => unknown]>([
    ['killed', ({ process }) => process!.kill()],
    ['stopped', ({ process }) => process!.pause()],
    ['closed', ({ process }) => process!.call('close')],
  ])('of one that is %s', (_how, end) => {
    test('ends the requests that wait for it, without an error', async () => {
      await witness.run(({ io }) => {
        io.removeAllListeners('who?').on('who?', (reply: (answer: string) => void) => reply('me'));
      });
      // It owes the answers: it hears the questions, and says nothing.
      await subject.run(({ io, seen }) => {
        const { adapter } = io.of('/') as unknown as { adapter: { onMessage(message: { type: number }): void } };
        adapter.onMessage = ({ type }) => void seen.push(type);
      });
      const ask = async ({ io }: TaskContext): Promise<unknown[]> =>
        Promise.all([
          io.serverSideEmitWithAck('who?').catch((error: Error) => error.message),
          io
            .timeout(20_000)
            .fetchSockets()
            .then(
              (sockets) => sockets.length,
              (error: Error) => error.message,
            ),
        ]);
      const answers = teller.run(ask);
      await until(() => subject.run(({ seen }) => seen.length >= 2), { what: 'both questions' });
      await end(subject);
      expect(await answers).toEqual([['me'], 0]);
    });
  });
});
