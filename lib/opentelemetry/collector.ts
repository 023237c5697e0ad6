import type {
  Attributes,
  BatchObservableResult,
  Histogram,
  Meter,
  MeterProvider,
  MetricOptions,
  Observable,
} from '@opentelemetry/api';
import { INSTRUMENTS, type Instrument, type InstrumentName, type Measurement } from './measurements.js';

/** Seconds, as the messaging conventions have them for operations. */
const OPERATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
/** Seconds; Redis' clock has milliseconds. */
const DELIVERY_BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/**
 * The instruments of one meter provider, and all nodes and emitters of this process that are measured by them. Those that have the
 * same attributes are added up: of two observations of one instrument, an SDK would take the last.
 */
class Collector {
  /** How long sending a batch took. */
  readonly sent: Histogram;
  /** How old entries were when they were delivered. */
  readonly delivered: Histogram;

  private readonly instruments = new Map<InstrumentName, Observable>();
  private readonly sources = new Set<() => Measurement[]>();
  /**
   * What is left of sources that are closed. A counter never goes down; of what goes up and down there is nothing left, which an
   * SDK has to be told: it would show the last value for ever.
   */
  private readonly ended = new Map<string, Measurement>();

  constructor(provider: MeterProvider, scope: string) {
    const meter = provider.getMeter(scope);
    this.sent = meter.createHistogram('messaging.client.operation.duration', {
      ...{ unit: 's', description: 'How long it took to send a batch of entries to Redis' },
      advice: { explicitBucketBoundaries: OPERATION_BUCKETS },
    });
    this.delivered = meter.createHistogram('redis_streams_adapter.delivery.duration', {
      ...{ unit: 's', description: 'How old entries were when they were delivered, once for all delivered together' },
      advice: { explicitBucketBoundaries: DELIVERY_BUCKETS },
    });
    for (const [name, { kind, unit, description }] of Object.entries(INSTRUMENTS)) {
      this.instruments.set(name as InstrumentName, create(meter, kind, name, { unit, description }));
    }
    meter.addBatchObservableCallback((result) => this.collect(result), [...this.instruments.values()]);
  }

  /** Looks at it with each collection, until the function that is returned is called. */
  add(look: () => Measurement[]): () => void {
    this.sources.add(look);
    return () => {
      if (this.sources.delete(look)) {
        look().forEach((measurement) => this.keep(measurement));
      }
    };
  }

  private keep(measurement: Measurement): void {
    const { kind } = INSTRUMENTS[measurement.name];
    if (kind !== 'gauge') {
      addTo(this.ended, kind === 'upDown' ? { ...measurement, value: 0 } : measurement);
    }
  }

  private collect(result: BatchObservableResult): void {
    const all = new Map(this.ended);
    for (const look of this.sources) {
      look().forEach((measurement) => addTo(all, measurement));
    }
    for (const { name, value, attributes } of all.values()) {
      result.observe(this.instruments.get(name)!, value, attributes);
    }
  }
}

function create(meter: Meter, kind: Instrument['kind'], name: string, options: MetricOptions): Observable {
  switch (kind) {
    case 'counter':
      return meter.createObservableCounter(name, options);
    case 'upDown':
      return meter.createObservableUpDownCounter(name, options);
    case 'gauge':
      return meter.createObservableGauge(name, options);
  }
}

function addTo(all: Map<string, Measurement>, measurement: Measurement): void {
  const { name, value, attributes } = measurement;
  const key = `${name} ${keyOf(attributes)}`;
  const before = all.get(key);
  all.set(key, before ? { ...before, value: combine(name, before.value, value) } : measurement);
}

function combine(name: InstrumentName, a: number, b: number): number {
  switch (INSTRUMENTS[name].together ?? 'sum') {
    case 'sum':
      return a + b;
    case 'most':
      return Math.max(a, b);
    case 'least':
      return Math.min(a, b);
  }
}

function keyOf(attributes: Attributes): string {
  return JSON.stringify(Object.entries(attributes).sort(([a], [b]) => (a < b ? -1 : 1)));
}

const collectors = new WeakMap<MeterProvider, Collector>();

/** The one of a provider: instruments of one name are made once. */
export function collectorOf(provider: MeterProvider, scope: string): Collector {
  const collector = collectors.get(provider) ?? new Collector(provider, scope);
  collectors.set(provider, collector);
  return collector;
}
