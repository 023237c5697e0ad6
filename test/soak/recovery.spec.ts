import { expect, test } from '@jest/globals';
import { anomaliesOf, soakRecovery } from './recovery.js';

test('clients cut off at random, from nodes killed, frozen and replaced, receive everything once', async () => {
  const report = await soakRecovery({ seed: 11, seconds: 10 });
  const anomalies = anomaliesOf(report);
  expect(anomalies === 0 ? {} : report).toEqual({}); // shows which
  expect(report.recoveries).toBeGreaterThan(100);
}, 180_000);
