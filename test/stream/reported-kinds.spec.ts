import { expect, test } from '@jest/globals';
import { ReportedKinds } from '../../lib/stream/reported-kinds.js';

test('ReportedKinds has each kind reported once, and of those that come without end, 200', () => {
  const kinds = new ReportedKinds();
  const first = Array.from({ length: 600 }, (_, i) => kinds.isFirst(`kind ${i % 300}`));
  expect(first.slice(0, 200)).toEqual(Array(200).fill(true));
  expect(first.slice(200)).toEqual(Array(400).fill(false));
});
