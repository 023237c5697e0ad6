import { now, type Message } from './scenarios.js';

/** Milliseconds without any receipt after which what has not come counts as lost. */
const PATIENCE = 2_000;

/** Counts what recipients are given during one measurement at a time. */
export class Receipts {
  private run = 0;
  private readonly counts = new Map<number, number>();
  private latencies: number[] = [];
  /** Of those, which were emitted by the recipient's own node. */
  private own: boolean[] = [];
  private target = Infinity;
  private settle: ((reached: boolean) => void) | undefined;

  start(run: number, recipients: readonly number[]): void {
    this.run = run;
    this.counts.clear();
    for (const recipient of recipients) {
      this.counts.set(recipient, 0);
    }
    this.latencies = [];
    this.own = [];
  }

  /** @param isOwn - whether it was emitted by the node that the recipient is connected to, where that is of interest */
  note(recipient: number, { run, at }: Pick<Message, 'run' | 'at'>, isOwn = false): void {
    const count = this.counts.get(recipient);
    if (count === undefined || run !== this.run) {
      return;
    }
    this.counts.set(recipient, count + 1);
    this.latencies.push(now() - at);
    this.own.push(isOwn);
    if (count + 1 === this.target && this.least >= this.target) {
      this.settle?.(true);
    }
  }

  /** Resolves to whether every recipient has been given so many; to false once nothing comes any more. */
  async reached(target: number): Promise<boolean> {
    if (this.least >= target) {
      return true;
    }
    this.target = target;
    let before = -1;
    const reached = await new Promise<boolean>((resolve) => {
      this.settle = resolve;
      const timer = setInterval(() => {
        if (this.total === before) resolve(false);
        before = this.total;
        if (this.target !== target) clearInterval(timer);
      }, PATIENCE);
      timer.unref();
    });
    this.target = Infinity;
    return reached;
  }

  /** How many were received by all recipients together, and the microseconds that each took: all, own nodes' and others'. */
  finish(): { received: number; latencies: Float64Array; own: Float64Array; remote: Float64Array } {
    const { latencies, own } = this;
    return {
      received: this.total,
      latencies: Float64Array.from(latencies),
      own: Float64Array.from(latencies.filter((_latency, i) => own[i])),
      remote: Float64Array.from(latencies.filter((_latency, i) => !own[i])),
    };
  }

  private get least(): number {
    return Math.min(...this.counts.values());
  }

  private get total(): number {
    let total = 0;
    for (const count of this.counts.values()) {
      total += count;
    }
    return total;
  }
}
