import { isDeepStrictEqual } from 'node:util';
import { Injectable } from '@nestjs/common';
import { concat, distinctUntilChanged, map, Observable, of, startWith, takeUntil, throttleTime } from 'rxjs';
import type { ClusterNodeListener } from '../cluster/event-publisher.js';
import type { ClusterEvent, ClusterNodeStatus, NodeStatus } from '../cluster/events.js';
import { RedisStreamsNode } from './redis-streams.node.js';

/** Milliseconds between two values of `status$`. */
const STATUS_INTERVAL_MS = 100;

/**
 * The cluster as this node sees it, at this moment and as it changes. The streams complete when the application is
 * closed; each subscription is independent of the others.
 *
 * @publicApi
 */
@Injectable()
export class RedisStreamsMonitor {
  /**
   * All nodes, this one first (an observer is no node, and not listed): on subscription, and then whenever a node joins, is suspected, goes down, comes back or
   * leaves, whenever another is heard (every `heartbeatInterval`) and when this node's own numbers have changed. The
   * last list, at the end, has this node as `left`.
   */
  readonly nodes$: Observable<NodeStatus[]>;
  /** What happens, as it happens. Nothing is repeated for those who subscribe later. */
  readonly events$: Observable<ClusterEvent>;
  /**
   * This node: on subscription, and then when something has changed, looked at with each of its events and heartbeats, at
   * most every 100 ms. The last one, at the end, is `closed`.
   */
  readonly status$: Observable<ClusterNodeStatus>;

  constructor(private readonly node: RedisStreamsNode) {
    this.events$ = this.listen<ClusterEvent>((next) => ({ onEvent: next }));
    this.nodes$ = this.follow(
      this.listen<void>((next) => ({ onNodes: () => next(), onStatus: () => next() })).pipe(startWith(undefined)),
      () => this.nodes,
      (before, now) => isDeepStrictEqual(before.map(withoutOwnTime), now.map(withoutOwnTime)),
    );
    this.status$ = this.follow(
      this.listen<void>((next) => ({ onStatus: () => next() })).pipe(
        startWith(undefined),
        throttleTime(STATUS_INTERVAL_MS, undefined, { leading: true, trailing: true }),
      ),
      () => this.status,
      isDeepStrictEqual,
    );
  }

  /** All nodes now, this one first. */
  get nodes(): NodeStatus[] {
    return this.node.nodes();
  }

  /** This node now: what it does, where it is in the streams, and how far behind. */
  get status(): ClusterNodeStatus {
    return this.node.status();
  }

  /** What `look` sees with each tick and at the end, if it has changed. */
  private follow<T>(ticks: Observable<void>, look: () => T, same: (before: T, now: T) => boolean): Observable<T> {
    const end = of(undefined);
    return concat(ticks.pipe(takeUntil(this.node.closed$)), end).pipe(map(look), distinctUntilChanged(same));
  }

  private listen<T>(listener: (next: (value: T) => void) => ClusterNodeListener): Observable<T> {
    return new Observable<T>((subscriber) => this.node.subscribe(listener((value) => subscriber.next(value)))).pipe(
      takeUntil(this.node.closed$),
    );
  }
}

/** This node has always been seen just now. */
function withoutOwnTime(node: NodeStatus): NodeStatus {
  return node.self ? { ...node, lastSeen: 0 } : node;
}
