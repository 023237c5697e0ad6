import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { context, propagation, SpanKind, trace, type Span } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  InMemorySpanExporter,
  ParentBasedSampler,
  SamplingDecision,
  SimpleSpanProcessor,
  TracerProvider,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace';
import { Redis } from 'ioredis';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import { openTelemetry } from '../../lib/opentelemetry/index.js';
import { allReceived, closeAfterwards, Member, RedisServer, until } from '../kit/index.js';

/** What records the spans of one node. */
class Traced {
  private readonly exporter = new InMemorySpanExporter();
  readonly provider = new TracerProvider({
    spanProcessors: [new SimpleSpanProcessor({ exporter: this.exporter })],
    sampler: new ParentBasedSampler({
      root: {
        shouldSample: (_context, _traceId, name) => ({
          decision: name === 'unsampled' ? SamplingDecision.NOT_RECORD : SamplingDecision.RECORD_AND_SAMPLED,
        }),
        toString: () => 'by name',
      },
    }),
  });

  /** Does something within a span. */
  within<T>(name: string, run: (span: Span) => T): T {
    return this.provider.getTracer('test').startActiveSpan(name, (span) => {
      try {
        return run(span);
      } finally {
        span.end();
      }
    });
  }

  spans(name: string): ReadableSpan[] {
    return this.exporter.getFinishedSpans().filter((span) => span.name === name);
  }

  async close(): Promise<void> {
    await this.provider.shutdown();
  }
}

let redis: RedisServer;

beforeEach(async () => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(
    new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
  );
  redis = await RedisServer.start();
});

afterEach(() => {
  context.disable();
  propagation.disable();
});

async function traced(traces = true): Promise<{ member: Member; traced: Traced }> {
  const traced = closeAfterwards(new Traced());
  const telemetry = openTelemetry({ traces, tracerProvider: traced.provider });
  return { member: await Member.start({ port: redis.port, adapter: { telemetry } }), traced };
}

describe('a broadcast that is emitted within a span', () => {
  test('is delivered on another node within a span that is linked to it, in a trace of its own', async () => {
    const [a, b] = [await traced(), await traced()];
    const origin = a.traced.within('request', (span) => {
      a.member.io.emit('msg', 'hello');
      return span.spanContext();
    });
    await allReceived([a.member, b.member], 1);

    const [created] = a.traced.spans('create socket.io');
    expect(created).toMatchObject({
      kind: SpanKind.PRODUCER,
      parentSpanContext: { spanId: origin.spanId },
      attributes: {
        'messaging.system': 'redis',
        'messaging.destination.name': 'socket.io',
        'messaging.operation.name': 'create',
      },
    });
    const [processed] = b.traced.spans('process socket.io');
    expect(processed).toMatchObject({ kind: SpanKind.CONSUMER, attributes: { 'messaging.operation.name': 'process' } });
    expect(processed!.parentSpanContext).toBeUndefined();
    expect(processed!.links.map(({ context: { traceId, spanId } }) => ({ traceId, spanId }))).toEqual([
      { traceId: origin.traceId, spanId: created!.spanContext().spanId },
    ]);
    expect(processed!.spanContext().traceId).not.toBe(origin.traceId);
    // Its own clients were served in the span in which it was emitted.
    expect(a.traced.spans('process socket.io')).toEqual([]);
  });

  test('is no span on a node that has nobody to deliver it to', async () => {
    const [a, b] = [await traced(), await traced()];
    a.traced.within('request', () => a.member.io.to('nobody').emit('msg', 1));
    a.traced.within('request', () => a.member.io.emit('msg', 2));
    await allReceived([a.member, b.member], 1);
    expect(b.traced.spans('process socket.io')).toHaveLength(1);
  });

  test('brings its baggage and its span to what listens there', async () => {
    const [a, b] = [await traced(), await traced()];
    const seen: [string | undefined, string | undefined][] = [];
    b.member.io.on('question', () => {
      const active = context.active();
      seen.push([propagation.getBaggage(active)?.getEntry('tenant')?.value, trace.getSpanContext(active)?.spanId]);
    });
    const baggage = propagation.createBaggage({ tenant: { value: 'acme' } });
    a.traced.within('request', () =>
      context.with(propagation.setBaggage(context.active(), baggage), () => a.member.io.serverSideEmit('question')),
    );
    await until(() => seen.length === 1, { what: 'the question' });
    await until(() => b.traced.spans('process socket.io').length === 1, { what: 'the span' });
    expect(seen).toEqual([['acme', b.traced.spans('process socket.io')[0]!.spanContext().spanId]]);
  });

  test('of an emitter is linked likewise', async () => {
    const [emitting, b] = [closeAfterwards(new Traced()), await traced()];
    const client = new Redis(redis.port);
    closeAfterwards({ close: () => client.disconnect() });
    const telemetry = openTelemetry({ traces: true, tracerProvider: emitting.provider });
    const emitter = closeAfterwards(new RedisStreamsEmitter(client, { telemetry }));
    emitting.within('job', () => emitter.emit('msg', 1));
    await allReceived([b.member], 1);
    const [created] = emitting.spans('create socket.io');
    const [processed] = b.traced.spans('process socket.io');
    expect(processed!.links[0]!.context.spanId).toBe(created!.spanContext().spanId);
  });

  test('whose trace is not sampled is no span elsewhere', async () => {
    const [a, b] = [await traced(), await traced()];
    a.traced.within('unsampled', () => a.member.io.emit('msg', 1));
    await allReceived([a.member, b.member], 1);
    expect(b.traced.spans('process socket.io')).toEqual([]);
  });
});

test('without "traces", and outside of a span, nothing is carried', async () => {
  const [off, on] = [await traced(false), await traced()];
  off.traced.within('request', () => off.member.io.emit('msg', 1));
  on.member.io.emit('msg', 2);
  await allReceived([off.member, on.member], 2);
  const entries = JSON.stringify(await redis.command('XRANGE', 'socket.io', '-', '+'));
  expect(entries).toContain('seq');
  expect(entries).not.toContain('trace');
});

test('what is no trace is passed over, and the message is delivered', async () => {
  const { member, traced: spans } = await traced();
  const data = JSON.stringify({ packet: { type: 2, data: ['msg', 1] }, opts: { rooms: [], except: [], flags: {} } });
  const hostile = [
    '',
    '[]',
    '{',
    'null',
    '{"traceparent":1}',
    '{"traceparent":"00-0-0-01"}',
    `{"a":"${'x'.repeat(9_000)}"}`,
    '{"__proto__":{"traceparent":"x"}}',
  ];
  for (const text of hostile) {
    await redis.command(
      'XADD',
      'socket.io',
      '*',
      'uid',
      'emitter',
      'nsp',
      '/',
      'type',
      '3',
      'data',
      data,
      'trace',
      text,
    );
  }
  await allReceived([member], hostile.length);
  expect(spans.spans('process socket.io')).toEqual([]);
  expect(member.counters.rejected).toBe(0);
});
