import { beforeEach, describe, expect, test } from '@jest/globals';
import { RecoveringClient } from '../../lib/adapter/recovering-client.js';
import type { NamespaceLike } from '../../lib/adapter/socket-io.js';
import { SessionClaim } from '../../lib/session/session-claim.js';
import type { Replay, ReplayItem } from '../../lib/stream/replay-log.js';
import { cutAt } from '../../lib/wire/cut.js';

const item = { offset: '8-0' } as ReplayItem;

describe('RecoveringClient', () => {
  let claim: SessionClaim;
  let closed: number;
  let collecting: boolean;
  let client: RecoveringClient;
  const replay = (): Replay => ({
    complete: Promise.resolve('complete'),
    end: () => {
      collecting = false;
      return [item];
    },
  });

  beforeEach(() => {
    const session = { sid: 'socket', pid: 'pid', rooms: ['room'], data: {}, ahead: [{ node: 'before', seq: 4 }] };
    claim = new SessionClaim(
      { touch: () => undefined, finish: () => undefined },
      {
        pid: 'pid',
        session,
        epoch: 1,
        owner: 'node',
        nsp: '/',
        duration: 1_000,
        isConfirmed: true,
        isCopyDropped: true,
      },
    );
    closed = 0;
    collecting = true;
    const socket = { conn: { close: () => closed++ } };
    const namespace = { _preConnectSockets: new Map([['socket', socket]]) };
    client = new RecoveringClient(claim, cutAt('7-0'), namespace as unknown as NamespaceLike);
  });

  test('has what its offset says and what its session says of publishers that it is ahead of', () => {
    expect(client.cut).toEqual({ position: '7-0', ahead: [{ node: 'before', seq: 4 }] });
  });

  test('collects what it missed until it ends', async () => {
    expect(await client.collect(replay())).toBe('complete');
    expect([client.isVoid, collecting]).toEqual([false, true]);
    expect(client.end()).toEqual([item]);
    expect(collecting).toBe(false);
    await client.ended;
  });

  test('ends with nothing if nothing was collected, and only once with what was', () => {
    expect(client.end()).toEqual([]);
    void client.collect(replay());
    client.end();
    expect(client.end()).toEqual([]);
  });

  test('is void, and its socket closed, when its session is taken by a later connection', () => {
    void client.collect(replay());
    claim.end();
    expect([client.isVoid, collecting, closed]).toEqual([true, false, 1]);
  });

  test('is void, its socket closed and its session kept, when the history is replaced', () => {
    client.outdate();
    expect([client.isVoid, closed, claim.mode, claim.session.rooms]).toEqual([true, 1, 'saving', ['room']]);
  });

  test('gives its session back as it was, and collects no more, when it is not here after all', () => {
    void client.collect(replay());
    client.giveBack();
    expect([collecting, claim.mode, claim.session.rooms, client.isVoid]).toEqual([false, 'saving', ['room'], false]);
  });
});
