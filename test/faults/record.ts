import { appendFileSync } from 'node:fs';
import type { Member } from '../kit/index.js';

export interface FaultRecord {
  /** The fault. */
  row: string;
  /** Broadcasts times the clients that should receive them. */
  sent: number;
  /** Of these, received at least once. */
  once: number;
  /** Received again. */
  doubled: number;
  /** Counted as lost and reported by the nodes. */
  reported: number;
}

/** What a fault did that is no matter of messages lost. */
export interface ObservationRecord {
  /** The fault. */
  fault: string;
  observed: string;
}

/** Notes the figures of a test for the table of `docs/faults.md`, if it is being made (`npm run faults`). */
export function record(
  row: string,
  members: Pick<Member, 'received' | 'counters'>[],
  sentToEach: number,
  reported = 0,
): void {
  if (process.env.FAULTS_RECORD) {
    const distinct = members.map(({ received }) => new Set(received.map((value) => JSON.stringify(value))).size);
    const once = distinct.reduce((sum, one) => sum + one, 0);
    const all = members.reduce((sum, { received }) => sum + received.length, 0);
    note({ row, sent: sentToEach * members.length, once, doubled: all - once, reported });
  }
}

/** Notes what a test measured for the second table. */
export function observe(fault: string, observed: string): void {
  note({ fault, observed });
}

function note(line: FaultRecord | ObservationRecord): void {
  const file = process.env.FAULTS_RECORD;
  if (file) {
    appendFileSync(file, `${JSON.stringify(line)}\n`);
  }
}
