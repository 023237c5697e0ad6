import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { resolveOptions } from '../../lib/cluster/options.js';
import { streamIndexOf, streamNames } from '../../lib/wire/keys.js';
import type { Deployment, Topology } from '../kit/deployment.js';
import { Fleet, nameOf, type Row } from '../kit/fleet.js';
import { DURABLE, until } from '../kit/index.js';
import type { TaskContext } from '../kit/socket-server.js';
import type { TestClient } from '../kit/test-client.js';

/** Broadcasts of each node before the fault, and after it. */
const BROADCASTS = 50;

interface Fault {
  name: string;
  strike: (deployment: Deployment, stream: string) => Promise<unknown>;
  /** Whether a replica takes over: what it lacks is lost to Redis. */
  promotes?: boolean;
}

const cut: Fault = {
  name: 'the connections of the readers are cut',
  strike: ({ servers }) =>
    Promise.all(servers.map((server) => server.killClients(({ name }) => name.endsWith(':reader')))),
};
const migration: Fault = {
  name: 'the slot of the stream moves to another master',
  strike: ({ migrateSlot }, stream) => migrateSlot!(stream),
};
const failover: Fault = {
  name: 'the master of the stream is killed and its replica promoted',
  strike: ({ failover }, stream) => failover!(stream),
  promotes: true,
};
const restart: Fault = {
  name: 'the server of the stream is killed and started again',
  strike: async (deployment, stream) => {
    const server = await deployment.masterOf(stream);
    await server.kill();
    await server.restart();
  },
};

/** The restart comes after the failover, when no replica is left that might be faster. */
const faults: Record<Topology, Fault[]> = {
  single: [cut, restart],
  cluster: [cut, migration, failover, restart],
  sentinel: [cut, failover, restart],
};

/** Faults of Redis while three nodes broadcast, with connection state recovery: written once, and run for each row. */
export function describeFaults(row: Row): void {
  describe(`faults (${nameOf(row)})`, () => {
    const options = resolveOptions(row.options ?? {});
    const index = streamIndexOf('/', options.streamCount);
    const stream = streamNames(options)[index]!;
    let fleet: Fleet;

    beforeAll(async () => {
      fleet = await Fleet.start({ ...row, config: [...DURABLE] });
    }, 60_000);
    afterEach(() => fleet?.disconnectAll());
    afterAll(() => fleet?.close(), 30_000);

    test.each(faults[row.topology])(
      '$name',
      async ({ strike, promotes = false }) => {
        const clients = await fleet.connectToEach();
        const traveller = await fleet.connect(0);
        await fleet.settle([...clients, traveller]);
        const before = await lostByEach();
        await Promise.all(fleet.nodes.map((node) => node.run(watchReplacements)));

        traveller.cut();
        await Promise.all(fleet.nodes.map((node, from) => node.run(startLoad, from)));
        await someLoad();
        await strike(fleet.deployment, stream);
        await someLoad();
        const sent = await Promise.all(fleet.nodes.map((node) => node.run(stopLoad)));
        await fleet.settle(clients);
        await allAreBack();
        const recovered = await traveller.reconnect(fleet.node(1).url);
        await fleet.settle([traveller]);

        const lost = (await lostByEach()).map((count, i) => count - before[i]!);
        for (const [i, client] of clients.entries()) {
          expect(missedOf(client, sent)).toBe(lost[i]);
        }
        if (!promotes) {
          expect(lost).toEqual([0, 0, 0]);
        }
        // What Redis has lost may end a session, which its client learns: entries unread, or read and gone since.
        const [replacements, refusal] = await fleet.node(1).run(({ seen }) => [seen[2], seen[3]] as [number, string]);
        const isToldWhy = recovered || lost[1]! > 0 || (promotes && replacements > 0);
        expect({ isToldWhy, refusal }).toEqual({ isToldWhy: true, refusal });
        if (recovered) {
          expect(missedOf(traveller, sent)).toBe(lost[1]);
        }
        for (const node of fleet.nodes) {
          const ids = await node.run(async ({ io }) => (await io.fetchSockets()).map(({ id }) => id));
          expect(ids.sort()).toEqual([...clients, traveller].map(({ id }) => id).sort());
        }
      },
      60_000,
    );

    /** Waits until each node has broadcast a good deal more. */
    async function someLoad(): Promise<void> {
      const count = (): Promise<number[]> => Promise.all(fleet.nodes.map((node) => node.run(({ seen }) => seen[0])));
      const before = await count();
      await until(async () => (await count()).every((n, i) => n >= before[i]! + BROADCASTS), { what: 'load' });
    }

    /** Waits until every node can use all of Redis, and knows that the others can. */
    async function allAreBack(): Promise<void> {
      const look = async ({ io, node }: TaskContext) => [node!.status().state, await io.of('/').adapter.serverCount()];
      await until(
        async () => {
          const states = await Promise.all(fleet.nodes.map((node) => node.run(look)));
          return states.every(([state, servers]) => state === 'running' && servers === 3);
        },
        { what: 'all nodes to be back' },
      );
    }

    /** Entries that each node has reported as lost. */
    function lostByEach(): Promise<number[]> {
      const count = ({ node }: TaskContext, index: number): number => node!.status().streams[index]!.counters.lost;
      return Promise.all(fleet.nodes.map((node) => node.run(count, index)));
    }
  });
}

/** Counts how often the stream is replaced by one that lacks entries. */
function watchReplacements({ node, seen }: TaskContext): void {
  seen[2] = 0;
  seen[3] = 'none';
  node!.subscribe({
    onEvent: (event) => {
      if (event.type === 'stream-replaced') seen[2]++;
      if (event.type === 'recovery-refused') seen[3] = event.reason;
    },
  });
}

function startLoad({ io, seen }: TaskContext, from: number): void {
  seen[0] = 0;
  seen[1] = setInterval(() => void io.emit('load', from, seen[0]++), 5);
}

/** Returns how many broadcasts there were. */
function stopLoad({ seen }: TaskContext): number {
  clearInterval(seen[1]);
  return seen[0];
}

/** How many of the broadcasts a client lacks, none of which it was given twice or out of their sender's order. */
function missedOf(client: TestClient, sent: number[]): number {
  const received = sent.map((_, from) =>
    client.argumentsOf('load').flatMap(([sender, n]) => (sender === from ? [n as number] : [])),
  );
  for (const numbers of received) {
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
  }
  return sent.reduce((sum, count, from) => sum + count - received[from]!.length, 0);
}
