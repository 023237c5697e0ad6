import { metrics, trace, type Attributes, type MeterProvider, type TracerProvider } from '@opentelemetry/api';
import type { RedisStreamsTelemetry } from '../cluster/telemetry.js';
import { replyCode } from '../redis/reply-code.js';
import { collectorOf } from './collector.js';
import { destination, measure } from './measurements.js';
import { tracing } from './tracing.js';

/** The instrumentation scope of all metrics and spans. */
const SCOPE = 'nestjs-redis-streams-adapter';

/**
 * What {@link openTelemetry} measures and traces, and where that goes.
 *
 * @publicApi
 */
export interface OpenTelemetryOptions {
  /**
   * Whether messages carry the trace in which they were emitted, so that the spans of their delivery on other nodes are linked
   * to it. It costs two spans and about a hundred bytes for each message that is emitted while a span is active.
   * @default false
   */
  traces?: boolean;
  /**
   * Attributes of all metrics and spans.
   * @default none
   */
  attributes?: Attributes;
  /** @default the global one, as it is when the node starts */
  meterProvider?: MeterProvider;
  /** @default the global one */
  tracerProvider?: TracerProvider;
}

/**
 * Metrics and traces of OpenTelemetry, for the option `telemetry` of the modules, of `createAdapter()` and of
 * `RedisStreamsEmitter`. One may be used for several of them.
 *
 * What is counted is read when metrics are collected; a node does nothing for it meanwhile. Where no SDK is registered, nothing
 * is collected. An SDK that is registered globally has to be so before the node starts.
 *
 * @example
 * ```typescript
 * RedisStreamsAdapterModule.forRoot({ connection: 'redis://localhost:6379', telemetry: openTelemetry() });
 * ```
 *
 * @publicApi
 */
export function openTelemetry(options: OpenTelemetryOptions = {}): RedisStreamsTelemetry {
  const { traces = false, attributes = {} } = options;
  return {
    observe: (source) => {
      const collector = collectorOf(options.meterProvider ?? metrics.getMeterProvider(), SCOPE);
      const events = new Map<string, number>();
      source.node?.onEvent(({ type }) => void events.set(type, (events.get(type) ?? 0) + 1));
      const remove = collector.add(() => measure(source, events, attributes));
      const of = (stream: string): Attributes => ({ ...attributes, ...destination(stream) });
      return {
        onSent: (stream, seconds, error) =>
          collector.sent.record(seconds, {
            ...of(stream),
            ...{ 'messaging.operation.name': 'send', 'messaging.operation.type': 'send' },
            ...(error && { 'error.type': replyCode(error) ?? error.name }),
          }),
        onDelivered: (stream, seconds) => collector.delivered.record(seconds, of(stream)),
        ...(traces && tracing(options.tracerProvider ?? trace.getTracerProvider(), SCOPE, of)),
        close: remove,
      };
    },
  };
}
