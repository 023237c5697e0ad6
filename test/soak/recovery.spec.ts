import { expect, test } from '@jest/globals';
import { anomaliesOf, soakRecovery } from './recovery.js';

test('clients that are cut off at random, on nodes that are killed, frozen and replaced, miss and receive nothing twice', async () => {
  const report = await soakRecovery({ seed: 11, seconds: 10 });
  expect({ ...report, anomalies: anomaliesOf(report) }).toMatchObject({ anomalies: 0 });
  expect(report.recoveries).toBeGreaterThan(100);
}, 180_000);
