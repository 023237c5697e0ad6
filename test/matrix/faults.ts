import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { Deployment, Topology } from '../e2e/deployment.js';
import { Fleet, nameOf, type Row } from '../e2e/fleet.js';
import type { TaskContext } from '../e2e/socket-server.js';
import type { TestClient } from '../e2e/test-client.js';
import { until } from '../kit/index.js';

const STREAM = 'socket.io';
/** Broadcasts of each node before the fault, and after it. */
const BROADCASTS = 50;

interface Fault {
  name: string;
  strike(deployment: Deployment): Promise<unknown>;
  /** Whether a replica may take over: what it lacks is lost to Redis. */
  promotes?: boolean;
}

function faultsOf(topology: Topology): Fault[] {
  return [
    {
      name: 'the connections of the readers are cut',
      strike: ({ servers }) =>
        Promise.all(servers.map((server) => server.killClients(({ name }) => name.endsWith(':reader')))),
    },
    ...(topology === 'cluster'
      ? [
          {
            name: 'the slot of the stream moves to another master',
            strike: (deployment: Deployment) => deployment.migrateSlot!(STREAM),
          },
        ]
      : []),
    {
      name: 'the server of the stream is killed and started again',
      strike: async (deployment) => {
        const server = await deployment.masterOf(STREAM);
        await server.kill();
        await server.restart();
      },
      promotes: topology !== 'single', // unless it is back before it is missed
    },
    ...(topology === 'single'
      ? []
      : [
          {
            name: 'the master of the stream is killed and its replica promoted',
            strike: (deployment: Deployment) => deployment.failover!(STREAM),
            promotes: true,
          },
        ]),
  ];
}

/** Faults of Redis while three nodes broadcast: written once, and run for each kind of client, server and topology. */
export function describeFaults(row: Row): void {
  describe(`faults (${nameOf(row)})`, () => {
    let fleet: Fleet;

    beforeAll(async () => {
      fleet = await Fleet.start({ ...row, recovery: true }, {}, { config: ['appendonly yes'] });
    }, 60_000);
    afterEach(() => fleet?.disconnectAll());
    afterAll(() => fleet?.close(), 30_000);

    test.each(faultsOf(row.topology))('$name', async ({ strike, promotes = false }) => {
      const clients = await fleet.connectToEach();
      const traveller = await fleet.connect(0);
      await fleet.settle([...clients, traveller]);
      const before = await lostByEach();

      traveller.cut();
      await Promise.all(fleet.nodes.map((node, from) => node.run(startLoad, from)));
      await someLoad();
      await strike(fleet.deployment);
      await someLoad();
      const sent = await Promise.all(fleet.nodes.map((node) => node.run(stopLoad)));
      await fleet.settle(clients);
      const recovered = await traveller.reconnect(fleet.node(1).url);
      await fleet.settle([traveller]);

      const lost = (await lostByEach()).map((count, i) => count - before[i]!);
      for (const [i, client] of clients.entries()) {
        expect(missedOf(client, sent)).toBe(lost[i]);
      }
      if (process.env.SHOW) console.log(lost, recovered);
      if (!promotes) {
        expect(lost).toEqual([0, 0, 0]);
      }
      expect({ recovered, lost }).toEqual({ recovered: true, lost });
      expect(missedOf(traveller, sent)).toBe(lost[1]);
      for (const node of fleet.nodes) {
        const ids = await node.run(async ({ io }) => (await io.fetchSockets()).map(({ id }) => id));
        expect(ids.sort()).toEqual([...clients, traveller].map(({ id }) => id).sort());
      }
    }, 60_000);

    /** Waits until each node has broadcast a good deal more. */
    async function someLoad(): Promise<void> {
      const count = (): Promise<number[]> => Promise.all(fleet.nodes.map((node) => node.run(({ seen }) => seen[0])));
      const before = await count();
      await until(async () => (await count()).every((n, i) => n >= before[i]! + BROADCASTS), { what: 'load' });
    }

    /** Entries that each node has told to be lost. */
    function lostByEach(): Promise<number[]> {
      return Promise.all(fleet.nodes.map((each) => each.run(({ node }) => node!.status().streams[0]!.counters.lost)));
    }
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
