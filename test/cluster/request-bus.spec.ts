import { beforeEach, describe, expect, test } from '@jest/globals';
import { RequestBus, type BusMember, type CensusPeer } from '../../lib/cluster/request-bus.js';
import { RequestOrder } from '../../lib/cluster/request-order.js';
import { ChannelNames } from '../../lib/wire/channels.js';
import { decodeControlMessage, type Goodbye } from '../../lib/wire/control.js';
import { decodeBusMessage, encodeBusMessage, RequestType, type BusMessage } from '../../lib/wire/requests.js';

const channels = new ChannelNames('ch', 'socket.io', {});

/** A log to which five entries were appended, and which has read them. */
const log = {
  ...{
    isFlushed: true,
    isReading: true,
    lastTaken: { seq: 5, direct: 0 },
    lastAppended: { seq: 5, direct: 0, id: '5-0' },
  },
  ...{ position: '5-0', lastReadOf: () => 5, whenPublisherRead: () => Promise.resolve(true) },
};

class Member implements BusMember {
  readonly got: BusMessage[] = [];
  error: Error | undefined;

  constructor(
    readonly uid: string,
    readonly name = '/',
  ) {}

  onMessage(message: BusMessage): void {
    if (this.error) throw this.error;
    this.got.push(message);
  }
}

describe('RequestBus', () => {
  let ready: boolean;
  /** What was published, and what the next tries fail with. */
  let sent: [channel: string, payload: Buffer, timeout: number | undefined][];
  let failures: Error[];
  let subscribed: Set<string>;
  /** How many others have subscribed to a channel. */
  let subscribers: Record<string, number>;
  /** Channels whose subscription is lost. */
  let unheard: string[];
  let rejected: string[];
  let traffic: string[];
  let control: string[];
  let bus: RequestBus;

  beforeEach(() => {
    ready = true;
    sent = [];
    failures = [];
    subscribed = new Set();
    subscribers = {};
    unheard = [];
    rejected = [];
    traffic = [];
    control = [];
    const connection = {
      get ready() {
        return ready;
      },
      publish: (channel: string, payload: Buffer, timeout?: number) => {
        const failure = failures.shift();
        if (failure) return Promise.reject(failure);
        sent.push([channel, payload, timeout]);
        return Promise.resolve();
      },
      countSubscribers: (names: readonly string[], timeout?: number) => {
        expect(timeout).toBe(400);
        return Promise.resolve(names.map((name) => subscribers[name] ?? 0));
      },
    };
    const subscriptions = {
      add: (names: readonly string[]) => {
        expect(names.filter((name) => subscribed.has(name))).toEqual([]); // once is enough
        names.forEach((name) => subscribed.add(name));
      },
      remove: (names: readonly string[]) => names.forEach((name) => subscribed.delete(name)),
      has: (name: string) => subscribed.has(name) && !unheard.includes(name),
      get isBroken() {
        return unheard.length > 0;
      },
      losses: 3,
    };
    bus = new RequestBus(connection, subscriptions, {
      ...{ channels, commandTimeout: 100, order: new RequestOrder(() => log) },
      retry: (run) => run().catch(() => run()),
      onControl: (payload) => control.push(decodeControlMessage(payload, []).kind),
      counters: { reject: (channel, reason) => rejected.push(`${channel}: ${reason}`) },
      router: { onTraffic: (uid, nsp) => traffic.push(`${uid} ${nsp}`) },
    });
  });

  const request = (uid: string, more: Partial<BusMessage> = {}): BusMessage => ({
    ...{ uid, nsp: '/', type: RequestType.FetchSockets, data: 'who?' },
    ...more,
  });

  const lastSent = (): BusMessage => decodeBusMessage(sent.at(-1)![1]);
  const receive = (message: BusMessage, channel = channels.requests('/')): void =>
    bus.receive(channel, encodeBusMessage(message));

  test('numbers what its members send, and keeps nothing of one that has left', async () => {
    const member = new Member('me');
    bus.join(member);
    await bus.publish(request('me'));
    expect(lastSent().n).toBe(1);
    expect(bus.mark(member)).toBe(1);
    bus.leave(member);
    await bus.publish(request('me'));
    expect(lastSent().n).toBeUndefined();
    expect(bus.mark(member)).toBeUndefined();
  });

  describe('to its members', () => {
    test('subscribes to a namespace once, and to what is for each of its servers', () => {
      const [a, b] = [new Member('me'), new Member('me.1')];
      bus.join(a);
      bus.join(b);
      expect([...subscribed]).toEqual(['ch#/#', 'ch#/#me#', 'ch#/#me.1#']);
      expect(bus.ownUids('/')).toEqual(['me', 'me.1']);
      bus.leave(a);
      expect([...subscribed]).toEqual(['ch#/#', 'ch#/#me.1#']);
      bus.leave(b);
      bus.leave(b);
      expect([...subscribed, ...bus.ownUids('/')]).toEqual([]);
    });

    test('gives a request of another server to each server of its namespace, but for the sender', () => {
      const [a, b, chat] = [new Member('me'), new Member('me.1'), new Member('me', '/chat')];
      [a, b, chat].forEach((member) => bus.join(member));
      receive(request('other'));
      receive(request('me'));
      expect([a, b, chat].map(({ got }) => got.map(({ uid }) => uid))).toEqual([['other'], ['other', 'me'], []]);
    });

    test('does not take a message for that of another namespace than it says, on whichever channel', () => {
      const a = new Member('me');
      bus.join(a);
      receive(request('other', { nsp: '/chat' }));
      expect(a.got).toEqual([]);
    });

    test('gives a response to the server that it is for', () => {
      const [a, b] = [new Member('me'), new Member('me.1')];
      [a, b].forEach((member) => bus.join(member));
      receive(request('other', { type: RequestType.FetchSocketsResponse }), channels.responses('/', 'me.1'));
      expect([a.got.length, b.got.length]).toEqual([0, 1]);
    });

    test('reports one that does not understand a message, and the others get it', () => {
      const [a, b] = [new Member('me'), new Member('me.1')];
      [a, b].forEach((member) => bus.join(member));
      a.error = new Error('no');
      receive(request('other'));
      expect([b.got.length, rejected]).toEqual([1, ['ch#/#: no']]);
    });

    test('gives nothing to one that has left', () => {
      const [a, b] = [new Member('me'), new Member('me.1')];
      [a, b].forEach((member) => bus.join(member));
      bus.leave(a);
      receive(request('other'));
      expect([a.got.length, b.got.length]).toEqual([0, 1]);
    });

    test('reports the sender of each message, whether or not somebody here has the namespace', () => {
      receive(request('other', { nsp: '/none' }));
      expect(traffic).toEqual(['other /none']);
    });

    test('reports what is no message, and what is no control message, and goes on', () => {
      bus.receive('ch#/#', Buffer.from('GET / HTTP/1.1'));
      bus.receive(channels.control, encodeBusMessage(request('other')));
      expect(rejected).toEqual([
        expect.stringMatching(/^ch#\/#: /),
        `${channels.control}: a control message without the id of its node`,
      ]);
    });
  });

  describe('to others', () => {
    test('says how far its node has appended, and counts its requests: the next entry is marked', async () => {
      bus.join(new Member('me'));
      await bus.publish(request('me'));
      expect(lastSent()).toEqual({ ...request('me'), after: 5, at: '5-0', n: 1 });
      await bus.publish(request('me'));
      expect(lastSent().n).toBe(2);
      expect(bus.mark({ uid: 'me', name: '/' })).toBe(2);
      expect(sent[0]![0]).toBe('ch#/#');
      expect(sent[0]![2]).toBe(400); // the connection may be busy with a large batch
    });

    test.each([
      ['a volatile broadcast', request('me', { type: RequestType.Broadcast, data: {} }), true],
      ['anything while Redis is away', request('me'), false],
    ])('does not count %s: nothing waits for it', async (_what, message, isReady) => {
      bus.join(new Member('me'));
      ready = isReady;
      await bus.publish(message);
      expect(lastSent()).toMatchObject({ after: 5 });
      expect(lastSent()).not.toHaveProperty('n');
      expect(bus.mark({ uid: 'me', name: '/' })).toBeUndefined();
    });

    test('counts a broadcast that asks for acknowledgements', async () => {
      bus.join(new Member('me'));
      await bus.publish(request('me', { type: RequestType.Broadcast, data: { requestId: 'r' } }));
      expect(lastSent().n).toBe(1);
    });

    test('has no entry wait for what could not be sent', async () => {
      failures.push(new Error('the connection is lost'));
      await expect(bus.publish(request('me'))).rejects.toThrow('the connection is lost');
      expect(bus.mark({ uid: 'me', name: '/' })).toBeUndefined();
    });

    test('does not send again what is as large as something that was refused, and sends what is smaller', async () => {
      const large = request('me', { data: 'x'.repeat(1_000) });
      failures.push(new Error('ERR Protocol error: invalid bulk length'));
      await expect(bus.publish(large)).rejects.toMatchObject({ code: 'REDIS_STREAMS_PAYLOAD_TOO_LARGE' });
      await expect(bus.respond('other', large)).resolves.toBeUndefined(); // without the stamp it is smaller
      await expect(bus.publish(large)).rejects.toMatchObject({ name: 'PayloadTooLargeError' });
      await bus.publish(request('me'));
      expect(sent).toHaveLength(2);
    });

    test('sends a request again to one server, after what was appended until then, and not counted', async () => {
      await bus.publish(request('me'));
      await bus.repeat('other', request('me'));
      expect([sent[1]![0], lastSent()]).toEqual(['ch#/#other#', { ...request('me'), after: 5, at: '5-0' }]);
      failures.push(new Error('lost'));
      await expect(bus.repeat('other', request('me'))).rejects.toThrow('lost');
    });

    test('sends a response to one server, again if the connection was lost meanwhile', async () => {
      const response = request('me', { type: RequestType.FetchSocketsResponse });
      await bus.respond('other', response);
      expect([sent[0]![0], lastSent()]).toEqual(['ch#/#other#', response]);
      failures.push(new Error('lost'));
      await bus.respond('other', response); // its first try fails
      expect(sent).toHaveLength(2);
    });

    test('sends a response again as it was at the call, whatever has become of its buffers meanwhile', async () => {
      const bytes = Buffer.from([1, 2, 3]);
      failures.push(new Error('lost'));
      const responding = bus.respond('other', request('me', { data: bytes }));
      bytes.fill(255);
      await responding;
      expect(lastSent().data).toEqual(new Uint8Array([1, 2, 3]));
    });

    test('sends a control message on the channel of all nodes, and gives one to who handles it', async () => {
      const goodbye: Goodbye = {
        kind: 'goodbye',
        node: { id: 'me', host: 'h', pid: 1, startedAt: 0, sockets: 0, backlog: 0, servers: 1 },
      };
      await bus.control(goodbye);
      const [channel, payload] = sent[0]!;
      expect(channel).toBe('ch#heartbeat#socket.io#');
      bus.receive(channel, payload);
      expect([control, traffic, rejected]).toEqual([['goodbye'], [], []]);
    });
  });

  describe('of what it hears', () => {
    test('says the namespaces of which a channel is lost, how often that was, and whether it has the first', () => {
      expect(bus.hearing).toEqual({ losses: 3, unheard: [], root: false });
      [new Member('me'), new Member('me.1'), new Member('me', '/a'), new Member('me', '/b')].forEach((one) =>
        bus.join(one),
      );
      expect(bus.hearing).toEqual({ losses: 3, unheard: [], root: true });
      unheard = ['ch#/#me.1#', 'ch#/b#', 'ch#/b#me#'];
      expect(bus.hearing.unheard).toEqual(['/', '/b']);
      for (let i = 0; i <= 1_000; i++) {
        bus.join(new Member('me', `/${i}`));
        unheard.push(`ch#/${i}#`);
      }
      expect(bus.hearing.unheard).toBe(true);
    });
  });

  describe('the census', () => {
    const peer = (...uids: string[]): CensusPeer => ({ id: uids[0]!, uids, isInRoot: true });

    test('names the subscribed servers, and counts those that nobody knows by name', async () => {
      const [a, b] = [new Member('me'), new Member('me.1')];
      [a, b].forEach((member) => bus.join(member));
      // This process, two of three peers, and two nodes of the reference.
      Object.assign(subscribers, { 'ch#/#': 5, 'ch#/#me#': 1, 'ch#/#p#': 1, 'ch#/#p.1#': 1, 'ch#/#q#': 1 });
      const census = await bus.census(a, [peer('p', 'p.1'), peer('q'), peer('gone')]);
      expect([[...census.named].sort(), census.others]).toEqual([['me.1', 'p', 'p.1', 'q'], 2]);
      expect([...census.silent]).toEqual(['gone']);
    });

    test('has the other servers of this process before Redis knows of them, and never less than none', async () => {
      const [a, b] = [new Member('me'), new Member('me.1')];
      [a, b].forEach((member) => bus.join(member));
      subscribers['ch#/#p#'] = 1; // and the public channel is not counted yet
      const census = await bus.census(a, [peer('p')]);
      expect([[...census.named].sort(), census.others]).toEqual([['me.1', 'p'], 0]);
    });

    test('finds the nodes that have no subscription where each server has one', async () => {
      const a = new Member('me', '/chat');
      bus.join(a);
      Object.assign(subscribers, { 'ch#/#p#': 1, 'ch#/#q.1#': 1, 'ch#/chat#r#': 1 });
      const asked = [peer('p'), peer('q', 'q.1'), peer('r'), peer('deaf'), { ...peer('other'), isInRoot: false }];
      const census = await bus.census(a, asked);
      expect([[...census.named], [...census.silent]]).toEqual([['r'], ['deaf']]);
    });

    test('knows whether a server hears what is sent to it alone', async () => {
      subscribers['ch#/#p#'] = 1;
      expect([await bus.isSubscribedTo('/', 'p'), await bus.isSubscribedTo('/', 'q')]).toEqual([true, false]);
    });
  });
});
