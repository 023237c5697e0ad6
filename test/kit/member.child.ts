import type { ClusterEvent } from '../../lib/adapter/index.js';
import { childOptions, serve } from './node-process-child.js';
import type { MemberProcessOptions } from './member-process.js';
import { Member } from './member.js';

const member = await Member.start(childOptions<MemberProcessOptions>());

let load: NodeJS.Timeout | undefined;
let sent = 0;
let unanswered = 0;

serve({
  /** Broadcasts `[sender, 0]`, `[sender, 1]`, … */
  startLoad: (sender: number, interval: number) => {
    load = setInterval(() => member.io.emit('msg', [sender, sent++]), interval);
  },
  /** Returns how many there were. */
  stopLoad: () => {
    clearInterval(load);
    return sent;
  },
  id: () => member.node.id,
  url: () => member.url,
  emit: (value: unknown) => member.io.emit('msg', value),
  burst: (from: number, count: number) => {
    for (let i = 0; i < count; i++) {
      member.io.emit('msg', from + i);
    }
  },
  /** From now on it hears what it is asked, and answers nothing. */
  beSilent: () => {
    const { adapter } = member.io.of('/') as unknown as { adapter: { onMessage(): void } };
    adapter.onMessage = () => void unanswered++;
  },
  unanswered: () => unanswered,
  received: () => member.received,
  counters: () => member.counters,
  state: () => member.node.status().state,
  eventsOf: (type: ClusterEvent['type']) =>
    member.eventsOf(type).map((event) => JSON.parse(JSON.stringify(event)) as ClusterEvent),
  stream: () => member.node.status().streams[0],
  readCount: () => member.counters.read,
  nodeCount: () => member.node.nodes().length,
  /** Bytes, after a collection. */
  heapUsed: () => {
    globalThis.gc!();
    return process.memoryUsage().heapUsed;
  },
  close: () => member.close(),
});
