import type { RedisStreamsLogger } from './logger.js';
import type { ClusterEvent } from './events.js';

/** An event as a log line; without a level, it is not worth one. */
export function describeEvent(event: ClusterEvent): { level: keyof RedisStreamsLogger | undefined; text: string } {
  switch (event.type) {
    case 'redis-lost':
      return { level: 'warn', text: `Redis is lost: ${event.error.message}` };
    case 'redis-regained':
      return { level: 'log', text: `Redis is back after ${event.afterMs} ms` };
    case 'node-joined':
    case 'node-back':
    case 'node-left':
      return { level: 'log', text: `${event.type.replace('-', ' ')}: ${name(event.node)}` };
    case 'node-suspected':
      return { level: undefined, text: `node suspected: ${name(event.node)}` };
    case 'node-down':
      return { level: 'warn', text: `node down: ${name(event.node)}` };
    case 'gap':
      return {
        level: 'error',
        text: `stream "${event.stream}": ${event.lost} entries of node ${event.origin} before ${event.before} ${event.reason === 'lost' ? 'are lost' : 'were dropped by it'}`,
      };
    case 'stream-replaced':
      return {
        level: 'error',
        text: `stream "${event.stream}" was ${event.reason}; reading goes on after ${event.position}`,
      };
    case 'stream-refused':
      return { level: 'error', text: `stream "${event.stream}": ${event.operation} refused: ${event.error.message}` };
    case 'stream-usable':
      return {
        level: 'log',
        text: `stream "${event.stream}": ${event.operation} works again after ${event.afterMs} ms`,
      };
    case 'outbox-overflow':
      return {
        level: 'error',
        text: `stream "${event.stream}": the outbox is full, the oldest broadcasts are dropped`,
      };
    case 'outbox-drained':
      return { level: 'error', text: `stream "${event.stream}": ${event.dropped} broadcasts were dropped` };
    case 'entry-rejected':
      return { level: 'warn', text: `stream "${event.stream}": entry ${event.id} is passed over: ${event.reason}` };
    case 'message-rejected':
      return { level: 'warn', text: `channel "${event.channel}": a message is passed over: ${event.reason}` };
    case 'session-refused':
      return { level: 'warn', text: `session: ${event.operation} failed: ${event.error.message}` };
    case 'recovery-refused':
      return { level: undefined, text: `a client of "${event.namespace}" is not recovered: ${event.reason}` };
  }
}

function name({ id, host, pid }: { id: string; host: string; pid: number }): string {
  return `${id} (pid ${pid} on ${host})`;
}
