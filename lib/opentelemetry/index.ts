/**
 * Metrics and traces. It needs `@opentelemetry/api`.
 *
 * @module nestjs-redis-streams-adapter/opentelemetry
 */
export { openTelemetry, type OpenTelemetryOptions } from './open-telemetry.js';
export type * from '../cluster/telemetry.js';
