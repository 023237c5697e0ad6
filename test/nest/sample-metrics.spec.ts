import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { RedisStreamsAdapterModule } from 'nestjs-redis-streams-adapter';
import { openTelemetry } from 'nestjs-redis-streams-adapter/opentelemetry';
import { ChatGateway } from '../../sample/chat/src/chat.gateway.js';
import { meterProvider, MetricsController } from '../../sample/chat/src/metrics.controller.js';
import { RedisServer, until } from '../kit/index.js';
import { connect, FAST, portOf, startApp } from './nest-app.js';

interface Dashboard {
  templating: { list: { name: string; query?: string | { query: string } }[] };
  panels: { id: number; title: string; targets: { expr: string }[]; gridPos: Record<'x' | 'y' | 'w' | 'h', number> }[];
}

const dashboard = JSON.parse(
  readFileSync(new URL('../../sample/chat/grafana/dashboard.json', import.meta.url), 'utf8'),
) as Dashboard;
const queries = [
  ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
  ...dashboard.templating.list.map(({ query }) => (typeof query === 'object' ? query.query : '')),
].filter((query) => query.includes('_'));

/** Metrics and labels of an expression of PromQL, labels that Prometheus or Grafana itself adds left out. */
function named(expression: string): { metrics: string[]; labels: string[] } {
  const labels = [...expression.matchAll(/by \(([\w, ]+)\)|(\w+)[!=]~?"/g)].flatMap(([, by, one]) =>
    (by ?? one!).split(', '),
  );
  return {
    metrics: [...expression.matchAll(/\b(?:messaging|redis_streams_adapter)_\w+/g)].map(([metric]) => metric),
    labels: labels.filter((label) => !['job', 'instance', 'le'].includes(label)),
  };
}

test('the sample gives every metric, and every label, that its dashboard asks for', async () => {
  const redis = await RedisServer.start();
  const app = await startApp({
    imports: [
      RedisStreamsAdapterModule.forRoot({
        ...{ connection: redis.url, streamName: 'chat', ...FAST },
        serverOptions: { connectionStateRecovery: {} },
        telemetry: openTelemetry({ meterProvider }),
      }),
    ],
    controllers: [MetricsController],
    providers: [ChatGateway],
  });
  const client = await connect(portOf(app), '/', { auth: { room: 'Lobby', name: 'Ann' } });
  client.emit('message', { client: 'c', number: 1, text: 'hello' });
  // Something that fails, so that there are an error and an event.
  await redis.command('SET', 'other', 'x');
  await redis.command('RENAME', 'other', 'chat');
  const scrape = async (): Promise<string> => {
    client.emit('message', { client: 'c', number: 2, text: 'hello' });
    const response = await fetch(`http://127.0.0.1:${portOf(app)}/metrics`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toMatch(/^text\/plain/);
    return response.text();
  };
  let text = '';
  await until(async () => /error_type="WRONGTYPE"/.test((text = await scrape())), { what: 'the refusal' });
  await redis.command('DEL', 'chat');
  await until(async () => /delivery_duration_count/.test((text = await scrape())), { what: 'a delivery' });

  expect(queries.length).toBeGreaterThan(20);
  for (const query of queries) {
    const { metrics, labels } = named(query);
    expect(metrics).toHaveLength(1);
    const series = text.split('\n').filter((line) => line.startsWith(`${metrics[0]}{`));
    expect([query, series.length > 0]).toEqual([query, true]);
    for (const label of labels) {
      expect([query, label, series.some((line) => line.includes(`${label}="`))]).toEqual([query, label, true]);
    }
  }
});

test('the dashboard shows all metrics that the sample gives but some that are of no use without others', async () => {
  const asked = new Set(queries.flatMap((query) => named(query).metrics));
  const text = readFileSync(new URL('../../lib/opentelemetry/measurements.ts', import.meta.url), 'utf8');
  const given = [...text.matchAll(/^ {2}(?:'(messaging[\w.]+)'|\[`\$\{OUR\}\.([\w.]+)`\]): (\w+)?/gm)].map(
    ([, convention, own, kind]) =>
      (convention ?? `redis_streams_adapter.${own}`).replaceAll('.', '_') + (kind === 'counter' ? '_total' : ''),
  );
  expect(given.length).toBeGreaterThan(15);
  expect(given.filter((metric) => !asked.has(metric))).toEqual([
    'redis_streams_adapter_replay_entries',
    'redis_streams_adapter_sessions',
  ]);
});

test('the panels of the dashboard do not lie upon each other', () => {
  const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
  expect(dashboard.panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true);
  expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
});
