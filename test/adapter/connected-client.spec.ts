import { beforeEach, describe, expect, test } from '@jest/globals';
import { ConnectedClient, type ClientLog, type Recovered } from '../../lib/adapter/connected-client.js';
import type { ReplayItem } from '../../lib/stream/replay-log.js';
import { cutAt, type Cut } from '../../lib/wire/cut.js';
import type { LastGiven, Session } from '../../lib/wire/session.js';

const SOCKET = 'socket';
const ROOM = 'room';

/** The log of a node that says where it is. */
class Log implements ClientLog {
  position: string | undefined = '10-0';
  positionMark: string | undefined;
  ahead: { node: string; seq: number }[] = [];
  given: LastGiven | undefined;
  read = 0;
  formerNumbers = [];

  cut(): Cut {
    return { position: this.position ?? '0-0', ahead: this.ahead };
  }

  lastGivenTo(): LastGiven | undefined {
    return this.given;
  }

  hasRead(_: string, seq: number): boolean {
    return this.read >= seq;
  }
}

const missed = (id: string | undefined, seq: number): ReplayItem => ({
  entry: {
    ...(id !== undefined && { id }),
    uid: '',
    nsp: '/',
    type: 3,
    data: '',
    origin: { node: 'own', seq },
  },
  offset: '',
});

describe('ConnectedClient', () => {
  let log: Log;
  const connect = (session?: Partial<Session>, rest: Partial<Recovered> = {}): ConnectedClient => {
    const recovered = session && {
      ...{ session: { sid: SOCKET, pid: 'pid', rooms: [], data: {}, ...session }, cut: cutAt('7-0'), missed: [] },
      ...rest,
    };
    return new ConnectedClient(log, '/', SOCKET, recovered);
  };

  beforeEach(() => {
    log = new Log();
  });

  test('says in its session when it came, and where its node is now', () => {
    const client = connect();
    Object.assign(log, { position: '12-0', positionMark: 'mark' });
    expect(client.session([SOCKET], { name: 'data' })).toEqual({
      ...{ sid: SOCKET, rooms: [SOCKET], data: { name: 'data' }, since: cutAt('10-0') },
      ...{ sent: { other: '0-0' }, position: cutAt('12-0'), mark: 'mark' },
    });
  });

  test('says no position while the node knows none', () => {
    log.position = undefined;
    const session = connect().session([SOCKET], {});
    expect(Object.keys(session).sort()).toEqual(['data', 'rooms', 'sid', 'since']);
  });

  test('says when it joined rooms and when it left them', () => {
    const client = connect();
    client.join([ROOM, 'other']);
    log.position = '12-0';
    client.leave(ROOM);
    client.leave(SOCKET); // was in it from the beginning
    expect(client.session(['other'], {})).toMatchObject({
      joined: [['other', cutAt('10-0')]],
      left: [
        [ROOM, cutAt('10-0'), cutAt('12-0')],
        [SOCKET, cutAt('0-0'), cutAt('12-0')],
      ],
    });
  });

  test('remembers the last 100 rooms that it left, and up to where those before are forgotten', () => {
    const client = connect();
    for (let i = 0; i < 102; i++) {
      log.position = `${100 + i}-0`;
      client.leave(`room ${i}`);
    }
    const { left, forgotten } = client.session([], {});
    expect(left).toHaveLength(100);
    expect(forgotten).toEqual(cutAt('101-0'));
  });

  test('says what is forgotten by a position once the node has read back what the mark names of it', () => {
    const client = connect({ forgotten: { position: '5-0', ahead: [{ node: 'own', seq: 3 }] } });
    log.read = 2;
    expect(client.session([], {}).forgotten).toEqual({ position: '5-0', ahead: [{ node: 'own', seq: 3 }] });
    log.read = 3;
    expect(client.session([], {}).forgotten).toEqual(cutAt('10-0'));
  });

  test('goes on with what its session says when it is recovered', () => {
    const client = connect({
      since: cutAt('1-0'),
      joined: [[ROOM, cutAt('2-0')]],
      left: [['x', cutAt('1-0'), cutAt('3-0')]],
    });
    expect(client.session([ROOM], {})).toMatchObject({
      ...{ since: cutAt('1-0'), joined: [[ROOM, cutAt('2-0')]], left: [['x', cutAt('1-0'), cutAt('3-0')]] },
      ...{ sent: { other: '7-0' } },
    });
  });

  test('says what it missed as given last, until the node has given it more', () => {
    const client = connect({}, { missed: [missed('8-0', 1), missed('9-0', 2), missed(undefined, 3)] });
    expect(client.session([], {}).sent).toEqual({ other: '9-0', own: { origin: { node: 'own', seq: 3 } } });
    log.given = { other: '11-0' };
    expect(client.session([], {}).sent).toEqual({ other: '11-0' });
  });

  test('notes the rooms in which it is other than its session says', () => {
    const client = connect({ rooms: [SOCKET, 'old'] });
    expect(client.noteRooms(new Set([SOCKET, 'old']), [SOCKET, 'old'])).toBe(false);
    expect(client.noteRooms(new Set([SOCKET, 'new']), [SOCKET, 'old'])).toBe(true);
    expect(client.session([SOCKET, 'new'], {})).toMatchObject({
      joined: [['new', cutAt('10-0')]],
      left: [['old', cutAt('0-0'), cutAt('10-0')]],
    });
  });

  test('comes back in 100,000 rooms without keeping its node busy', () => {
    const rooms = Array.from({ length: 100_000 }, (_, i) => `room ${i}`);
    const client = connect({ rooms });
    const since = performance.now();
    expect(client.noteRooms(new Set(rooms), rooms)).toBe(false);
    expect(performance.now() - since).toBeLessThan(5_000); // 11 s on a still machine, where each was looked for in a list
  });

  test('has been given something if it missed something, or the log has had something for it since', () => {
    expect(connect().hasBeenGiven([SOCKET])).toBe(false);
    expect(connect({}, { missed: [missed('8-0', 1)] }).hasBeenGiven([SOCKET])).toBe(true);
    log.given = { other: '11-0' };
    expect(connect().hasBeenGiven([SOCKET])).toBe(true);
  });

  test('names nothing after the position up to which a replaced history is the same', () => {
    const client = connect(
      {
        since: cutAt('4-0'),
        forgotten: cutAt('8-0'),
        left: [['x', cutAt('5-0'), cutAt('9-0')]],
        ahead: [
          { node: 'a', seq: 1, coveredAt: '8-0' },
          { node: 'b', seq: 2 },
        ],
      },
      { missed: [missed('9-0', 1)] },
    );
    client.join([ROOM]);
    client.cutBackTo('6-0');
    log.position = '6-0';
    expect(client.arrived).toEqual(cutAt('6-0'));
    expect(client.session([ROOM], {})).toEqual({
      ...{ sid: SOCKET, rooms: [ROOM], data: {}, since: cutAt('4-0'), forgotten: cutAt('6-0') },
      ...{ joined: [[ROOM, cutAt('6-0')]], left: [['x', cutAt('5-0'), cutAt('6-0')]] },
      ahead: [
        { node: 'a', seq: 1 },
        { node: 'b', seq: 2 },
      ],
      ...{ sent: { other: '6-0' }, position: cutAt('6-0') },
    });
  });
});
