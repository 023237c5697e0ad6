import { expect, test } from '@jest/globals';
import { InMemoryMember } from '../../lib/cluster/in-memory-member.js';

test('InMemoryMember is alone, runs from its start to its close, and reports each change once', async () => {
  let sockets = 2;
  const member = new InMemoryMember(() => sockets);
  const reported: [string, string, number][] = [];
  const unsubscribe = member.subscribe({
    onNodes: ([node]) => reported.push([node!.state, member.status().state, node!.sockets]),
  });
  await member.start();
  await member.start();
  sockets = 3;
  member.onChange();
  await member.close();
  await member.close();
  expect(reported).toEqual([
    ['up', 'running', 2],
    ['up', 'running', 3],
    ['left', 'closed', 3],
  ]);
  unsubscribe();
  member.onChange();
  expect([reported.length, member.nodes()[0]!.self, member.status().streams]).toEqual([3, true, []]);
});
