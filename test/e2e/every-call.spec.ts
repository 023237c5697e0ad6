import { describe, expect, test } from '@jest/globals';
import { NodeProcess } from '../kit/index.js';

const CHILD = new URL('./every-call.child.ts', import.meta.url);
const MOMENTS = [
  ...['starting without Redis', 'running', 'Redis just gone', 'Redis away', 'Redis just back', 'running again'],
  ...['closing', 'closed'],
];

interface Result {
  problems: string[];
  outcomes: Record<string, Record<string, string>>;
}

describe.each([
  ['recovery', 'local-first'],
  ['no recovery', 'local-first'],
  ['recovery', 'log'],
])(
  'Every call of the API of servers, observers and emitters, at every moment of their lives (%s, %s)',
  (recovery, ordering) => {
    test('throws nothing, rejects nothing that nobody can catch, and has an outcome in time', async () => {
      const node = await NodeProcess.start(CHILD, {
        options: { recovery: recovery === 'recovery', ordering },
        startTimeout: 60_000,
      });
      const { problems, outcomes } = await node.call<Result>('callAtEveryMoment');
      expect(problems).toEqual([]);
      expect(Object.keys(outcomes)).toEqual(MOMENTS);
      for (const moment of MOMENTS.slice(0, -2)) {
        const isThere = moment.startsWith('running');
        const unsent = moment.startsWith('starting')
          ? /^rejected: timeout reached: Redis has not been reached yet/
          : /^rejected: the request cannot be sent to other servers: Redis cannot be used now/;
        // The client of this node answers, Redis or not. Whether there are other nodes, only Redis can tell.
        expect({ moment, ...outcomes[moment] }).toMatchObject({
          moment,
          'socket.emitWithAck': 'answer',
          'local emitWithAck': '1',
          emitWithAck: isThere ? '1' : 'rejected: operation has timed out',
          'emitWithAck to nobody': '0',
          'remote socket, emitWithAck': isThere ? 'undefined' : 'rejected: operation has timed out',
          allSockets: isThere ? '[object Set]' : expect.stringMatching(unsent),
          'local fetchSockets': '1',
          serverCount: '1',
          fetchSockets: isThere ? '1' : expect.stringMatching(unsent),
          serverSideEmitWithAck: isThere ? '0' : expect.stringMatching(unsent),
        });
      }
    }, 120_000);
  },
);
