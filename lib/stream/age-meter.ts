import { ageOf, type StreamId } from '../wire/stream-id.js';
import type { TelemetryRecorder } from './telemetry.js';

/** Reports to the telemetry how old the entry is that was delivered last: once for all that are delivered together. */
export class AgeMeter {
  /** The last position at which that was looked at. */
  private position: StreamId | undefined;

  constructor(
    private readonly stream: string,
    private readonly telemetry: TelemetryRecorder | undefined,
  ) {}

  /** @param position - up to which entry all is delivered; undefined if that is not known yet */
  onProgress(position: StreamId | undefined): void {
    if (this.telemetry && position !== this.position) {
      if (this.position !== undefined && position !== undefined) {
        this.telemetry.onDelivered(this.stream, ageOf(position) / 1_000);
      }
      this.position = position;
    }
  }
}
