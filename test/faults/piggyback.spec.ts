import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from '@jest/globals';
import { closeAfterwards, from, numbers, RedisServer, RespProxy, TcpProxy, until, type Member } from '../kit/index.js';
import { Random } from '../kit/random.js';
import { SocketServer } from '../kit/socket-server.js';
import { TestClient } from '../kit/test-client.js';
import { startNode } from '../recovery/recovery-node.js';

/** Emits some thousand messages a second, so that appends and reads are delayed, until it is told to stop. */
class FastEmitter {
  private readonly timer: NodeJS.Timeout;
  /** How many messages each has emitted. */
  sent = 0;

  constructor(private readonly senders: readonly Pick<Member, 'io'>[]) {
    this.timer = closeAfterwards(setInterval(() => this.emit(), 2));
  }

  stop(): number {
    clearInterval(this.timer);
    return this.sent;
  }

  private emit(): void {
    for (let n = 0; n < 8; n++, this.sent++) {
      this.senders.forEach(({ io }, i) => io.emit('msg', [i, this.sent]));
    }
  }
}

const OPTIONS = { heartbeatInterval: 300, heartbeatTimeout: 3_000, blockTimeInMs: 1_000 };

/** Of the commands that Redis has executed lately, for those that append: what each connection is for. */
async function appendingConnections(redis: RedisServer): Promise<string[]> {
  const log = (await redis.command('SLOWLOG', 'GET', '512')) as [number, number, number, string[], string, string][];
  return log.filter(([, , , [command]]) => command?.toUpperCase() === 'XADD').map(([, , , , , name]) => name);
}

describe.each(['ioredis 6', 'iovalkey', 'redis 6'] as const)('messages that come fast, with %s', (client) => {
  test('arrive once and in order while the connections that carry them are cut, one, the other or both', async () => {
    const redis = await RedisServer.start({ config: ['slowlog-log-slower-than 0', 'slowlog-max-len 512'] });
    const settings = { adapter: 'ours' as const, client, address: { topology: 'single' as const, port: redis.port } };
    const servers = await Promise.all(
      [0, 1].map(() => SocketServer.start({ ...settings, options: OPTIONS, server: {} })),
    );
    servers.forEach((server) => closeAfterwards(server));
    await until(async () => (await servers[0]!.io.of('/').adapter.serverCount()) === 2, { what: 'both servers' });
    const clients = await Promise.all(servers.map(({ url }) => TestClient.connect(url)));
    clients.forEach((one) => closeAfterwards(one));
    const received = (): unknown[][] => clients.map((one) => one.argumentsOf('msg').map(([value]) => value));
    const random = new Random(7);
    const emitter = new FastEmitter(servers);

    for (let cut = 0; cut < 12; cut++) {
      await redis.command('SLOWLOG', 'RESET');
      const isWithReads = async (): Promise<boolean> => {
        const names = new Set((await appendingConnections(redis)).filter((name) => name.endsWith(':reader')));
        return names.size === servers.length;
      };
      await until(isWithReads, { what: 'appends with reads of both' });
      const roles = random.pick([[':reader'], [':commands'], [':reader', ':commands']]);
      await redis.killClients(({ name }) => roles.some((role) => name.endsWith(role)));
      await sleep(random.between(0, 100));
    }
    const sent = emitter.stop();

    await until(() => received().every(({ length }) => length >= 2 * sent), { what: 'all messages', timeout: 20_000 });
    for (const values of received()) {
      for (const sender of [0, 1]) {
        expect(from(sender, values)).toEqual(numbers(sent));
      }
    }
    for (const { node } of servers) {
      expect(node!.status().streams[0]!.counters).toMatchObject({ lost: 0, dropped: 0, rejected: 0 });
    }
  }, 90_000);
});

describe('appends that leave with a read', () => {
  const quiet = { heartbeatInterval: 8_000, heartbeatTimeout: 20_000, blockTimeInMs: 20_000 };
  const server = { connectionStateRecovery: undefined };

  test('are there while messages come fast, and not while they come slowly', async () => {
    const redis = await RedisServer.start();
    const reads = await RespProxy.start(redis.port, (command) => ({ send: command }));
    const node = await startNode({ port: redis.port, readerPort: reads.port, adapter: quiet, server });
    for (const i of numbers(50)) {
      node.io.emit('msg', [0, i]);
      await sleep(5);
    }
    expect(reads.count('XADD')).toBe(0);

    const emitter = new FastEmitter([node]);
    await until(() => emitter.sent > 1_500, { what: 'many messages' });
    const sent = emitter.stop();
    await until(() => node.counters.read === 50 + sent, { what: 'all to be read back' });
    expect(reads.count('XADD')).toBeGreaterThan(0);
  });

  test('are none while the reader is at a former master, and commands at the new one', async () => {
    const former = await RedisServer.start();
    const master = await RedisServer.start({ replicaOf: former });
    await master.inSync();
    const reads = await RespProxy.start(former.port, (command) => ({ send: command }));
    const commands = await TcpProxy.start(former.port);
    const node = await startNode({ port: commands.port, readerPort: reads.port, adapter: quiet, server });
    const other = await startNode({ port: former.port, adapter: quiet, server });
    const emitter = new FastEmitter([node, other]);
    await until(() => reads.count('XADD') > 500, { what: 'appends with reads' });

    await master.inSync();
    await master.command('REPLICAOF', 'NO', 'ONE');
    commands.target(master.port);
    commands.cut();
    await until(() => node.eventsOf('redis-lost').length > 0, { what: 'the loss to be noticed' });
    await sleep(20); // what is on its way; the connection is back later than that
    const before = { appended: node.counters.appended, withReads: reads.count('XADD'), reads: reads.count('XREAD') };
    await until(() => node.counters.appended > before.appended + 500, { what: 'many more' });
    emitter.stop();
    expect(reads.count('XREAD')).toBeGreaterThan(before.reads); // what the other node appends keeps it busy
    expect(reads.count('XADD')).toBe(before.withReads);
  });
});
