import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Member, RedisServer, TcpProxy, until } from '../kit/index.js';
import { haveReadAll, socketsOf, startNode } from './recovery-node.js';
import { disordered, type Received, receives, visit, type Visitor } from './visitor.js';

const NODES = 3;
const CLIENTS = 4;
const RUNS = Number(process.env['PROGRAM_RUNS'] ?? 12);
/** The same programs each time; `PROGRAM_SEED` gives others. */
const seed = Number(process.env['PROGRAM_SEED'] ?? 20_251_126);

/** What happens, one after the other; in a `moment`, the event loop turns some times. All is waited for only by `settle`. */
type Step =
  | { do: 'send'; node: number; to: 'all' | 'room' | 'except' | 'client'; room: string; client: number }
  | { do: 'join' | 'leave'; client: number; room: string }
  | { do: 'cut'; client: number; node: number; how: 'close' | 'destroy' }
  | { do: 'moment'; turns: number }
  | { do: 'Redis is away' | 'Redis is back' | 'settle' };

const node = fc.nat(NODES - 1);
const client = fc.nat(CLIENTS - 1);
const room = fc.constantFrom('red', 'blue');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      ...{ do: fc.constant('send' as const), node, room, client },
      to: fc.constantFrom('all' as const, 'room' as const, 'except' as const, 'client' as const),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('join' as const, 'leave' as const), client, room }) },
  {
    weight: 4,
    arbitrary: fc.record({
      ...{ do: fc.constant('cut' as const), client, node },
      how: fc.constantFrom('close' as const, 'destroy' as const),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('moment' as const), turns: fc.integer({ min: 1, max: 40 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('Redis is away' as const) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('Redis is back' as const, 'settle' as const) }) },
);

/** What the model says of a message and a client: `may` if it changes rooms while the message is on its way. */
type Verdict = 'must' | 'must not' | 'may';

interface Sent {
  id: string;
  step: Extract<Step, { do: 'send' }>;
  verdicts: Verdict[];
  /** Whether it was given to the client at the call: what happens to that later does not matter. */
  wasAtOnce: boolean[];
}

/** Who is in which room, and what follows from it. */
class Model {
  readonly rooms: Set<string>[] = Array.from({ length: CLIENTS }, () => new Set());
  readonly sent: Sent[] = [];
  /** From here on, messages may be on their way. */
  private settled = 0;

  send(step: Sent['step'], id: string, wasAtOnce: boolean[]): void {
    const isFor = (who: number): boolean => {
      const isIn = this.rooms[who]!.has(step.room);
      return { all: true, room: isIn, except: !isIn, client: who === step.client }[step.to];
    };
    const verdicts = this.rooms.map((_, who) => (isFor(who) ? 'must' : 'must not'));
    this.sent.push({ id, step, verdicts, wasAtOnce });
  }

  move(who: number, room: string, joins: boolean): void {
    if (this.rooms[who]!.has(room) === joins) {
      return;
    }
    this.rooms[who]![joins ? 'add' : 'delete'](room);
    for (const { step, verdicts, wasAtOnce } of this.sent.slice(this.settled)) {
      if ((step.to === 'room' || step.to === 'except') && step.room === room && !wasAtOnce[who]) {
        verdicts[who] = 'may';
      }
    }
  }

  settle(): void {
    this.settled = this.sent.length;
  }

  /** What is wrong about what a client has received. */
  mistakes(who: number, received: Received[]): object {
    const ids = received.map(({ value }) => value as string);
    const seen = new Set(ids);
    const wrong = (verdict: Verdict, isSeen: boolean): string[] =>
      this.sent.filter(({ id, verdicts }) => verdicts[who] === verdict && seen.has(id) === isSeen).map(({ id }) => id);
    return {
      missing: wrong('must', false),
      misdelivered: wrong('must not', true),
      doubled: ids.filter((id, i) => ids.indexOf(id) !== i),
      late: this.lanesOf(received).flatMap((lane) => disordered(lane).map(({ value }) => value as string)),
    };
  }

  lanesOf: (received: Received[]) => Received[][] = (received) => [received];
}

const NOTHING_WRONG = { missing: [], misdelivered: [], doubled: [], late: [] };

describe.each(['local-first', 'log'] as const)('three nodes, with Redis away at times (%s)', (ordering) => {
  let redis: TcpProxy;
  let server: RedisServer;
  let nodes: Member[];
  let visitors: Visitor[];
  /** Where each client is, or is going to. */
  let homes: number[];
  let isAway = false;

  beforeAll(async () => {
    server = await RedisServer.start();
    redis = await TcpProxy.start(server.port);
    const adapter = { ordering, commandTimeout: 20_000 };
    nodes = await Promise.all(Array.from({ length: NODES }, () => startNode({ port: redis.port, adapter })));
    homes = [0, 0, 1, 2];
    visitors = await Promise.all(homes.map((home) => visit(nodes[home]!)));
    nodes[0]!.io.emit('msg', 'node 0 0');
    await Promise.all(visitors.map((visitor) => receives(visitor, 1)));
    await settle(new Model());
  });
  afterAll(() => visitors.forEach((visitor) => visitor.close()));

  const isHere = (who: number): boolean =>
    visitors[who]!.isConnected && socketsOf(nodes[homes[who]!]!, visitors[who]!).length === 1;

  async function settle(model: Model): Promise<void> {
    const streams = () => nodes.map(({ node }) => node.status().streams[0]!);
    await until(() => visitors.every((_, who) => isHere(who)), { what: 'all clients to be back', timeout: 15_000 });
    await until(() => streams().every(({ outbox, backlog }) => outbox.entries + backlog === 0), {
      ...{ what: 'all to be appended', timeout: 15_000 },
    });
    await haveReadAll(server, nodes, 15_000);
    await Promise.all(visitors.map((visitor) => visitor.socket.emitWithAck('rooms'))); // so all has arrived
    model.settle();
  }

  async function bringBack(): Promise<void> {
    if (isAway) {
      isAway = false;
      await redis.accept();
      await until(() => nodes.every(({ node }) => node.status().state === 'running'), { what: 'Redis to be back' });
    }
  }

  const actions: { [What in Step['do']]: (step: Extract<Step, { do: What }>, model: Model) => unknown } = {
    send: (step, model) => {
      const { io } = nodes[step.node]!;
      const id = `node ${step.node} ${model.sent.length + 1}`;
      const isAtOnce = ordering === 'local-first' || step.to === 'client';
      model.send(
        step,
        id,
        visitors.map((_, who) => isAtOnce && homes[who] === step.node && isHere(who)),
      );
      if (step.to === 'all') io.emit('msg', id);
      else if (step.to === 'client') io.to(visitors[step.client]!.sid).emit('msg', id);
      else io[step.to === 'room' ? 'to' : 'except'](step.room).emit('msg', id);
    },
    join: ({ client, room }, model) => changeRoom(client, room, true, model),
    leave: ({ client, room }, model) => changeRoom(client, room, false, model),
    cut: ({ client, node, how }) => {
      if (isHere(client)) {
        homes[client] = node;
        visitors[client]!.goTo(nodes[node]!.url);
        visitors[client]!.cut(how);
      }
    },
    moment: async ({ turns }) => {
      for (let turn = 0; turn < turns; turn++) {
        await setImmediate();
      }
    },
    'Redis is away': async (_, model) => {
      if (!isAway) {
        await settle(model);
        await checkpointed();
        isAway = true;
        redis.refuse();
        redis.cut();
        await until(() => nodes.every(({ node }) => node.status().state === 'degraded'), { what: 'the loss' });
      }
    },
    'Redis is back': () => bringBack(),
    settle: (_, model) => !isAway && settle(model),
  };

  /** While Redis is away, rooms are not written: a node that is back later than the next one of its client has not told it. */
  function changeRoom(who: number, room: string, joins: boolean, model: Model): void {
    if (!isAway && isHere(who)) {
      const [socket] = socketsOf(nodes[homes[who]!]!, visitors[who]!);
      model.move(who, room, joins);
      void (joins ? socket!.join(room) : socket!.leave(room));
    }
  }

  /** Waits until what was written of sessions is as it is now. */
  async function checkpointed(): Promise<void> {
    const written = async (): Promise<string> =>
      JSON.stringify(
        await Promise.all(nodes.map(({ node }) => server.command('HGETALL', `sio:session:live:${node.id}`))),
      );
    let before = '';
    await until(
      async () => {
        const now = await written();
        const isSame = now === before;
        before = now;
        return isSame;
      },
      { what: 'sessions to be written', interval: 120 },
    );
  }

  test(`give each client what is for it, once, in the order of each node (${RUNS} programs, seed ${seed})`, async () => {
    const property = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
      const model = new Model();
      if (ordering === 'log') {
        const isDirect = ({ value }: Received): boolean =>
          model.sent.find(({ id }) => id === value)?.step.to === 'client';
        model.lanesOf = (received) => [received.filter(isDirect), received.filter((one) => !isDirect(one))];
      }
      visitors.forEach((visitor) => visitor.received.splice(0));
      const refusedBefore = visitors.map(({ refused }) => refused);
      for (const one of steps) {
        await actions[one.do](one as never, model);
      }
      await bringBack();
      await settle(model);
      const mistakes = visitors.map(({ received }, who) => model.mistakes(who, received));
      const refused = visitors.map((visitor, who) => visitor.refused - refusedBefore[who]!);
      for (let who = 0; who < CLIENTS; who++) {
        [...model.rooms[who]!].forEach((room) => changeRoom(who, room, false, model));
      }
      expect({ mistakes, refused }).toEqual({ mistakes: visitors.map(() => NOTHING_WRONG), refused: [0, 0, 0, 0] });
    });
    await fc.assert(property, { numRuns: RUNS, seed });
    expect(visitors.reduce((sum, { recoveries }) => sum + recoveries, 0)).toBeGreaterThan(RUNS);
  }, 120_000);
});
