import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import type { RemoteSocket } from 'socket.io';
import { Fleet, nameOf, type FleetNode, type Row } from '../kit/fleet.js';
import { until } from '../kit/index.js';
import { SocketServer, type TaskContext } from '../kit/socket-server.js';
import { TestClient, type TestClientOptions } from '../kit/test-client.js';
import { EMITTED_ARGUMENTS } from './arguments.js';

const ODD_NAMES = ['emoji-😀', 'sp ace', '#', 'a#b#', 'nul-\0-', 'ünï/cöde', 'line\nbreak', '{slot}', '__proto__', '*'];
const ODD_ROOMS = ['', ...ODD_NAMES, 'com,ma', '42', 42, 0, -1.5];

/** All that Socket.IO offers, across three nodes: written once, and run for each kind of cluster. */
export function describeFeatures(row: Row): void {
  describe(`all of Socket.IO across three nodes (${nameOf(row)})`, () => {
    const onlyOurs = row.nodes.every((kind) => kind === 'ours');
    let fleet!: Fleet; // unless it could not be started
    let unanswered: Promise<unknown>[];

    beforeAll(async () => {
      fleet = await Fleet.start(row);
      unanswered = await askInVain();
    }, 60_000);
    afterEach(() => fleet?.disconnectAll());
    afterAll(() => fleet?.close(), 30_000);

    /** Has each node in turn do something, and waits each time until the clients have what came of it. */
    async function eachNode<A extends unknown[]>(
      clients: TestClient[],
      task: (context: TaskContext, from: number, ...args: A) => void,
      ...args: A
    ): Promise<void> {
      for (const [index, node] of fleet.nodes.entries()) {
        await node.run(task, index, ...args);
        await fleet.settle(clients, { from: [node] });
      }
    }

    describe('broadcasts', () => {
      test('reach every client of every node once', async () => {
        const clients = [...(await fleet.connectToEach()), ...(await fleet.connectToEach())];
        await eachNode(clients, ({ io }, from) => void io.emit('hello', from));
        expect(receivedBy(clients)).toEqual(clients.map(() => [hello(0), hello(1), hello(2)]));
      });

      test('to a room reach the clients that are in it, and nobody else', async () => {
        const inside = await fleet.connectToEach({ rooms: ['room'] });
        const outside = await fleet.connectToEach({ rooms: ['other'] });
        await eachNode([...inside, ...outside], ({ io }, from) => void io.to('room').emit('hello', from));
        expect(receivedBy(inside)).toEqual(inside.map(() => [hello(0), hello(1), hello(2)]));
        expect(receivedBy(outside)).toEqual(outside.map(() => []));
      });

      test('to several rooms reach a client that is in more than one of them once', async () => {
        const clients = [
          await fleet.connect(0, { rooms: ['a', 'b'] }),
          await fleet.connect(1, { rooms: ['b'] }),
          await fleet.connect(2, { rooms: ['a', 'b', 'c'] }),
        ];
        await eachNode(clients, ({ io }, from) => void io.to(['a', 'b']).to('c').to('d').emit('hello', from));
        expect(receivedBy(clients)).toEqual(clients.map(() => [hello(0), hello(1), hello(2)]));
      });

      test('leave out the clients of rooms that are excepted', async () => {
        const [a, b, both, none] = await Promise.all(
          [['a'], ['b'], ['a', 'b'], []].map((rooms, i) => fleet.connect(i % 3, { rooms })),
        );
        const clients = [a!, b!, both!, none!];
        await eachNode(clients, ({ io }) => {
          io.except('a').emit('not a');
          io.in('a').except('b').emit('a, not b');
          io.except(['a', 'b']).emit('neither');
        });
        const thrice = (...events: string[]): unknown[] => [events, events, events].flat().map((event) => [event]);
        expect(receivedBy(clients)).toEqual([thrice('a, not b'), thrice('not a'), [], thrice('not a', 'neither')]);
      });

      test('of a socket leave that socket out', async () => {
        const clients = await fleet.connectToEach({ rooms: ['room'] });
        const ids = clients.map(({ id }) => id);
        await eachNode(
          clients,
          ({ io }, from, ids) => {
            const socket = io.sockets.sockets.get(ids[from]!)!;
            socket.broadcast.emit('hello', from);
            socket.to('room').emit('hello', from);
          },
          ids,
        );
        expect(receivedBy(clients)).toEqual([
          [hello(1), hello(1), hello(2), hello(2)],
          [hello(0), hello(0), hello(2), hello(2)],
          [hello(0), hello(0), hello(1), hello(1)],
        ]);
      });

      test('to a thousand rooms reach a client of all of them once', async () => {
        const rooms = Array.from({ length: 1_000 }, (_, i) => `room ${i}`);
        const clients = await fleet.connectToEach({ rooms });
        await eachNode(clients, ({ io }, from, rooms) => void io.to(rooms).emit('hello', from), rooms);
        expect(receivedBy(clients)).toEqual(clients.map(() => [hello(0), hello(1), hello(2)]));
      });

      test('that are local reach the clients of their node only', async () => {
        const clients = await fleet.connectToEach();
        await eachNode(clients, ({ io }, from) => void io.local.emit('hello', from));
        expect(receivedBy(clients)).toEqual([[hello(0)], [hello(1)], [hello(2)]]);
      });

      test('that are volatile reach the clients of all nodes, none twice', async () => {
        let tries = 0; // one is dropped when a connection is not writable at that moment
        for (const node of fleet.nodes) {
          const clients = await fleet.connectToEach();
          await until(
            async () => {
              await node.run(({ io }, n) => void io.volatile.emit('hello', n), tries++);
              return clients.every(({ received }) => received.length > 0);
            },
            { what: 'volatile broadcasts' },
          );
          for (const { received } of clients) {
            expect(new Set(received.map(([, n]) => n)).size).toBe(received.length);
          }
        }
      });

      test('keep their flag "compress" on every node', async () => {
        const clients = await fleet.connectToEach();
        const watch = ({ io, seen }: TaskContext): void => {
          seen.length = 0;
          for (const { conn } of io.sockets.sockets.values()) {
            conn.on('packetCreate', ({ data, options }) => {
              if (String(data).includes('pressed')) seen.push(options!.compress);
            });
          }
        };
        await Promise.all(fleet.nodes.map((node) => node.run(watch)));
        await eachNode(clients, ({ io }) => {
          io.compress(false).emit('pressed');
          io.compress(true).emit('pressed');
        });
        const compressed = await Promise.all(fleet.nodes.map((node) => node.run(({ seen }) => seen)));
        expect(compressed).toEqual(fleet.nodes.map(() => [false, true, false, true, false, true]));
      });
    });

    describe('namespaces and rooms', () => {
      test('have broadcasts of their own', async () => {
        const nsp = fleet.nsp('/own');
        await fleet.create(nsp);
        const inside = await fleet.connectToEach({ nsp, rooms: ['room'] });
        const outside = await fleet.connectToEach({ rooms: ['room'] });
        for (const [from, node] of fleet.nodes.entries()) {
          await node.run(({ io }, nsp, from) => void io.of(nsp).to('room').emit('hello', from), nsp, from);
          await fleet.settle(inside, { nsp, from: [node] });
        }
        await fleet.settle(outside);
        expect(receivedBy(inside)).toEqual(inside.map(() => [hello(0), hello(1), hello(2)]));
        expect(receivedBy(outside)).toEqual(outside.map(() => []));
      });

      test('may have any name, and so may rooms', async () => {
        for (const name of ODD_NAMES) {
          const nsp = fleet.nsp(`/${name}`);
          await fleet.create(nsp);
          const clients = await Promise.all(fleet.nodes.map((_, i) => fleet.connect(i, { nsp, rooms: [name] })));
          await fleet.node(0).run(({ io }, nsp, name) => void io.of(nsp).to(name).emit('hello'), nsp, name);
          await fleet.settle(clients, { nsp });
          expect({ name, received: receivedBy(clients) }).toEqual({ name, received: clients.map(() => [['hello']]) });
        }
      });

      test.each<[string, (context: TaskContext, prefix: string) => void]>([
        ['a pattern', ({ io }, prefix) => void io.of(new RegExp(`^${prefix}.*$`))],
        ['a function', ({ io }, prefix) => void io.of((name, _auth, next) => next(null, name.startsWith(prefix)))],
      ])('can be created by %s when a client asks for them', async (kind, create) => {
        const prefix = `/made by ${kind} `;
        await Promise.all(fleet.nodes.map((node) => node.run(create, prefix)));
        const [one, other] = [fleet.nsp(`${prefix}one`), fleet.nsp(`${prefix}other`)];
        const inOne = await fleet.connectToEach({ nsp: one });
        const inOther = await fleet.connectToEach({ nsp: other });
        await Promise.all([fleet.isKnown(one), fleet.isKnown(other)]);
        for (const [from, node] of fleet.nodes.entries()) {
          await node.run(({ io }, nsp, from) => void io.of(nsp).emit('hello', from), one, from);
          await fleet.settle(inOne, { nsp: one, from: [node] });
        }
        await fleet.settle(inOther, { nsp: other });
        expect(receivedBy(inOne)).toEqual(inOne.map(() => [hello(0), hello(1), hello(2)]));
        expect(receivedBy(inOther)).toEqual(inOther.map(() => []));
      });

      test('that only one node has can be asked for their sockets', async () => {
        const nsp = fleet.nsp('/on one node');
        const node = fleet.node(-1);
        await node.run(({ io }, nsp) => void io.of(nsp), nsp);
        const client = await fleet.connect(node, { nsp });
        const ask = async ({ io }: TaskContext, nsp: string) => (await io.of(nsp).fetchSockets()).map(({ id }) => id);
        expect(await node.run(ask, nsp)).toEqual([client.id]);
      });

      test('have rooms, which may have any name and be numbers', async () => {
        const clients = await Promise.all(ODD_ROOMS.map((room, i) => fleet.connect(i % 3, { rooms: [room] })));
        await eachNode(
          clients,
          ({ io }, _from, rooms) => rooms.forEach((room, i) => void io.to(room as string).emit('hello', i)),
          ODD_ROOMS,
        );
        expect(receivedBy(clients)).toEqual(ODD_ROOMS.map((_, i) => [hello(i), hello(i), hello(i)]));
      });
    });

    describe('acknowledgements', () => {
      const ask = ({ io }: TaskContext): Promise<unknown[]> => io.timeout(4_000).emitWithAck('ask', 'what?');
      const askRoom = ({ io }: TaskContext): Promise<unknown[]> => io.to('room').timeout(4_000).emitWithAck('ask');

      test('of a broadcast are those of all clients of all nodes', async () => {
        const clients = await connectAnswering(['a', 'b', 'c', 'd']);
        for (const node of fleet.nodes) {
          expect((await node.run(ask)).sort()).toEqual(['a', 'b', 'c', 'd']);
        }
        expect(clients[3]!.received).toEqual(fleet.nodes.map(() => ['ask', 'what?']));
      });

      test('of a broadcast to a room come from its clients only', async () => {
        await connectAnswering(['a', 'b'], { rooms: ['room'] });
        await connectAnswering(['not in the room']);
        for (const node of fleet.nodes) {
          expect((await node.run(askRoom)).sort()).toEqual(['a', 'b']);
        }
      });

      test('of a broadcast that reaches nobody are none, at once', async () => {
        for (const node of fleet.nodes) {
          expect(await node.run(ask)).toEqual([]);
        }
      });

      test('that do not come in time are an error, with those that came', async () => {
        await connectAnswering(['a', undefined, 'c']);
        const askInVain = ({ io }: TaskContext) =>
          new Promise((resolve) => {
            io.timeout(300).emit('ask', (error: Error | null, responses: unknown[]) =>
              resolve({ error: error?.message, responses: responses.sort() }),
            );
          });
        const outcomes = await Promise.all(fleet.nodes.map((node) => node.run(askInVain)));
        expect(outcomes).toEqual(fleet.nodes.map(() => ({ error: 'operation has timed out', responses: ['a', 'c'] })));
      });

      test('may hold binary data', async () => {
        await connectAnswering([Buffer.from([1, 2]), { bytes: Buffer.from([3]) }]);
        for (const node of fleet.nodes) {
          const answers = await node.run(async ({ io }) => {
            const responses = await io.timeout(4_000).emitWithAck('ask', Buffer.from('?'));
            return responses
              .map((response: any) => [...(Buffer.isBuffer(response) ? response : response.bytes)])
              .sort();
          });
          expect(answers).toEqual([[1, 2], [3]]);
        }
      });

      test('of one socket on another node can be waited for', async () => {
        const clients = await connectAnswering(['a', 'b', 'c']);
        const askOne = async ({ io }: TaskContext, id: string) => {
          const [socket] = await io.in(id).fetchSockets();
          return socket!.timeout(4_000).emitWithAck('ask', 1);
        };
        for (const [from, node] of fleet.nodes.entries()) {
          expect(await node.run(askOne, clients[(from + 1) % 3]!.id)).toBe(clients[(from + 1) % 3]!.answer);
        }
        expect(receivedBy(clients)).toEqual(clients.map(() => [['ask', 1]]));
      });

      test('of one socket on another node that do not come are an error', async () => {
        const [client] = await connectAnswering([undefined]);
        const outcome = await fleet.node(1).run(async ({ io }, id) => {
          const [socket] = await io.in(id).fetchSockets();
          return socket!
            .timeout(100)
            .emitWithAck('ask')
            .catch((error: Error) => error.message);
        }, client!.id);
        expect(outcome).toBe('operation has timed out');
      });
    });

    describe('an event for one socket', () => {
      test('arrives, and in the order of sending whether it asks for an acknowledgement or not', async () => {
        const clients = await connectAnswering(['a', 'b', 'c']);
        // With the ordering "log", what is for one socket is at once, so before what the log brings.
        const broadcasts = row.options?.ordering !== 'log';
        const emitMany = async ({ io }: TaskContext, id: string, broadcasts: boolean) => {
          const socket = io.sockets.sockets.get(id)!;
          const answers: Promise<unknown>[] = [];
          for (let i = 0; i < 40; i++) {
            if (i % 3 === 0) answers.push(socket.emitWithAck('hello', i));
            else if (broadcasts && i % 7 === 0) io.emit('hello', i);
            else if (broadcasts && i % 5 === 0) io.local.to(id).emit('hello', i);
            else socket.emit('hello', i);
          }
          return Promise.all(answers);
        };
        for (const [from, node] of fleet.nodes.entries()) {
          if (node.kind !== 'ours') continue; // the reference does not wait for Redis before what is not for others
          const { id, answer, received } = clients[from]!;
          received.length = 0;
          expect(await node.run(emitMany, id, broadcasts)).toEqual(Array.from({ length: 14 }, () => answer));
          await fleet.settle(clients, { from: [node] });
          expect(received).toEqual(Array.from({ length: 40 }, (_, i) => hello(i)));
        }
      });

      test('that is not acknowledged in time is an error', async () => {
        const [client] = await connectAnswering([undefined]);
        const outcome = await fleet.node(0).run(async ({ io }, id) => {
          const socket = io.sockets.sockets.get(id)!;
          return socket
            .timeout(100)
            .emitWithAck('ask')
            .catch((error: Error) => error.message);
        }, client!.id);
        expect(outcome).toBe('operation has timed out');
      });

      test('reaches it on another node', async () => {
        const clients = await fleet.connectToEach();
        const ids = clients.map(({ id }) => id);
        await eachNode(clients, ({ io }, from, ids) => void io.to(ids[(from + 1) % 3]!).emit('hello', from), ids);
        expect(receivedBy(clients)).toEqual([[hello(2)], [hello(0)], [hello(1)]]);
      });
    });

    describe('what a client is given does not depend on where it is connected:', () => {
      let alone: SocketServer;
      let direct: TestClient;
      let clients: TestClient[];

      beforeAll(async () => {
        const { address } = fleet.deployment;
        alone = await SocketServer.start({
          adapter: 'in-memory',
          client: row.client,
          address,
          options: {},
          server: {},
        });
      });
      afterAll(() => alone.close());

      test.each(EMITTED_ARGUMENTS)('$what', async ({ emit, changedByReference }) => {
        direct = await TestClient.connect(alone.url);
        emit(alone);
        const [event] = await direct.receives(1);
        direct.close();
        const nodes = fleet.nodes.filter(({ kind }) => kind === 'ours' || !changedByReference);
        clients = await fleet.connectToEach();
        for (const node of nodes) {
          await node.run(emit);
        }
        await fleet.settle(clients);
        expect(receivedBy(clients)).toStrictEqual(clients.map(() => nodes.map(() => event)));
      });
    });

    describe('sockets of all nodes', () => {
      test('can be made to join and leave rooms', async () => {
        for (const node of fleet.nodes) {
          const clients = await Promise.all([
            fleet.connect(0, { rooms: ['a'] }),
            fleet.connect(1, { rooms: ['a'] }),
            fleet.connect(2),
          ]);
          await node.run(({ io }) => {
            io.in('a').socketsJoin(['b', 'c']);
            io.socketsJoin('all');
            io.to('b').emit('b');
            io.to('c').emit('c');
            io.in('a').socketsLeave('b');
            io.to('b').emit('b again');
            io.to('all').emit('all');
            io.socketsLeave('all');
            io.to('all').emit('all again');
          });
          await fleet.settle(clients, { from: [node] });
          expect(receivedBy(clients)).toEqual([[['b'], ['c'], ['all']], [['b'], ['c'], ['all']], [['all']]]);
          await fleet.disconnectAll();
        }
      });

      test('can be made to join and leave rooms one by one', async () => {
        const clients = await fleet.connectToEach();
        const ids = clients.map(({ id }) => id);
        for (const [from, node] of fleet.nodes.entries()) {
          await node.run(
            async ({ io }, from, ids) => {
              io.in(ids[(from + 1) % 3]!).socketsJoin(`by id ${from}`);
              const [remote] = await io.in(ids[(from + 2) % 3]!).fetchSockets();
              remote!.join([`by socket ${from}`, 'left again']);
              remote!.leave('left again');
            },
            from,
            ids,
          );
        }
        await fleet.settle(clients);
        expect(await roomsOf(fleet.node(0), ids)).toEqual([
          ['by id 2', 'by socket 1'],
          ['by id 0', 'by socket 2'],
          ['by id 1', 'by socket 0'],
        ]);
      });

      test('can be disconnected from a namespace, and keep their connection', async () => {
        const nsp = fleet.nsp('/beside');
        await fleet.create(nsp);
        for (const node of fleet.nodes) {
          await Promise.all(fleet.nodes.map((node) => node.run(({ disconnects }) => disconnects.splice(0))));
          const clients = await fleet.connectToEach({ rooms: ['room'] });
          const spared = await fleet.connect(1);
          const beside = await Promise.all(clients.map((client, i) => fleet.connect(i, { nsp, beside: client })));
          await node.run(({ io }) => void io.in('room').disconnectSockets());
          await until(() => clients.every(({ disconnects }) => disconnects.length > 0), { what: 'disconnections' });
          await fleet.settle([spared]);
          await fleet.settle(beside, { nsp });
          expect(clients.map(({ disconnects }) => disconnects)).toEqual(clients.map(() => ['io server disconnect']));
          expect([spared, ...beside].map(({ disconnects }) => disconnects)).toEqual([[], [], [], []]);
          expect(await Promise.all(fleet.nodes.map((node) => node.run(({ disconnects }) => disconnects)))).toEqual(
            fleet.nodes.map(() => ['server namespace disconnect']),
          );
          await fleet.disconnectAll();
        }
      });

      test('can be disconnected with all of their connection', async () => {
        const nsp = fleet.nsp('/beside');
        await fleet.create(nsp);
        for (const node of fleet.nodes) {
          const clients = await fleet.connectToEach({ rooms: ['room'] });
          const spared = await fleet.connect(2);
          const beside = await Promise.all(clients.map((client, i) => fleet.connect(i, { nsp, beside: client })));
          await node.run(({ io }) => void io.in('room').disconnectSockets(true));
          await until(() => [...clients, ...beside].every(({ disconnects }) => disconnects.length > 0), {
            what: 'disconnections',
          });
          await fleet.settle([spared]);
          expect(clients.map(({ socket }) => socket.io._readyState)).toEqual(clients.map(() => 'closed'));
          expect(spared.disconnects).toEqual([]);
          await fleet.disconnectAll();
        }
      });

      test('can be disconnected one by one', async () => {
        for (const [from, node] of fleet.nodes.entries()) {
          const clients = await fleet.connectToEach();
          const other = clients.splice((from + 1) % 3, 1)[0]!;
          await node.run(async ({ io }, id) => {
            const [remote] = await io.in(id).fetchSockets();
            remote!.disconnect();
          }, other.id);
          await until(() => other.disconnects.length > 0, { what: 'the disconnection' });
          await fleet.settle(clients);
          expect(clients.map(({ disconnects }) => disconnects)).toEqual(clients.map(() => []));
        }
      });

      test('are listed with their rooms, data and handshake', async () => {
        const clients = await Promise.all(
          ['a', 'b', 'c'].map((name, i) => fleet.connect(i, { rooms: [name, 'room'], data: { name, tags: [i] } })),
        );
        const list = async ({ io }: TaskContext) =>
          (await io.fetchSockets()).map(({ id, rooms, data, handshake }) => ({
            id,
            rooms: [...rooms],
            data,
            auth: handshake.auth,
            address: handshake.address,
            query: handshake.query.EIO,
          }));
        for (const node of fleet.nodes) {
          const listed = await node.run(list);
          const expected = clients.map(({ id }, i) => {
            const name = 'abc'[i]!;
            const data = { name, tags: [i] };
            const auth = { rooms: [name, 'room'], data };
            return { id, rooms: [id, name, 'room'], data, auth, address: expect.any(String), query: '4' };
          });
          expect(listed.sort((a, b) => a.data.name.localeCompare(b.data.name))).toEqual(expected);
        }
      });

      test('are listed by room, by exception, and for one node', async () => {
        const clients = await Promise.all([
          fleet.connect(0, { rooms: ['a'] }),
          fleet.connect(1, { rooms: ['a', 'b'] }),
          fleet.connect(2, { rooms: ['b'] }),
        ]);
        const ids = clients.map(({ id }) => id);
        const list = async ({ io }: TaskContext, ids: string[]) => {
          const indexes = (sockets: RemoteSocket<any, any>[]) => sockets.map(({ id }) => ids.indexOf(id)).sort();
          return {
            a: indexes(await io.in('a').fetchSockets()),
            aOrB: indexes(await io.in(['a', 'b']).fetchSockets()),
            notA: indexes(await io.except('a').fetchSockets()),
            bNotA: indexes(await io.in('b').except('a').fetchSockets()),
            nobody: indexes(await io.in('nobody').fetchSockets()),
            local: indexes(await io.local.fetchSockets()),
          };
        };
        for (const [index, node] of fleet.nodes.entries()) {
          expect(await node.run(list, ids)).toEqual({
            a: [0, 1],
            aOrB: [0, 1, 2],
            notA: [2],
            bNotA: [2],
            nobody: [],
            local: [index],
          });
        }
      });
    });

    describe('servers', () => {
      test('are counted', async () => {
        const count = ({ io }: TaskContext): Promise<number> => io.of('/').adapter.serverCount();
        expect(await Promise.all(fleet.nodes.map((node) => node.run(count)))).toEqual([3, 3, 3]);
      });

      test('emit to each other, and not to themselves, what one of them emits', async () => {
        await Promise.all(
          fleet.nodes.map((node) =>
            node.run(({ io, seen }) => {
              seen.length = 0;
              io.removeAllListeners('news').on('news', (...args: unknown[]) => seen.push(args));
            }),
          ),
        );
        for (const [from, node] of fleet.nodes.entries()) {
          await node.run(({ io }, from) => void io.serverSideEmit('news', from, { bytes: Buffer.from('x') }), from);
        }
        const seenBy = (node: FleetNode): Promise<unknown[]> =>
          node.run(({ seen }) => seen.map(([from, { bytes }]) => [from, Buffer.from(bytes).toString()]).sort());
        await until(async () => (await Promise.all(fleet.nodes.map(seenBy))).every(({ length }) => length >= 2), {
          what: 'the news',
        });
        expect(await Promise.all(fleet.nodes.map(seenBy))).toEqual([
          [
            [1, 'x'],
            [2, 'x'],
          ],
          [
            [0, 'x'],
            [2, 'x'],
          ],
          [
            [0, 'x'],
            [1, 'x'],
          ],
        ]);
      });

      test('answer each other', async () => {
        const answer = ({ io }: TaskContext, name: number): void => {
          io.removeAllListeners('who?').on('who?', (greeting, reply) => reply({ name, greeting }));
        };
        await Promise.all(fleet.nodes.map((node, index) => node.run(answer, index)));
        const ask = ({ io }: TaskContext, greeting: string): Promise<any[]> =>
          io.serverSideEmitWithAck('who?', greeting);
        for (const [from, node] of fleet.nodes.entries()) {
          const answers = await node.run(ask, 'hi');
          const others = [0, 1, 2].filter((index) => index !== from);
          expect(answers.sort((a, b) => a.name - b.name)).toEqual(others.map((name) => ({ name, greeting: 'hi' })));
        }
      });

      test('that do not answer within five seconds are an error, with the answers of the others', async () => {
        expect(await Promise.all(unanswered)).toEqual(
          fleet.nodes.map((_, from) => ({
            error: 'timeout reached: only 1 responses received out of 2',
            answers: [(from + 1) % 3],
          })),
        );
      });
    });

    describe('what cannot be serialized:', () => {
      test.each<[string, (context: TaskContext) => void]>([
        ['a BigInt', ({ io }) => void io.emit('hello', 1n)],
        ['a BigInt beside binary data', ({ io }) => void io.emit('hello', Buffer.from('x'), { big: 1n })],
        [
          'a circular reference',
          ({ io }) => {
            const circle: any = {};
            circle.circle = circle;
            io.to('room').emit('hello', circle);
          },
        ],
        [
          'a circular reference beside binary data',
          ({ io }) => {
            const circle: any[] = [Buffer.from('x')];
            circle.push({ circle });
            io.emit('hello', circle);
          },
        ],
        ['a function, for servers', ({ io }) => void io.serverSideEmit('hello', { call: () => 1 })],
        ['a BigInt, volatile', ({ io }) => void io.volatile.emit('hello', 1n)],
      ])('%s is refused with a TypeError by our nodes, and breaks nothing', async (_what, emit) => {
        const clients = await fleet.connectToEach({ rooms: ['room'] });
        for (const [from, node] of fleet.nodes.entries()) {
          if (node.kind !== 'ours') continue;
          // Node's own errors are of another realm than jest's: looked at by their name.
          const thrown = await node.run(emit).catch((error: Error) => error);
          expect([(thrown as Error).name, (thrown as Error).message]).toEqual(['TypeError', expect.any(String)]);
          await node.run(({ io }, from) => void io.emit('hello', from), from);
          await fleet.settle(clients, { from: [node] });
        }
        const ours = fleet.nodes.flatMap(({ kind }, from) => (kind === 'ours' ? [hello(from)] : []));
        expect(receivedBy(clients)).toEqual(clients.map(() => ours));
      });
    });

    if (row.recovery) {
      describe('a client that lost its connection', () => {
        test('is recovered on the next node, with its id, rooms and data, and gets what it missed', async () => {
          for (const [from, home] of fleet.nodes.entries()) {
            const refuge = fleet.node((from + 1) % 3);
            const witness = await fleet.connect(refuge, { rooms: ['room'] });
            const client = await fleet.connect(home, { rooms: ['room', 'other', 'muted'], data: { name: 'x' } });
            const { id } = client;
            await fleet.settle([witness, client]);
            client.cut();
            await isGone(home, id);
            for (const [index, node] of fleet.nodes.entries()) {
              await node.run(
                ({ io }, index, id) => {
                  io.to('room').emit('room', index, Buffer.from('x'));
                  io.to('elsewhere').emit('elsewhere');
                  io.to('room').except('muted').emit('not for the muted');
                  io.to(id).emit('for it alone', index);
                  io.emit('all', index);
                },
                index,
                id,
              );
              await fleet.settle([witness], { from: [node] });
            }
            expect(await client.reconnect(refuge.url)).toBe(true);
            await fleet.settle([witness, client]);
            expect(client.id).toBe(id);
            // In the order of each sender; between senders there is none to keep.
            expect([...client.received].sort((one, other) => Number(one[1]) - Number(other[1]))).toEqual(
              [0, 1, 2].flatMap((index) => [
                ['room', index, Buffer.from('x')],
                ['for it alone', index],
                ['all', index],
              ]),
            );
            const [socket] = await fleet.node(0).run(async ({ io }, id) => {
              const sockets = await io.in(id).fetchSockets();
              return sockets.map(({ rooms, data }) => ({ rooms: [...rooms].sort(), data }));
            }, id);
            expect(socket).toEqual({ rooms: [id, 'muted', 'other', 'room'].sort(), data: { name: 'x' } });
            await fleet.disconnectAll();
          }
        });

        test('is recovered in the rooms that it was put into and taken out of by another node', async () => {
          const client = await fleet.connect(0, { rooms: ['left'] });
          await fleet.settle([client]);
          await fleet.node(1).run(({ io }) => {
            io.socketsJoin('joined');
            io.socketsLeave('left');
          });
          await fleet.settle([client]);
          client.cut();
          await isGone(fleet.node(0), client.id);
          const witness = await fleet.connect(1);
          await fleet.node(1).run(({ io }) => {
            io.to('joined').emit('joined');
            io.to('left').emit('left');
          });
          await fleet.settle([witness]);
          expect(await client.reconnect(fleet.node(2).url)).toBe(true);
          await fleet.settle([client]);
          expect(client.received).toEqual([['joined']]);
        });

        if (onlyOurs) {
          test('does not get the volatile broadcasts that it missed', async () => {
            const client = await fleet.connect(0);
            await fleet.settle([client]);
            client.cut();
            await isGone(fleet.node(0), client.id);
            const witness = await fleet.connect(1);
            await fleet.node(1).run(({ io }) => {
              io.volatile.emit('volatile');
              io.emit('kept');
            });
            await fleet.settle([witness]);
            expect(await client.reconnect(fleet.node(1).url)).toBe(true);
            await fleet.settle([client]);
            expect(client.received).toEqual([['kept']]);
          });
        }

        test('starts anew when it said goodbye', async () => {
          const client = await fleet.connect(0, { rooms: ['room'] });
          await fleet.settle([client]);
          const { id } = client;
          client.close();
          await isGone(fleet.node(0), id);
          expect(await client.reconnect(fleet.node(1).url)).toBe(false);
          expect(client.id).not.toBe(id);
        });
      });
    }

    /** A question of each node that only one of the two others answers; it takes five seconds. */
    async function askInVain(): Promise<Promise<unknown>[]> {
      await Promise.all(
        fleet.nodes.map((node, index) =>
          node.run(({ io }, index) => {
            io.on(`only ${index} answers`, (reply: (answer: number) => void) => reply(index));
          }, index),
        ),
      );
      const ask = ({ io }: TaskContext, event: string): Promise<unknown> =>
        new Promise((resolve) => {
          io.serverSideEmit(event, (error: Error | null, answers: unknown[]) =>
            resolve({ error: error?.message, answers }),
          );
        });
      return fleet.nodes.map((node, from) => node.run(ask, `only ${(from + 1) % 3} answers`));
    }

    /** Clients, spread over the nodes, each with an answer to give. */
    function connectAnswering(answers: unknown[], options?: TestClientOptions): Promise<TestClient[]> {
      return Promise.all(answers.map((answer, i) => fleet.connect(i % 3, { ...options, answer })));
    }
  });
}

function hello(from: number): unknown[] {
  return ['hello', from];
}

function receivedBy(clients: TestClient[]): unknown[][][] {
  return clients.map(({ received }) => received);
}

/** The rooms of these sockets, but for their own. */
function roomsOf(node: FleetNode, ids: string[]): Promise<string[][]> {
  return node.run(async ({ io }, ids) => {
    const sockets = await io.fetchSockets();
    return ids.map((id) => [...sockets.find((socket) => socket.id === id)!.rooms].filter((room) => room !== id).sort());
  }, ids);
}

async function isGone(node: FleetNode, id: string): Promise<void> {
  await until(() => node.run(({ io }, id) => !io.sockets.sockets.has(id), id), { what: 'the socket to be gone' });
}
