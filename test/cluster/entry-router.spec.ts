import { beforeEach, describe, expect, test } from '@jest/globals';
import { EntryRouter } from '../../lib/cluster/entry-router.js';
import { LocalNamespaces, type NamespaceMember } from '../../lib/cluster/local-namespaces.js';
import { EntryType, type LogEntry } from '../../lib/wire/entry.js';
import { EMITTER_UID, serverUid } from '../../lib/wire/server-uid.js';

const entryOf = (uid: string, more: Partial<LogEntry> = {}): LogEntry => ({
  ...{ id: '1-0', uid, nsp: '/chat', type: EntryType.Broadcast, data: '{}' },
  ...more,
});

describe('EntryRouter', () => {
  let namespaces: LocalNamespaces;
  let traffic: string[];
  let asked: LogEntry[];
  const subscriptions = { isComplete: true };
  let router: EntryRouter;

  function join(uid: string, isDelivered: boolean): [entry: LogEntry, own: boolean][] {
    const given: [LogEntry, boolean][] = [];
    const member: Partial<NamespaceMember> = {
      ...{ name: '/chat', uid },
      deliver: (...args) => {
        given.push(args);
        return isDelivered;
      },
    };
    namespaces.add(member as NamespaceMember);
    return given;
  }

  beforeEach(() => {
    namespaces = new LocalNamespaces('me');
    [traffic, asked] = [[], []];
    router = new EntryRouter({
      ...{ nodeId: 'me', namespaces, subscriptions },
      registry: { onTraffic: (uid) => void traffic.push(uid) },
      order: {
        whenHandled: (entry) => {
          asked.push(entry as LogEntry);
          return Promise.resolve();
        },
      },
    });
  });

  test('delivers an entry to all servers here that have its namespace, and says whether one delivered it', () => {
    const entry = entryOf('other', { origin: { node: 'other', seq: 1 } });
    expect(router.deliver(entry, false)).toBe(false);
    const first = join(serverUid('me', 0), true);
    const second = join(serverUid('me', 1), false);
    expect(router.deliver(entry, true)).toBe(true);
    expect([first, second]).toEqual([[[entry, true]], [[entry, true]]]);
  });

  test('reports servers that announce themselves by their entries only: not own ones, and no emitters', () => {
    for (const uid of ['reference', 'me', EMITTER_UID]) router.deliver(entryOf(uid), false);
    router.deliver(entryOf('ours', { origin: { node: 'ours', seq: 1 } }), false);
    expect(traffic).toEqual(['reference']);
  });

  test('waits for requests of other nodes in namespaces that are here, once their channels are subscribed', () => {
    expect(router.whenRequestHandled(entryOf('other'))).toBeUndefined();
    join(serverUid('me', 0), true);
    expect(router.whenRequestHandled(entryOf('me'))).toBeUndefined();
    expect(router.whenRequestHandled(entryOf('other'))).toBeInstanceOf(Promise);
    subscriptions.isComplete = false;
    expect(router.whenRequestHandled(entryOf('other'))).toBeUndefined();
    expect(asked).toHaveLength(1);
  });
});
