import { beforeEach, describe, expect, test } from '@jest/globals';
import { LocalNamespaces, type NamespaceMember } from '../../lib/cluster/local-namespaces.js';

const member = (name: string, uid: string, socketCount = 0): NamespaceMember => ({
  ...{ name, uid, socketCount },
  deliver: () => true,
  deliverAtOnce: () => undefined,
  onPeersChanged: () => undefined,
  onSubscribed: () => undefined,
  onMessage: () => undefined,
});

describe('LocalNamespaces', () => {
  let namespaces: LocalNamespaces;

  beforeEach(() => {
    namespaces = new LocalNamespaces('0123456789abcdef');
  });

  test('gives each server that has a namespace a uid of its own, and one that was given back to the next', () => {
    const first = member('/', namespaces.nextUid('/'));
    namespaces.add(first);
    const second = member('/', namespaces.nextUid('/'));
    namespaces.add(second);
    expect(second.uid).not.toBe(first.uid);
    expect(namespaces.nextUid('/chat')).toBe(first.uid);
    namespaces.remove(first);
    expect(namespaces.nextUid('/')).toBe(first.uid);
  });

  test('knows which servers have a namespace until the last has left it', () => {
    const [a, b] = [member('/', 'a'), member('/', 'b')];
    namespaces.add(a);
    namespaces.add(b);
    expect(namespaces.siblingsOf(a)).toEqual([b]);
    namespaces.remove(a);
    expect(namespaces.named('/')).toEqual([b]);
    namespaces.remove(b);
    expect([namespaces.has('/'), namespaces.isEmpty, namespaces.named('/')]).toEqual([false, true, undefined]);
  });

  test('counts servers, of which there is always one, and the sockets of all namespaces', () => {
    expect([namespaces.serverCount, namespaces.socketCount]).toEqual([1, 0]);
    namespaces.add(member('/', namespaces.nextUid('/'), 3));
    namespaces.add(member('/', namespaces.nextUid('/'), 4));
    namespaces.add(member('/chat', namespaces.nextUid('/chat'), 5));
    expect([namespaces.serverCount, namespaces.socketCount]).toEqual([2, 12]);
  });
});
