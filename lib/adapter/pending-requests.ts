import type { Census } from '../cluster/request-bus.js';

/** Milliseconds after which Redis is asked again who is still there to answer. */
const RECHECK = 250;

/** What a request ends with: the answers, and an error if some are missing. */
export type RequestOutcome = (error: Error | undefined, responses: unknown[]) => void;

interface PendingRequest {
  /** Uids that were known when it was sent. */
  named: ReadonlySet<string>;
  /** Those of them that have not answered. */
  missing: Set<string>;
  answered: Set<string>;
  /** Servers whose uids were not known then, and that have not answered. */
  missingOthers: number;
  expected: number;
  responses: unknown[];
  finish: (error?: Error) => void;
}

/**
 * Requests of this server that wait for the other servers' answers. A request ends when all have answered, when those
 * that have not are known to be gone, or when its time is over.
 */
export class PendingRequests {
  private readonly requests = new Map<string, PendingRequest>();
  private recheckTimer: NodeJS.Timeout | undefined;
  private rechecking = false;

  constructor(private readonly census: () => Promise<Census>) {}

  get size(): number {
    return this.requests.size;
  }

  /**
   * @param servers - who is to answer
   * @param timeout - milliseconds
   * @param responses - to which the answers are added
   */
  open(id: string, servers: Census, timeout: number, responses: unknown[], done: RequestOutcome): void {
    const timer = setTimeout(() => {
      const { answered, expected } = request;
      request.finish(new Error(`timeout reached: only ${answered.size} responses received out of ${expected}`));
    }, timeout);
    const request: PendingRequest = {
      named: servers.named,
      missing: new Set(servers.named),
      answered: new Set(),
      missingOthers: servers.others,
      expected: servers.named.size + servers.others,
      responses,
      finish: (error) => {
        clearTimeout(timer);
        this.requests.delete(id);
        done(error, responses);
      },
    };
    this.requests.set(id, request);
    this.settle(request);
    this.scheduleRecheck();
  }

  /** A server has answered with these responses. */
  answer(id: string, uid: string, responses: readonly unknown[]): void {
    const request = this.requests.get(id);
    if (!request || request.answered.has(uid)) {
      return;
    }
    request.answered.add(uid);
    request.responses.push(...responses);
    if (!request.missing.delete(uid)) {
      request.missingOthers--;
    }
    this.settle(request);
  }

  /** Looks again who is still there: nobody waits for a server that is gone. */
  async recheck(): Promise<void> {
    if (this.requests.size === 0 || this.rechecking) {
      return;
    }
    this.rechecking = true;
    try {
      const present = await this.census();
      for (const request of [...this.requests.values()]) {
        for (const uid of request.missing) {
          if (!present.named.has(uid)) {
            request.missing.delete(uid);
          }
        }
        const { named, answered } = request;
        const answeredOthers = [...answered].filter((uid) => !present.named.has(uid)).length;
        // Some of the others may have become known since.
        const nowNamed = [...present.named].filter((uid) => !named.has(uid) && !answered.has(uid)).length;
        const others = Math.max(0, present.others - answeredOthers) + nowNamed;
        request.missingOthers = Math.min(request.missingOthers, others);
        this.settle(request);
      }
    } catch {
      // Redis is away: the requests' own time decides
    } finally {
      this.rechecking = false;
      this.scheduleRecheck();
    }
  }

  close(): void {
    clearTimeout(this.recheckTimer);
    for (const request of [...this.requests.values()]) {
      request.finish();
    }
  }

  private settle(request: PendingRequest): void {
    if (request.missing.size === 0 && request.missingOthers <= 0) {
      request.finish();
    }
  }

  private scheduleRecheck(): void {
    clearTimeout(this.recheckTimer);
    if (this.requests.size > 0) {
      this.recheckTimer = setTimeout(() => void this.recheck(), RECHECK).unref();
    }
  }
}
