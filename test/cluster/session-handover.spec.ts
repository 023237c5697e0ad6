import { beforeEach, describe, expect, test } from '@jest/globals';
import { SessionHandover } from '../../lib/cluster/session-handover.js';
import type { ControlMessage, NodeInfo } from '../../lib/wire/control.js';

const infoOf = (id: string): NodeInfo => ({
  ...{ id, host: 'h', pid: 1, startedAt: 0, sockets: 0, backlog: 0, servers: 1 },
});

describe('SessionHandover', () => {
  let sent: ControlMessage[];
  let failure: Error | undefined;
  /** Sessions that are here, by their ids. */
  let here: Map<string, string>;
  let released: [pid: string, epoch: number][];
  let answers: [pid: string, session: string | null, node: string][];
  let awaited: string[];
  let handover: SessionHandover;

  beforeEach(() => {
    sent = [];
    failure = undefined;
    here = new Map();
    released = [];
    answers = [];
    awaited = [];
    handover = new SessionHandover({
      nodeId: 'me',
      info: () => infoOf('me'),
      bus: {
        control: (message) => {
          sent.push(message);
          return failure ? Promise.reject(failure) : Promise.resolve();
        },
        isSubscribedTo: (nsp, uid) => Promise.resolve(nsp === '/' && uid === 'hears'),
      },
      retry: (run) => run(),
      returning: {
        whenBack: (node) => Promise.resolve(void awaited.push(node)),
        whenAllBack: () => Promise.resolve(void awaited.push('all')),
      },
      release: (pid, epoch) => {
        released.push([pid, epoch]);
        return Promise.resolve(here.get(pid));
      },
      onResponse: (...answer) => answers.push(answer),
    });
  });

  const request = (at: string) =>
    handover.onRequest({ kind: 'session-request', node: infoOf('other'), pid: 'p', at, epoch: 3 });

  test('asks all nodes to release a session, and names the one that is to answer', async () => {
    await handover.askRelease('p', 'there', 3);
    expect(sent).toEqual([{ kind: 'session-request', node: infoOf('me'), pid: 'p', at: 'there', epoch: 3 }]);
  });

  test('fails to ask if nothing can be sent', async () => {
    failure = new Error('away');
    await expect(handover.askRelease('p', 'there', 3)).rejects.toBe(failure);
  });

  test.each([
    ['it is here, though another was asked', 'elsewhere', 'encoded', 'encoded'],
    ['it is here, where it was asked for', 'me', 'encoded', 'encoded'],
    ['it is not here, where it was asked for', 'me', undefined, null],
    ['an empty text is what it is', 'elsewhere', '', ''],
  ])('answers who asks for a session if %s', async (_what, at, session, answer) => {
    if (session !== undefined) here.set('p', session);
    await request(at);
    const node = infoOf('me');
    expect(sent).toEqual([{ kind: 'session-response', node, pid: 'p', to: 'other', session: answer }]);
    expect(released).toEqual([['p', 3]]);
  });

  test('says nothing of a session that is not here, nor was asked for here', async () => {
    await request('elsewhere');
    expect([sent, released]).toEqual([[], [['p', 3]]]);
  });

  test('does not fail if the answer cannot be sent: who asked goes on without it', async () => {
    failure = new Error('away');
    here.set('p', 'encoded');
    await expect(request('me')).resolves.toBeUndefined();
  });

  test('passes on what is said to this node, and nothing that is said to another', () => {
    for (const [to, session] of [
      ['me', 'encoded'],
      ['other', 'theirs'],
      ['me', null],
    ] as const) {
      handover.onResponse({ kind: 'session-response', node: infoOf('there'), pid: 'p', to, session });
    }
    expect(answers).toEqual([['p', 'encoded', 'there'], ['p', null, 'there']]); // prettier-ignore
  });

  test('waits for nodes that are on their way back', async () => {
    await handover.whenBack('other');
    await handover.whenAllBack();
    expect(awaited).toEqual(['other', 'all']);
  });

  test('takes a node for one that can hear if its first server of the namespace is subscribed', async () => {
    const asked = [['/', 'hears'], ['/chat', 'hears'], ['/', 'deaf']] as const; // prettier-ignore
    const answered = await Promise.all(asked.map(([nsp, node]) => handover.canHear(nsp, node)));
    expect(answered).toEqual([true, false, false]);
  });
});
