import { Controller, Sse, type MessageEvent } from '@nestjs/common';
import { RedisStreamsMonitor } from 'nestjs-redis-streams-adapter';
import { combineLatest, map, merge, type Observable } from 'rxjs';

@Controller('nodes')
export class NodesController {
  constructor(private readonly monitor: RedisStreamsMonitor) {}

  /** The cluster as this node sees it, as server-sent events: all nodes, now and at each change, and what happens. */
  @Sse()
  watch(): Observable<MessageEvent> {
    const { nodes$, status$, events$ } = this.monitor;
    const cluster$ = combineLatest({ nodes: nodes$, status: status$ });
    return merge(
      cluster$.pipe(map((cluster) => ({ type: 'cluster', data: { ...cluster, now: Date.now() } }))),
      events$.pipe(
        map((event) => ({ type: 'happened', data: JSON.stringify({ ...event, at: Date.now() }, readable) })),
      ),
    );
  }
}

/** JSON has no form for an error. */
function readable(_key: string, value: unknown): unknown {
  return value instanceof Error ? value.message : value;
}
