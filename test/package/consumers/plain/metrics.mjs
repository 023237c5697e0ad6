// Emits once, and prints the names of the metrics that there are of it.
import { Redis } from 'ioredis';
import { metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { RedisStreamsEmitter } from 'nestjs-redis-streams-adapter/emitter';
import { openTelemetry } from 'nestjs-redis-streams-adapter/opentelemetry';

const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const provider = new MeterProvider({
  readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000 })],
});
metrics.setGlobalMeterProvider(provider);

const client = new Redis(process.env.REDIS_URL);
const emitter = new RedisStreamsEmitter(client, { streamName: 'chat', telemetry: openTelemetry() });
emitter.emit('said', 'from a worker');
while (emitter.status().streams[0].counters.appended === 0) await new Promise((resolve) => setTimeout(resolve, 5));
await provider.forceFlush();
for (const { scopeMetrics } of exporter.getMetrics())
  for (const { metrics: all } of scopeMetrics) for (const { descriptor } of all) console.log(descriptor.name);
await emitter.close();
await client.quit();
await provider.shutdown();
