import { createAdapter } from 'nestjs-redis-streams-adapter/adapter';
import { openTelemetry, type OpenTelemetryOptions } from 'nestjs-redis-streams-adapter/opentelemetry';
import type { RedisDriver } from 'nestjs-redis-streams-adapter/driver';

const options: OpenTelemetryOptions = { traces: true, attributes: { 'deployment.environment.name': 'test' } };

export const adapterFor = (driver: RedisDriver) => createAdapter(driver, { telemetry: openTelemetry(options) });
