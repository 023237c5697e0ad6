export { openTelemetry, type OpenTelemetryOptions } from './open-telemetry.js';
export type * from '../cluster/telemetry.js';
