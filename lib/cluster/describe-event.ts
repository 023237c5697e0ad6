import type { StreamGap } from '../stream/events.js';
import type { ClusterEvent, NodeStatus } from './events.js';
import { debugLogger, type RedisStreamsLogger } from './logger.js';

/** Writes an event to the log, if it is worth a line. */
export function logEvent(event: ClusterEvent, logger: RedisStreamsLogger = debugLogger): void {
  const { level, text } = describeEvent(event);
  if (level) {
    logger[level](text);
  }
}

/** An event as a log line: what happened, to what, and what will be done. Without a level, it is not worth a line. */
export function describeEvent(event: ClusterEvent): { level: keyof RedisStreamsLogger | undefined; text: string } {
  switch (event.type) {
    case 'redis-lost':
      return {
        level: 'warn',
        text: `Redis is lost: ${event.error.message}. Broadcasts wait in the outbox; reconnecting until it is back`,
      };
    case 'redis-reconnected':
      return {
        level: 'log',
        text: `Redis is back after ${event.afterMs} ms; what waited is being sent`,
      };
    case 'node-joined':
      return { level: 'log', text: `node joined: ${name(event.node)}; it is asked from now on` };
    case 'node-suspected':
      return {
        level: undefined,
        text: `node suspected: ${name(event.node)}; its heartbeat is overdue, and it is still asked`,
      };
    case 'node-down':
      return { level: 'warn', text: `node down: ${name(event.node)}; requests do not wait for it until it is back` };
    case 'node-back':
      return { level: 'log', text: `node back: ${name(event.node)}; it is asked again` };
    case 'node-left':
      return { level: 'log', text: `node left: ${name(event.node)}; it is asked no more` };
    case 'gap':
      return { level: 'error', text: `stream "${event.stream}": ${describeGap(event)}` };
    case 'stream-replaced':
      return {
        level: 'error',
        text:
          `stream "${event.stream}" was ${event.reason}; reading goes on after ${event.position}, and clients that were ` +
          'away are not recovered from before it',
      };
    case 'stream-refused':
      return {
        level: 'error',
        text: `stream "${event.stream}": ${event.operation} refused: ${event.error.message}. It is tried again until it works`,
      };
    case 'stream-recovered':
      return {
        level: 'log',
        text: `stream "${event.stream}": ${event.operation} works again after ${event.afterMs} ms`,
      };
    case 'reads-not-blocking':
      return {
        level: 'warn',
        text:
          `stream "${event.stream}": the server does not wait in blocking reads; an idle node asks every ${event.pauseMs} ms, and ` +
          'a message may come so much later',
      };
    case 'outbox-dropped':
      return {
        level: 'error',
        text:
          event.reason === 'full'
            ? `stream "${event.stream}": the outbox is full; the oldest broadcasts are dropped until Redis takes them again`
            : `stream "${event.stream}": ${event.dropped} broadcasts were dropped, for the node closed before Redis took them`,
      };
    case 'outbox-accepting':
      return {
        level: 'error',
        text: `stream "${event.stream}": the outbox takes broadcasts again; ${event.dropped} were dropped, which no client of another node will get`,
      };
    case 'message-refused':
      return {
        level: 'error',
        text:
          `stream "${event.stream}": ${event.message} of ${event.namespace}, of ${event.bytes} bytes, was refused and is ` +
          `dropped: ${event.error.message}. Set maxMessageBytes to have such calls fail, or raise the limit of the server`,
      };
    case 'entry-rejected':
      return {
        level: 'warn',
        text: `stream "${event.stream}": entry ${event.id} is passed over: ${event.reason}. More of the kind are counted only`,
      };
    case 'message-rejected':
      return {
        level: 'warn',
        text: `channel "${event.channel}": a message is passed over: ${event.reason}. More of the kind are counted only`,
      };
    case 'data-left-out':
      return {
        level: 'warn',
        text: `"${event.path}" of a socket of ${event.namespace} is left out where other nodes see it: ${event.reason}`,
      };
    case 'session-refused':
      return {
        level: 'warn',
        text: `sessions: ${event.operation} failed: ${event.error.message}. Clients may not be recovered until it works`,
      };
    case 'recovery-refused':
      return { level: undefined, text: `a client of "${event.namespace}" is not recovered: ${event.reason}` };
  }
}

function describeGap({ reason, lost, origin, before }: StreamGap): string {
  const entries = `${lost} ${lost === 1 ? 'entry' : 'entries'} of node ${origin} before ${before}`;
  return reason === 'dropped'
    ? `${entries} never came: that node has dropped them`
    : `${entries} ${lost === 1 ? 'is' : 'are'} lost; clients here do not get them, and those that were away are not recovered`;
}

function name({ id, host, pid }: NodeStatus): string {
  return `${id} (pid ${pid} on ${host})`;
}
