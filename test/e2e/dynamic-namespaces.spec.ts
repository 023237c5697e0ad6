import { describe, expect, test } from '@jest/globals';
import { closeAfterwards, Member, RedisServer, TcpProxy, until } from '../kit/index.js';
import { TestClient } from '../kit/test-client.js';

const NSP = '/room-1';

async function enter(member: Member): Promise<TestClient> {
  return closeAfterwards(await TestClient.connect(member.url, { nsp: NSP, answer: 'here' }));
}

describe.each([
  [false, false],
  [true, false],
  [false, true],
  [true, true],
])(
  'A dynamic namespace that vanishes with its last client (sharded PUB/SUB: %s, recovery: %s)',
  (sharded, recovery) => {
    test('while Redis is away, and comes back or not, is one with that of the other nodes afterwards', async () => {
      const redis = await RedisServer.start();
      const proxy = await TcpProxy.start(redis.port);
      const server = { cleanupEmptyChildNamespaces: true, ...(recovery && { connectionStateRecovery: {} }) };
      const options = { client: false, server, adapter: { useShardedPubSub: sharded } };
      const stays = await Member.start({ port: redis.port, ...options });
      const loses = await Member.start({ port: proxy.port, ...options });
      for (const { io } of [stays, loses]) io.of(/^\/room-\d+$/).on('connection', (socket) => void socket.join('all'));
      const staying = await enter(stays);
      let coming = await enter(loses);
      const nsp = stays.io.of(NSP);
      const [list, counts] = sharded ? ['SHARDCHANNELS', 'SHARDNUMSUB'] : ['CHANNELS', 'NUMSUB'];
      /** How many subscriptions there are: each server has one of its own, and one that it shares with the others. */
      const subscriptions = async (): Promise<number> => {
        const channels = (await redis.command('PUBSUB', list, `*${NSP}*`)) as string[];
        const reply = (await redis.command('PUBSUB', counts, ...channels)) as (string | number)[];
        return reply.reduce<number>((sum, count, i) => sum + (i % 2 === 0 ? 0 : Number(count)), 0);
      };
      const hasServers = async (count: number): Promise<boolean> =>
        loses.node.status().state === 'running' &&
        (await nsp.adapter.serverCount()) === count &&
        (await subscriptions()) === 2 * count; // what has just lost them is counted, for a moment
      await until(() => hasServers(2), { what: 'both servers' });

      for (const isCut of [false, true]) {
        proxy.blackhole();
        loses.io.of(NSP).emit('before', isCut);
        coming.close();
        await until(() => !loses.io._nsps.has(NSP), { what: 'the namespace to vanish' });
        if (isCut) proxy.cut();
        coming = await enter(loses);
        loses.io.of(NSP).emit('after', isCut);
        nsp.emit('from there', isCut);
        proxy.heal();
        await until(() => hasServers(2), { what: 'both servers again' });
        await until(() => coming.argumentsOf('from there').length === 1, { what: 'what the other node has sent' });
        expect(await nsp.timeout(2_000).emitWithAck('ask')).toEqual(['here', 'here']);
        expect(await loses.io.of(NSP).timeout(2_000).emitWithAck('ask')).toEqual(['here', 'here']);
        expect(await nsp.in('all').fetchSockets()).toHaveLength(2);
        nsp.volatile.emit('volatile');
        await until(() => coming.argumentsOf('volatile').length === 1, { what: 'what is volatile' });
      }
      await until(() => staying.argumentsOf('after').length === 2, { what: 'what was sent while Redis was away' });
      const sent = staying.received.filter(([name]) => name === 'before' || name === 'after');
      expect(sent).toEqual([false, true].flatMap((isCut) => [['before', isCut], ['after', isCut]])); // prettier-ignore

      proxy.blackhole();
      coming.close();
      await until(() => !loses.io._nsps.has(NSP), { what: 'the namespace to vanish' });
      proxy.heal();
      proxy.cut();
      await until(() => hasServers(1), { what: 'one server' });
      expect(await nsp.timeout(2_000).emitWithAck('ask')).toEqual(['here']);
      const channels = await redis.command('PUBSUB', list, `*${NSP}*`);
      expect(channels).toHaveLength(2); // for all, and for the one server
    }, 30_000);
  },
);
