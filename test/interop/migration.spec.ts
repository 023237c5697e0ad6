import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { Fleet, referenceIndexOf, type FleetNode } from '../kit/fleet.js';
import { until } from '../kit/index.js';
import type { TaskContext } from '../kit/socket-server.js';
import type { TestClient } from '../kit/test-client.js';

const CLIENTS = 6;
/** Broadcasts of each node between two steps. */
const BROADCASTS = 150;

/** Step 1 of docs/migration.md: both kinds of nodes are given these; `ordering` is for ours, and not known to the others. */
const options = {
  ordering: 'log' as const,
  streamName: 'chat',
  streamCount: 2,
  channelPrefix: 'chat-channels',
  useShardedPubSub: true,
  maxLen: 1_000_000,
  sessionKeyPrefix: 'chat-session:',
  referenceNames: true,
};
/** The stream of the namespace "/". */
const STREAM = `chat-${referenceIndexOf('/', options.streamCount)}`;

/** A client while it is connected to one node. */
interface Stay {
  node: FleetNode;
  recovered: boolean;
  /** The last offset that it had when it came. */
  offset: string | undefined;
  /** How many broadcasts it had received when it came, and when it went. */
  from: number;
  upTo: number;
}

interface Traveller {
  client: TestClient;
  stays: Stay[];
}

describe('a fleet of three, migrated node by node from the reference to ours and back, under load', () => {
  let fleet: Fleet;
  const travellers: Traveller[] = [];
  const everyNode: FleetNode[] = [];
  /** Ids of all broadcasts in the log, in order. */
  let logged: string[];
  /** By node, the numbers of its broadcasts that are in the log. */
  const loggedOf = new Map<string, number[]>();
  let sentBy: Map<string, number>;
  /** After each replacement and by node: how many sockets it was told of, and how many servers it counts. */
  const requests: number[][][] = [];
  /** By node, when all were ours. */
  let statesAfterwards: string[][];

  beforeAll(async () => {
    fleet = await Fleet.start({
      client: 'ioredis 6',
      server: 'Redis',
      topology: 'single',
      nodes: ['reference', 'reference', 'reference'],
      recovery: true,
      options,
    });
    for (const node of fleet.nodes) {
      await startLoad(node);
    }
    for (let i = 0; i < CLIENTS; i++) {
      const node = fleet.node(i % 3);
      travellers.push({ client: await fleet.connect(node), stays: [stay(node, false, undefined, 0)] });
    }
    await someLoad();
    for (const kind of ['ours', 'reference'] as const) {
      for (let i = 0; i < 3; i++) {
        await replace(fleet.node(0), kind); // steps 2 and 3: the oldest
        await someLoad();
        requests.push(await askFromEach());
      }
      if (kind === 'ours') {
        statesAfterwards = await Promise.all(fleet.nodes.map((node) => node.run(statesOfOthers))); // step 4
      }
    }
    sentBy = new Map();
    for (const node of [...fleet.nodes]) {
      sentBy.set(node.url, await node.run(stopLoad));
    }
    await fleet.settle(travellers.map(({ client }) => client));
    for (const traveller of travellers) {
      leave(traveller);
    }
    await readLog();
  }, 120_000);
  afterAll(() => fleet.close());

  function stay(node: FleetNode, recovered: boolean, offset: string | undefined, from: number): Stay {
    return { node, recovered, offset, from, upTo: from };
  }

  function leave({ client, stays }: Traveller): void {
    stays.at(-1)!.upTo = client.received.length;
  }

  async function startLoad(node: FleetNode): Promise<void> {
    everyNode.push(node);
    await node.run(({ io, seen }, name) => {
      seen.push(0);
      seen.push(setInterval(() => void io.emit('load', name, seen[0]++), 4));
    }, node.url);
  }

  /** Returns how many broadcasts there were. */
  function stopLoad({ seen }: TaskContext): number {
    clearInterval(seen[1]);
    return seen[0];
  }

  /** Waits until each node has broadcast a good deal more. */
  async function someLoad(): Promise<void> {
    const count = (node: FleetNode): Promise<number> => node.run(({ seen }) => seen[0]);
    const before = await Promise.all(fleet.nodes.map(count));
    await until(async () => (await Promise.all(fleet.nodes.map(count))).every((n, i) => n >= before[i]! + BROADCASTS), {
      what: 'load',
      timeout: 30_000,
    });
  }

  /** As a rolling update does it: first the new node, then the old one stops, and its clients go elsewhere. */
  async function replace(old: FleetNode, kind: 'ours' | 'reference'): Promise<void> {
    const successor = await fleet.startNode(kind);
    fleet.nodes.push(successor);
    await fleet.isKnown();
    await startLoad(successor);
    fleet.nodes.splice(fleet.nodes.indexOf(old), 1);
    const { length } = everyNode;
    const guests = travellers.filter(({ stays }) => stays.at(-1)!.node === old);
    if (old.kind === 'reference') {
      await old.run(stopLoad); // what it has not appended when it closes is lost by it
    }
    await old.close();
    await old.run(stopLoad);
    for (const [i, traveller] of guests.entries()) {
      const { client, stays } = traveller;
      await until(() => !client.socket.connected, { what: 'the end of the old node' });
      leave(traveller);
      const next = fleet.node((i + length) % fleet.nodes.length);
      const { offset } = client;
      const from = client.received.length;
      const recovered = await client.reconnect(next.url);
      stays.push(stay(next, recovered, offset, from));
    }
  }

  function askFromEach(): Promise<number[][]> {
    const ask = async ({ io }: TaskContext) => [
      (await io.fetchSockets()).length,
      await io.of('/').adapter.serverCount(),
    ];
    return Promise.all(fleet.nodes.map((node) => node.run(ask)));
  }

  /** Of those that are there: the nodes that were replaced have left, or are forgotten in time. */
  function statesOfOthers({ node }: TaskContext): string[] {
    const others = node!.nodes().filter(({ self, state }) => !self && state !== 'left');
    return others.map(({ state }) => state).sort();
  }

  async function readLog(): Promise<void> {
    const redis = fleet.deployment.servers[0]!;
    const entries = (await redis.command('XRANGE', STREAM, '-', '+')) as [string, string[]][];
    logged = [];
    for (const [id, fields] of entries) {
      const data = JSON.parse(fields[fields.indexOf('data') + 1]!) as { packet?: { data: unknown[] } };
      const [event, name, n] = data.packet?.data ?? [];
      if (event === 'load') {
        logged.push(id);
        loggedOf.set(String(name), [...(loggedOf.get(String(name)) ?? []), Number(n)]);
      }
    }
  }

  test('while both kinds run, every node counts all nodes and knows of all sockets', () => {
    const everything = Array.from({ length: 3 }, () => [CLIENTS, 3]);
    expect(requests).toEqual(Array.from({ length: 6 }, () => everything));
  });

  test('afterwards, the status of nodes covers the whole fleet', () => {
    for (const states of statesAfterwards) {
      expect(states.filter((state) => state !== 'unmonitored')).toEqual(['up', 'up']);
    }
  });

  test('all that our nodes have sent is in the log, in the order of sending', () => {
    for (const node of everyNode.filter(({ kind }) => kind === 'ours')) {
      const numbers = loggedOf.get(node.url)!;
      expect(numbers).toEqual(numbers.map((_, i) => i));
      expect(numbers.length).toBeGreaterThan(BROADCASTS);
      if (sentBy.has(node.url)) {
        expect(numbers.length).toBe(sentBy.get(node.url));
      }
    }
  });

  test('every client that comes to one of our nodes is recovered', () => {
    const arrivals = travellers.flatMap(({ stays }) => stays.filter(({ node }) => node.kind === 'ours'));
    expect(arrivals.length).toBeGreaterThan(5);
    expect(arrivals.filter(({ recovered }) => !recovered)).toEqual([]);
  });

  test('a recovered client of our nodes gets what both kinds of node sent meanwhile, once and in order', () => {
    let checked = 0;
    for (const { client, stays } of travellers) {
      for (const { node, offset, from, upTo } of stays) {
        if (node.kind !== 'ours') continue;
        const received = client.offsets.slice(from, upTo);
        const start = logged.indexOf(offset!) + 1;
        expect(start).toBeGreaterThan(0);
        expect(received).toEqual(logged.slice(start, start + received.length));
        checked += received.length;
      }
    }
    expect(checked).toBeGreaterThan(BROADCASTS * CLIENTS);
    report(checked);
  });

  /** What the clients of the reference's nodes have missed or got twice is its own affair: it is shown, not judged. */
  function report(checked: number): void {
    let lost = 0;
    let doubled = 0;
    for (const { client } of travellers) {
      const received = new Set(client.offsets);
      lost += logged.slice(logged.indexOf(client.offsets[0]!)).filter((id) => !received.has(id)).length;
      doubled += client.offsets.length - received.size;
    }
    console.log(
      `migration: ${logged.length} broadcasts, ${checked} received from our nodes without loss; ` +
        `on the whole way, the reference's nodes included, ${lost} lost and ${doubled} received twice`,
    );
  }
});
