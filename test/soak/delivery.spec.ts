import { expect, test } from '@jest/globals';
import { anomalies, soakDelivery } from './delivery.js';

test.each([
  [7, 'log'],
  [8, 'local-first'],
] as const)(
  'random faults (seed %d, %s) leave nothing missing, doubled or out of order',
  async (seed, ordering) => {
    const report = await soakDelivery({ seed, seconds: 10, ordering });
    expect({ ...report, anomalies: anomalies(report) }).toMatchObject({ anomalies: 0 });
    expect(report.received).toBeGreaterThan(1_000);
  },
  90_000,
);
