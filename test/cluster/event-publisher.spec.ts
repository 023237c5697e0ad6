import { beforeEach, describe, expect, test } from '@jest/globals';
import { EventPublisher } from '../../lib/cluster/event-publisher.js';
import type { ClusterEvent } from '../../lib/cluster/events.js';

const rejected = (reason: string): ClusterEvent => ({ type: 'message-rejected', channel: 'channel', reason });

describe('EventPublisher', () => {
  let logged: string[];
  let events: ClusterEvent[];
  let publisher: EventPublisher;

  beforeEach(() => {
    logged = [];
    events = [];
    const log = (text: string): void => void logged.push(text);
    publisher = new EventPublisher({ log, warn: log, error: log }, () => []);
  });

  test('logs an event and hands it to all subscribers until they have unsubscribed', () => {
    const unsubscribe = publisher.subscribe({ onEvent: (event) => events.push(event) });
    publisher.emit(rejected('a'));
    unsubscribe();
    publisher.emit(rejected('b'));
    expect(events).toEqual([rejected('a')]);
    expect(logged).toHaveLength(2);
  });

  test('emits what is to be emitted once for each reason only, of 200 reasons at most', () => {
    publisher.subscribe({ onEvent: (event) => events.push(event) });
    for (let i = 0; i < 600; i++) {
      const reason = `reason ${i % 300}`;
      publisher.emitOnce(rejected(reason), reason);
    }
    expect(events).toHaveLength(200);
  });

  test('logs a warning once', () => {
    publisher.warnOnce('the server evicts keys');
    publisher.warnOnce('the server evicts keys');
    expect(logged).toEqual(['the server evicts keys']);
  });
});
