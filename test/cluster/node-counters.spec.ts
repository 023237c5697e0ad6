import { expect, test } from '@jest/globals';
import { EventPublisher } from '../../lib/cluster/event-publisher.js';
import type { ClusterEvent } from '../../lib/cluster/events.js';
import { NodeCounters } from '../../lib/cluster/node-counters.js';

test('NodeCounters counts each refusal and rejection, and emits the first rejection of a reason only', () => {
  const log = (): void => undefined;
  const publisher = new EventPublisher({ log, warn: log, error: log }, () => []);
  const events: ClusterEvent[] = [];
  publisher.subscribe({ onEvent: (event) => events.push(event) });
  const counters = new NodeCounters(publisher);

  counters.count('recoveries');
  counters.reject('channel', 'why');
  counters.reject('other', 'why');
  counters.refuseRecovery('/', 'taken');
  counters.refuseRecovery('/', 'taken');
  counters.leaveOut('/', { path: 'data.user', reason: 'a function' });
  counters.leaveOut('/', { path: 'data.user', reason: 'a function' });

  const { counters: totals, refusedRecoveries } = counters.status();
  expect(totals).toMatchObject({ recoveries: 1, rejectedMessages: 2, refusedRecoveries: 2, droppedRequests: 0 });
  expect(refusedRecoveries).toMatchObject({ taken: 2, unknown: 0 });
  expect(events).toEqual([
    { type: 'message-rejected', channel: 'channel', reason: 'why' },
    { type: 'recovery-refused', namespace: '/', reason: 'taken' },
    { type: 'recovery-refused', namespace: '/', reason: 'taken' },
    { type: 'data-left-out', namespace: '/', path: 'data.user', reason: 'a function' },
  ]);
});
