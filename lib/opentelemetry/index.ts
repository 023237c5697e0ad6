export { openTelemetry, type OpenTelemetryOptions } from './open-telemetry.js';
export type {
  RedisStreamsTelemetry,
  TelemetryRecorder,
  TelemetrySource,
  TelemetryStream,
} from '../cluster/telemetry.js';
