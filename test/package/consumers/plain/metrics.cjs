// The same from CommonJS, with the package's other build.
const { createClient } = require('redis');
const {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} = require('@opentelemetry/sdk-metrics');
const { RedisStreamsEmitter } = require('nestjs-redis-streams-adapter/emitter');
const { openTelemetry } = require('nestjs-redis-streams-adapter/opentelemetry');

async function main() {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  const meterProvider = new MeterProvider({
    readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 60_000 })],
  });
  const client = createClient({ url: process.env.REDIS_URL });
  const emitter = new RedisStreamsEmitter(client, { streamName: 'chat', telemetry: openTelemetry({ meterProvider }) });
  emitter.emit('said', 'from a worker');
  while (emitter.status().streams[0].counters.appended === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  await meterProvider.forceFlush();
  for (const { scopeMetrics } of exporter.getMetrics())
    for (const { metrics } of scopeMetrics) for (const { descriptor } of metrics) console.log(descriptor.name);
  await emitter.close();
  await meterProvider.shutdown();
}

void main();
