import { expect, test } from '@jest/globals';
import { AgeMeter } from '../../lib/stream/age-meter.js';
import type { TelemetryRecorder } from '../../lib/stream/telemetry.js';

test('AgeMeter reports the age of the entry at each new position once, but not where reading began', () => {
  const ages: number[] = [];
  const recorder: Partial<TelemetryRecorder> = {
    onDelivered: (stream, age) => void ages.push(stream === 's' ? age : NaN),
  };
  const meter = new AgeMeter('s', recorder as TelemetryRecorder);
  const position = (ageMs: number): string => `${Date.now() - ageMs}-0`;
  [undefined, position(9_000)].forEach((one) => meter.onProgress(one));
  expect(ages).toEqual([]);
  const next = position(2_000);
  [next, next].forEach((one) => meter.onProgress(one));
  expect(ages).toEqual([expect.closeTo(2, 1)]);
});
