/** How long what was carried out is known, in milliseconds; and of how many requests, at most. */
export const KEPT_MS = 60_000;
const MAX_REQUESTS = 10_000;
/** Bytes of answers that are kept, of all requests together. */
const MAX_BYTES = 256 * 1024;

interface Request {
  /** By the monotonic clock. */
  at: number;
  /** What was answered, encoded, as far as it is kept. */
  answers: Buffer[];
}

/**
 * Requests of other servers that were carried out lately. Who does not hear an answer, or does not know whether a request was
 * heard, sends it again: then it is not carried out again, and what was answered is sent again.
 */
export class CarriedOut {
  /** By server and request, oldest first. At most MAX_REQUESTS. */
  private readonly requests = new Map<string, Request>();
  /** Of all answers. */
  private bytes = 0;

  /** @param now - milliseconds, monotonic */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Takes a request in. Returns undefined if it is new, and else what was answered to it. */
  begin(uid: string, requestId: string): readonly Buffer[] | undefined {
    const key = keyOf(uid, requestId);
    const known = this.requests.get(key);
    if (known) {
      return known.answers;
    }
    this.forgetOld();
    this.requests.set(key, { at: this.now(), answers: [] });
    return undefined;
  }

  /** A request has been answered, by this among others. */
  onAnswer(uid: string, requestId: string, answer: Buffer): void {
    const request = this.requests.get(keyOf(uid, requestId));
    if (!request || answer.length > MAX_BYTES) {
      return;
    }
    request.answers.push(answer);
    this.bytes += answer.length;
    for (const older of this.requests.values()) {
      if (this.bytes <= MAX_BYTES) {
        return;
      }
      this.dropAnswers(older);
    }
  }

  private forgetOld(): void {
    const before = this.now() - KEPT_MS;
    for (const [key, request] of this.requests) {
      if (request.at > before && this.requests.size < MAX_REQUESTS) {
        return;
      }
      this.dropAnswers(request);
      this.requests.delete(key);
    }
  }

  private dropAnswers(request: Request): void {
    this.bytes -= request.answers.reduce((sum, { length }) => sum + length, 0);
    request.answers = [];
  }
}

function keyOf(uid: string, requestId: string): string {
  return `${uid} ${requestId}`;
}
