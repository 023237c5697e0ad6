/** How many kinds are reported, at most: they may contain what comes from outside. */
const MAX_KINDS = 200;

/** What was reported already, of what is to be reported the first time only. After many kinds, nothing new is any more. */
export class ReportedKinds {
  private readonly kinds = new Set<string>();

  /** Whether something of this kind is to be reported; the next time, it is not. */
  isFirst(kind: string): boolean {
    if (this.kinds.has(kind) || this.kinds.size >= MAX_KINDS) {
      return false;
    }
    this.kinds.add(kind);
    return true;
  }
}
