import {
  context,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  TraceFlags,
  type Attributes,
  type Context,
  type SpanContext,
  type TracerProvider,
} from '@opentelemetry/api';
import { MAX_CARRIED, type TelemetryRecorder } from '../stream/telemetry.js';

/**
 * A message carries the context of a span of its own (`create`), and its delivery on another node is a span (`process`) with a
 * link to that: one broadcast is delivered many times, and perhaps long after, so it is no part of what emitted it. Names and
 * kinds of the spans are those of https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/.
 */
export function tracing(
  provider: TracerProvider,
  scope: string,
  attributesOf: (destination: string) => Attributes,
): Required<Pick<TelemetryRecorder, 'inject' | 'process'>> {
  const tracer = provider.getTracer(scope);
  const operation = (name: string, destination: string): Attributes => ({
    ...attributesOf(destination),
    ...{ 'messaging.operation.name': name, 'messaging.operation.type': name },
  });
  return {
    inject: (destination) => {
      const active = context.active();
      const emitter = trace.getSpanContext(active);
      if (!emitter || !isSpanContextValid(emitter)) {
        return undefined;
      }
      const attributes = operation('create', destination);
      const span = tracer.startSpan(`create ${destination}`, { kind: SpanKind.PRODUCER, attributes }, active);
      const carrier: Record<string, string> = {};
      propagation.inject(trace.setSpan(active, span), carrier);
      span.end();
      const carried = JSON.stringify(carrier);
      return carried === '{}' || carried.length > MAX_CARRIED ? undefined : carried;
    },
    process: (destination, carried, run) => {
      const origin = carried === undefined ? undefined : contextOf(carried);
      if (!origin) {
        run();
        return;
      }
      const attributes = operation('process', destination);
      const options = { kind: SpanKind.CONSUMER, attributes, links: [{ context: origin.span }] };
      const span = tracer.startSpan(`process ${destination}`, options, ROOT_CONTEXT);
      try {
        context.with(trace.setSpan(origin.around, span), run);
      } catch (error) {
        span.recordException(error as Error);
        span.setStatus({ code: SpanStatusCode.ERROR });
        throw error;
      } finally {
        span.end();
      }
    },
  };
}

/**
 * What anybody who can write to Redis may have written. Undefined if it is no context, or if its trace is not sampled.
 *
 * `around` has what was carried besides, such as baggage.
 */
function contextOf(carried: string): { span: SpanContext; around: Context } | undefined {
  const carrier = toCarrier(carried);
  const around = carrier && propagation.extract(ROOT_CONTEXT, carrier);
  const span = around && trace.getSpanContext(around);
  return span && isSpanContextValid(span) && (span.traceFlags & TraceFlags.SAMPLED) !== 0
    ? { span, around }
    : undefined;
}

function toCarrier(text: string): Record<string, string> | undefined {
  if (text.length > MAX_CARRIED) {
    return undefined;
  }
  try {
    const value: unknown = JSON.parse(text);
    const entries = typeof value === 'object' && value !== null ? Object.entries(value) : [];
    return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  } catch {
    return undefined;
  }
}
