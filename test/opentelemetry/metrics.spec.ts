import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { metrics } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { Redis } from 'ioredis';
import { createAdapter } from '../../lib/adapter/index.js';
import { RedisStreamsEmitter } from '../../lib/emitter/index.js';
import { openTelemetry } from '../../lib/opentelemetry/index.js';
import { allReceived, closeAfterwards, Member, RedisServer, until } from '../kit/index.js';

/** A meter provider, and what Prometheus would scrape of it. */
class Scraped {
  private readonly reader = new PrometheusExporter({ preventServerStart: true });
  readonly provider = new MeterProvider({ readers: [this.reader] });

  async text(): Promise<string> {
    const { resourceMetrics, errors } = await this.reader.collect();
    expect(errors).toEqual([]);
    return new PrometheusSerializer().serialize(resourceMetrics);
  }

  /** The sum of all series of a metric whose labels are as given. */
  async value(name: string, labels: Record<string, string> = {}): Promise<number> {
    const lines = (await this.text()).split('\n').filter((line) => line.startsWith(`${name}{`));
    const matching = lines.filter((line) => Object.entries(labels).every(([k, v]) => line.includes(`${k}="${v}"`)));
    return matching.reduce((sum, line) => sum + Number(/\} (\S+)/.exec(line)![1]), 0);
  }

  async close(): Promise<void> {
    await this.provider.shutdown();
  }
}

let redis: RedisServer;

beforeEach(async () => {
  redis = await RedisServer.start();
});

function scraped(): Scraped {
  return closeAfterwards(new Scraped());
}

async function member(to: Scraped, adapter: object = {}): Promise<Member> {
  const telemetry = openTelemetry({ meterProvider: to.provider });
  return Member.start({
    port: redis.port,
    adapter: { ...adapter, telemetry },
    server: { connectionStateRecovery: {} },
  });
}

describe('the metrics of a node', () => {
  test('count what was appended, delivered and passed over, and measure how long that took', async () => {
    const [a, b] = [scraped(), scraped()];
    const [from, to] = [await member(a), await member(b)];
    for (let i = 0; i < 20; i++) {
      from.io.emit('msg', i);
      from.io.to('nobody').emit('msg', i);
    }
    await allReceived([from, to], 20);
    await until(() => to.counters.read === 40, { what: 'all to be read' });

    const stream = { messaging_destination_name: 'socket.io', messaging_system: 'redis' };
    await until(async () => (await a.value('messaging_client_sent_messages_total', stream)) === 40, {
      what: 'the count',
    });
    expect(await b.value('messaging_client_sent_messages_total', stream)).toBe(0);
    expect(await b.value('messaging_client_consumed_messages_total', stream)).toBe(40);
    expect(await b.value('redis_streams_adapter_entries_total', { ...stream, outcome: 'delivered' })).toBe(20);
    expect(await b.value('redis_streams_adapter_entries_total', { ...stream, outcome: 'passed_over' })).toBe(20);
    // Its own clients were given its own entries before they were appended.
    await until(() => from.counters.read === 40, { what: 'all to be read back' });
    expect(await a.value('redis_streams_adapter_entries_total', { ...stream, outcome: 'delivered' })).toBe(0);

    const batches = await a.value('messaging_client_operation_duration_count', {
      messaging_operation_name: 'send',
    });
    expect(batches).toBeGreaterThanOrEqual(1);
    expect(batches).toBeLessThan(40); // once for a batch
    expect(await a.text()).toMatch(/messaging_client_operation_duration_bucket\{.*le="0.005"/);
    expect(await b.value('redis_streams_adapter_delivery_duration_count')).toBeGreaterThanOrEqual(1);
    expect(await b.value('redis_streams_adapter_delivery_duration_sum')).toBeLessThan(5);
  });

  test('count nodes by their state, sockets, sessions, heartbeats and readiness', async () => {
    const all = scraped();
    const first = await member(all);
    const second = await member(scraped());
    await until(async () => (await all.value('redis_streams_adapter_nodes', { state: 'up' })) === 2, {
      what: 'two nodes',
    });
    expect(await all.value('redis_streams_adapter_ready')).toBe(1);
    expect(await all.value('redis_streams_adapter_sockets')).toBe(1);
    await until(async () => (await all.value('redis_streams_adapter_sessions')) === 1, { what: 'the session' });
    await until(
      async () => (await all.value('redis_streams_adapter_heartbeats_total', { direction: 'received' })) > 1,
      {
        what: 'heartbeats of the other',
      },
    );
    expect(await all.value('redis_streams_adapter_heartbeats_total', { direction: 'sent' })).toBeGreaterThan(0);
    await second.close();
    await until(async () => (await all.value('redis_streams_adapter_nodes', { state: 'left' })) === 1, {
      what: 'it to leave',
    });
    expect(await all.value('redis_streams_adapter_events_total', { type: 'node-left' })).toBe(1);
    expect(first.events.filter(({ type }) => type === 'node-left')).toHaveLength(1);
  });

  test('show what waits while Redis is away, and that this node is not ready', async () => {
    const all = scraped();
    const one = await member(all);
    await redis.kill();
    await until(async () => (await all.value('redis_streams_adapter_ready')) === 0, {
      what: 'the node not to be ready',
    });
    one.io.emit('msg', 'waits');
    expect(await all.value('redis_streams_adapter_outbox_entries')).toBe(1);
    expect(await all.value('redis_streams_adapter_outbox_size')).toBeGreaterThan(10);
    expect(await all.value('redis_streams_adapter_events_total', { type: 'redis-lost' })).toBe(1);
  });

  test('count recoveries by their outcome, and those refused by the reason', async () => {
    const all = scraped();
    const one = await member(all);
    one.io.emit('msg', 'so that there is an offset');
    await until(() => one.received.length === 1, { what: 'the message' });
    one.socket.io.engine.close();
    await until(
      async () => (await all.value('redis_streams_adapter_recoveries_total', { outcome: 'recovered' })) === 1,
      {
        what: 'the recovery',
      },
    );
    // Of a session that nobody knows:
    const stranger = one.connect({ auth: { pid: 'x'.repeat(20), offset: '1-1' } });
    await until(() => stranger.connected, { what: 'the connection' });
    expect(await all.value('redis_streams_adapter_recoveries_total', { outcome: 'refused', reason: 'unknown' })).toBe(
      1,
    );
    stranger.disconnect();
  });

  test('have the reason why a batch could not be sent', async () => {
    const all = scraped();
    const one = await member(all);
    await redis.command('SET', 'other', 'x');
    await redis.command('DEL', 'socket.io');
    await redis.command('RENAME', 'other', 'socket.io');
    one.io.emit('msg', 'refused');
    await until(
      async () => (await all.value('messaging_client_operation_duration_count', { error_type: 'WRONGTYPE' })) > 0,
      { what: 'the refusal' },
    );
    await redis.command('DEL', 'socket.io');
  });

  test('do not go down when it is closed, and those of nodes and emitters of one process are added up', async () => {
    const all = scraped();
    const [one, two] = [await member(all), await member(all)];
    const client = new Redis(redis.port);
    closeAfterwards({ close: () => client.disconnect() });
    const telemetry = openTelemetry({ meterProvider: all.provider });
    const emitter = closeAfterwards(new RedisStreamsEmitter(client, { telemetry }));
    one.io.emit('msg', 1);
    two.io.emit('msg', 2);
    emitter.emit('msg', 3);
    await allReceived([one, two], 3);
    const sent = (): Promise<number> => all.value('messaging_client_sent_messages_total');
    await until(async () => (await sent()) === 3, { what: 'three to be counted' });
    await emitter.close();
    await two.close();
    expect(await sent()).toBe(3);
    expect(await all.value('redis_streams_adapter_sockets')).toBe(1);
  });

  test('have the attributes that are given, and no other names than those documented', async () => {
    const all = scraped();
    const telemetry = openTelemetry({ meterProvider: all.provider, attributes: { region: 'north' } });
    await Member.start({ port: redis.port, adapter: { telemetry } });
    const lines = (await all.text()).split('\n').filter((line) => /^(messaging|redis_streams)/.test(line));
    expect(lines.length).toBeGreaterThan(20);
    expect(lines.filter((line) => !line.includes('region="north"'))).toEqual([]);
  });
});

describe('the global meter provider', () => {
  afterEach(() => metrics.disable());

  test('is used where none is given, and without one nothing is collected', async () => {
    const all = scraped();
    const before = await Member.start({ port: redis.port, adapter: { telemetry: openTelemetry() } });
    metrics.setGlobalMeterProvider(all.provider);
    const after = await Member.start({ port: redis.port, adapter: { telemetry: openTelemetry() } });
    before.io.emit('msg', 1);
    after.io.emit('msg', 2);
    await allReceived([before, after], 2);
    await until(async () => (await all.value('messaging_client_sent_messages_total')) === 1, {
      what: 'one to be counted',
    });
  });
});

test('the option telemetry takes what openTelemetry() returns, and nothing else', () => {
  const client = new Redis(redis.port, { lazyConnect: true });
  expect(() => createAdapter(client, { telemetry: true as never })).toThrow(
    'telemetry: true is not allowed. Give what openTelemetry() of nestjs-redis-streams-adapter/opentelemetry returns.',
  );
  client.disconnect();
});
