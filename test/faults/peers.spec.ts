import { afterEach, describe, expect, test } from '@jest/globals';
import { Member, type NodeProcess, RedisServer, startMemberProcess, TcpProxy, until } from '../kit/index.js';
import { observe } from './record.js';

/** Milliseconds after which requests would fail. */
const TIMEOUT = 5_000;

describe('a peer that owes an answer', () => {
  /** Between Redis and the peer. */
  let proxy: TcpProxy;
  let peer: NodeProcess;

  afterEach(() => peer.resume());

  test.each<[string, () => unknown]>([
    ['killed', () => peer.kill()],
    ['stopped', () => peer.pause()],
    ['cut off from Redis', () => proxy.blackhole()],
  ])('and is %s ends nobody’s request by a timeout: it gives what the others said', async (how, end) => {
    const redis = await RedisServer.start();
    proxy = await TcpProxy.start(redis.port);
    const adapter = { heartbeatInterval: 200, heartbeatTimeout: 1_000 };
    const [asking, other] = [
      await Member.start({ port: redis.port, adapter }),
      await Member.start({ port: redis.port, adapter }),
    ];
    peer = await startMemberProcess({ port: proxy.port, adapter });
    await until(() => [asking, other].every(({ node }) => node.nodes().length === 3), { what: 'all to be known' });
    other.io.on('who?', (answer: (name: string) => void) => answer('other'));
    await peer.call('beSilent');

    const since = performance.now();
    const answers = Promise.all([asking.io.serverSideEmitWithAck('who?'), asking.io.timeout(TIMEOUT).fetchSockets()]);
    await until(async () => (await peer.call<number>('unanswered')) === 2, { what: 'the requests to reach the peer' });
    await end();
    const [names, sockets] = await answers;

    const ms = Math.round(performance.now() - since);
    expect(names).toEqual(['other']);
    expect(sockets).toHaveLength(2);
    expect(ms).toBeLessThan(TIMEOUT - 500);
    await until(() => statesOf(asking).length === 2, { what: 'the peer to be down' });
    expect(statesOf(asking)).toEqual(['suspected', 'down']);
    observe(
      `peer ${how} that owes answers to \`fetchSockets\` and \`serverSideEmit\``,
      `both ended after ${ms} ms with what the others said (\`heartbeatTimeout\` 1,000 ms)`,
    );
  });
});

/** What was reported of the peer after it joined. */
function statesOf({ events }: Member): string[] {
  return events.flatMap((event) => (/^node-(suspected|down|left|back)$/.test(event.type) ? [event.type.slice(5)] : []));
}
