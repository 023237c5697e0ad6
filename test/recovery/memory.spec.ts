import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import type { ClusterNodeStatus } from '../../lib/adapter/index.js';
import { type NodeProcess, numbers, RedisServer, until } from '../kit/index.js';
import { startRecoveryProcess, type RecoveryProcessOptions } from './recovery-process.js';
import { Visitor } from './visitor.js';

const MEBIBYTE = 1024 * 1024;
const MESSAGES = 250;

async function startChild(port: number, name: string): Promise<NodeProcess> {
  const options: RecoveryProcessOptions = { kind: 'ours', port, adapter: { replayMaxBytes: 128 * MEBIBYTE } };
  return startRecoveryProcess(options, { name, execArgv: ['--expose-gc', '--max-old-space-size=600'] });
}

/** By how many bytes a process has grown; what it has let go of may still be in the buffers of its connections for a while. */
async function growth(node: NodeProcess, before: number, most: number): Promise<number> {
  for (let tries = 1; ; tries++) {
    await sleep(500);
    const size = (await node.call<number>('memoryUsed')) - before;
    if (size < most || tries === 20) {
      return size;
    }
  }
}

describe('what a node remembers of the log', () => {
  // About 25 MB of JSON; decoded, they would take some 330 MB.
  test.each([
    ['characters of one byte', 'a name'],
    ['characters of two bytes', 'имя'],
  ])(
    'takes as much memory as its status says, though clients have been given it: %s',
    async (what, text) => {
      const redis = await RedisServer.start();
      const [sender, node] = [await startChild(redis.port, 'sender'), await startChild(redis.port, 'node')];
      const url = await node.call<string>('url');
      const visitors = numbers(3).map(() => new Visitor(url, { rooms: ['red'] }));
      await until(() => visitors.every(({ isConnected }) => isConnected), { what: 'the clients to connect' });
      let received = 0;
      visitors.forEach(({ socket }) => socket.on('objects', () => received++));
      await node.call('emit', 'first');
      await until(() => visitors.every(({ offset }) => offset !== undefined), { what: 'the first message' });
      await Promise.all(visitors.map((visitor) => visitor.stayAway()));
      const before = await node.call<number>('memoryUsed');

      await sender.call('emitObjects', MESSAGES, 2_000, text);
      const status = async (): Promise<ClusterNodeStatus['streams'][0]> =>
        (await node.call<ClusterNodeStatus>('status')).streams[0]!;
      await until(async () => (await status()).counters.read > MESSAGES, { what: 'all to be read', timeout: 30_000 });
      const { bytes } = (await status()).replay;
      const most = bytes + 20 * MEBIBYTE;
      const held = await growth(node, before, most);

      for (const [i, visitor] of visitors.entries()) {
        visitor.comeBack();
        await until(() => received === (i + 1) * MESSAGES, { what: 'all to be received', timeout: 30_000 });
        expect(visitor.refused).toBe(0);
      }
      const after = await growth(node, before, most);

      expect((await status()).replay.bytes).toBe(bytes);
      const figures = [bytes, held, after].map((size) => (size / MEBIBYTE).toFixed(1));
      console.log(
        `${what}: counted ${figures[0]} MiB, held ${figures[1]} MiB, after three clients were given it ${figures[2]} MiB`,
      );
      expect(bytes).toBeGreaterThan(20 * MEBIBYTE);
      for (const size of [held, after]) {
        expect(size).toBeLessThan(most);
        expect(size).toBeGreaterThan(0.8 * bytes);
      }
    },
    120_000,
  );
});
