import { beforeEach, describe, expect, test } from '@jest/globals';
import type { Attributes } from '@opentelemetry/api';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { collectorOf } from '../../lib/opentelemetry/collector.js';
import type { InstrumentName, Measurement } from '../../lib/opentelemetry/measurements.js';
import { closeAfterwards } from '../kit/index.js';

const SENT = 'messaging.client.sent.messages';
const LAG = 'redis_streams_adapter.lag';
const READY = 'redis_streams_adapter.ready';
const OUTBOX = 'redis_streams_adapter.outbox.entries';

const of = (name: InstrumentName, value: number, attributes: Attributes = {}): Measurement => ({
  ...{ name, value, attributes },
});

describe('the collector of a meter provider', () => {
  let reader: PrometheusExporter;
  let provider: MeterProvider;

  beforeEach(() => {
    reader = new PrometheusExporter({ preventServerStart: true });
    provider = new MeterProvider({ readers: [reader] });
    closeAfterwards({ close: () => provider.shutdown() });
  });

  /** What an SDK collects: each value of an instrument with its attributes. */
  async function collected(instrument: InstrumentName): Promise<[value: unknown, attributes: Attributes][]> {
    const { resourceMetrics, errors } = await reader.collect();
    expect(errors).toEqual([]);
    return resourceMetrics.scopeMetrics
      .flatMap(({ metrics }) => metrics)
      .filter(({ descriptor }) => descriptor.name === instrument)
      .flatMap(({ dataPoints }) => dataPoints.map(({ value, attributes }) => [value, attributes] as never));
  }

  const collector = (): ReturnType<typeof collectorOf> => collectorOf(provider, 'test');

  test('is made once: a second source of the same provider is added to the first', async () => {
    expect(collector() === collector()).toBe(true); // a difference would be too large to print
    collector().add(() => [of(SENT, 1)]);
    collector().add(() => [of(SENT, 2)]);
    expect(await collected(SENT)).toEqual([[3, {}]]);
  });

  test('keeps apart what has other attributes, in whatever order they are given', async () => {
    collector().add(() => [of(SENT, 1, { a: 'x', b: 'y' })]);
    collector().add(() => [of(SENT, 2, { b: 'y', a: 'x' }), of(SENT, 4, { a: 'z' })]);
    expect(await collected(SENT)).toEqual([[3, { a: 'x', b: 'y' }], [4, { a: 'z' }]]); // prettier-ignore
  });

  test.each([
    [SENT, 7],
    [OUTBOX, 7],
    [LAG, 5],
    [READY, 2],
  ] as const)('makes of 2 and 5 of several nodes what they are together (%s: %i)', async (name, together) => {
    [5, 2].forEach((value) => collector().add(() => [of(name, value)]));
    expect(await collected(name)).toEqual([[together, {}]]);
  });

  test('keeps the counters of a source that has ended, and has nothing left of what it had at the time', async () => {
    let sent = 3;
    const end = collector().add(() => [of(SENT, sent), of(OUTBOX, 9)]);
    collector().add(() => [of(SENT, 10)]);
    expect(await collected(SENT)).toEqual([[13, {}]]);
    sent = 4; // since it was looked at last
    end();
    sent = 100;
    end(); // once is enough
    expect([await collected(SENT), await collected(OUTBOX)]).toEqual([[[14, {}]], [[0, {}]]]);
    collector().add(() => [of(SENT, 5), of(OUTBOX, 2)]);
    expect([await collected(SENT), await collected(OUTBOX)]).toEqual([[[19, {}]], [[2, {}]]]);
  });
});
