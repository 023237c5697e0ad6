import { describe, expect, test } from '@jest/globals';
import { NodeProcess } from '../kit/index.js';

const CHILD = new URL('./throwing-listeners.child.ts', import.meta.url);

interface Outcome {
  /** What was thrown at the call. */
  thrown: string | null;
  uncaught: string[];
  /** Whether all others were given it, too. */
  isDone: boolean;
}

async function outcomes(mode: string): Promise<{ outcomes: Record<string, Outcome>; events: string[] }> {
  const node = await NodeProcess.start(CHILD, { options: { mode }, startTimeout: 40_000 });
  return node.call('outcomes');
}

const thrownAtTheCall = (message: string): Outcome => ({ thrown: message, uncaught: [], isDone: false });
const uncaught = (message: string): Outcome => ({ thrown: null, uncaught: [message], isDone: true });

describe('What a listener of the application throws while something is done with several sockets', () => {
  test('with the in-memory adapter goes to the caller, and the sockets after it are left out', async () => {
    expect(await outcomes('in-memory')).toEqual({
      outcomes: {
        'emit, a listener for what goes out': thrownAtTheCall('outgoing'),
        'socketsJoin, a listener of the adapter': thrownAtTheCall('join'),
        'socketsLeave, a listener of the adapter': thrownAtTheCall('leave'),
        'disconnectSockets, a listener for that': thrownAtTheCall('disconnect'),
      },
      events: [],
    });
  }, 60_000);

  test.each(['local-first', 'log'])(
    'goes to a caller of the same process, else is uncaught; all others receive the event (%s)',
    async (ordering) => {
      expect(await outcomes(ordering)).toEqual({
        outcomes: {
          'emit, a listener for what goes out': uncaught('outgoing'),
          'socketsJoin, a listener of the adapter': uncaught('join'),
          'socketsLeave, a listener of the adapter': uncaught('leave'),
          'serverSideEmit, a listener of the server': uncaught('server'),
          'disconnectSockets, a listener for that': uncaught('disconnect'),
          'emit, a listener for what goes out of the same node':
            ordering === 'log' ? uncaught('own') : thrownAtTheCall('own'), // in the order of the log the call is over
        },
        events: [], // it is no fault of the entry
      });
    },
    60_000,
  );
});
