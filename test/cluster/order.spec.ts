import { beforeAll, describe, expect, test } from '@jest/globals';
import type { Socket } from 'socket.io-client';
import { observe } from '../faults/record.js';
import { Member, RedisServer, until } from '../kit/index.js';

const ROUNDS = 200;

/** What each client receives and each server hears, in order: the program is run on the first of three nodes. */
describe('what one node does is seen in its order by the others, by the log and by PUB/SUB:', () => {
  let members: [Member, Member, Member];
  let sender: Member;
  /** By node: what its client, or the server itself, was given. */
  let seen: unknown[][];

  beforeAll(async () => {
    const redis = await RedisServer.start();
    const start = (): Promise<Member> => Member.start({ port: redis.port });
    members = [await start(), await start(), await start()];
    [sender] = members;
    await until(() => members.every(({ node }) => node.nodes().length === 3), { what: 'all to be known' });
    members.forEach(({ socket, io }, i) => {
      const note = (value: unknown): unknown => seen[i]!.push(value);
      socket.on('a', note);
      socket.on('b', (value: unknown, answer?: (value: unknown) => void) => {
        note(value);
        answer?.(value);
      });
      io.on('s', (value: unknown) => note(value));
    });
  });

  const inOrder = (...kinds: string[]): string[] =>
    Array.from({ length: ROUNDS }, (_, i) => kinds.map((kind) => `${kind}${i}`)).flat();

  const run = async (name: string, program: (i: number) => unknown): Promise<void> => {
    seen = [[], [], []];
    const since = performance.now();
    for (let i = 0; i < ROUNDS; i++) {
      await program(i);
    }
    observe(`${ROUNDS} times ${name}`, `${((performance.now() - since) / ROUNDS).toFixed(1)} ms each`);
  };
  const areIn = (count: number, nodes: number[]): Promise<unknown> =>
    until(() => nodes.every((i) => seen[i]!.length >= count), { what: `${count} events` });

  test('emit() then emitWithAck()', async () => {
    await run('emit() then emitWithAck()', async (i) => {
      sender.io.emit('a', `a${i}`);
      expect(await sender.io.timeout(5_000).emitWithAck('b', `b${i}`)).toHaveLength(3);
    });
    await areIn(2 * ROUNDS, [0, 1, 2]);
    expect(seen).toEqual([inOrder('a', 'b'), inOrder('a', 'b'), inOrder('a', 'b')]);
  });

  test('emitWithAck() then emit(), without waiting for the answers', async () => {
    const answers: Promise<unknown[]>[] = [];
    await run('emitWithAck() then emit()', async (i) => {
      answers.push(sender.io.timeout(5_000).emitWithAck('b', `b${i}`) as Promise<unknown[]>);
      sender.io.emit('a', `a${i}`);
      await new Promise((resolve) => setImmediate(resolve));
    });
    expect((await Promise.all(answers)).map(({ length }) => length)).toEqual(answers.map(() => 3));
    await areIn(2 * ROUNDS, [0, 1, 2]);
    expect(seen).toEqual([inOrder('b', 'a'), inOrder('b', 'a'), inOrder('b', 'a')]);
  });

  test('socketsJoin() then fetchSockets(), and socketsLeave() then fetchSockets()', async () => {
    const counts: number[] = [];
    await run('socketsJoin() then fetchSockets()', async (i) => {
      const room = `room ${i}`;
      sender.io.socketsJoin(room);
      counts.push((await sender.io.in(room).fetchSockets()).length);
      sender.io.in(room).socketsLeave(room);
      counts.push((await sender.io.in(room).fetchSockets()).length);
    });
    expect(counts).toEqual(Array.from({ length: ROUNDS }, () => [3, 0]).flat());
  });

  test('emit() then serverSideEmit(), and volatile emits in between', async () => {
    const atClients: unknown[][] = [[], [], []];
    const sockets: Socket[] = members.map(({ socket }) => socket);
    sockets.forEach((socket, i) => socket.on('v', (value: unknown) => atClients[i]!.push(value)));
    sockets.forEach((socket, i) => socket.on('a', (value: unknown) => atClients[i]!.push(value)));
    // What a server hears is compared with what it has delivered then: its adapter notes both.
    const delivered: number[] = [0, 0, 0];
    const early: string[] = [];
    members.forEach(({ io }, i) => {
      const { adapter } = io.of('/') as unknown as { adapter: { deliver(...args: unknown[]): void } };
      const deliver = adapter.deliver.bind(adapter);
      adapter.deliver = (...args) => {
        delivered[i]!++;
        deliver(...args);
      };
      io.on('count', (expected: number) => {
        if (delivered[i]! < expected) early.push(`node ${i}: ${delivered[i]} of ${expected}`);
        seen[i]!.push('count');
      });
    });
    await run('emit() then serverSideEmit()', async (i) => {
      sender.io.emit('a', `a${i}`);
      sender.io.volatile.emit('v', `v${i}`);
      sender.io.serverSideEmit('count', i + 1);
      if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    });
    await until(() => [1, 2].every((i) => seen[i]!.filter((what) => what === 'count').length === ROUNDS), {
      what: 'all',
    });
    expect(early).toEqual([]);
    const last = `a${ROUNDS - 1}`;
    await until(() => atClients.every((of) => of.includes(last)), { what: 'all events' });
    for (const of of atClients) {
      // Of the volatile ones some are lost, when the connection is busy; none comes too early.
      expect(of).toEqual(inOrder('a', 'v').filter((event) => event.startsWith('a') || of.includes(event)));
    }
  });
});
