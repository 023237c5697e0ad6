import { expect, test } from '@jest/globals';
import { Deafness } from '../../lib/cluster/deafness.js';

test('Deafness keeps where each stream was read when it began, whatever is read or lost until it ends', () => {
  const deafness = new Deafness();
  const [read, begun, unknown] = [
    { position: '1-0' },
    { position: '5-0' },
    { position: undefined as string | undefined },
  ];
  const positions = (): unknown[] => [read, begun, unknown].map((log) => deafness.positionOf(log));
  expect(positions()).toEqual([undefined, undefined, undefined]);
  deafness.begin([read, begun, unknown]);
  read.position = '2-0';
  unknown.position = '7-0';
  deafness.begin([read, begun, unknown]); // it has begun before, but not for what was not known to be read
  read.position = '3-0';
  expect(positions()).toEqual(['1-0', '5-0', '7-0']);
  deafness.end();
  expect(positions()).toEqual([undefined, undefined, undefined]);
  deafness.begin([read]);
  expect(positions()).toEqual(['3-0', undefined, undefined]);
});
