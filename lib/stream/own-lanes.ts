import { DIRECT_LANE } from '../wire/entry.js';
import { Lane } from './lane.js';

/** The numberings of this node's entries in one stream. */
export class OwnLanes {
  /** The lane of all entries but those of {@link direct}. */
  readonly main: Lane;
  /** The lane of what overtakes in the ordering `log`. */
  readonly direct: Lane;
  /** The one of these whose entries are delivered here at once. */
  readonly atOnce: Lane;

  constructor(nodeId: string, ordering: 'local-first' | 'log') {
    this.main = new Lane(nodeId);
    this.direct = new Lane(nodeId + DIRECT_LANE);
    this.atOnce = ordering === 'log' ? this.direct : this.main;
  }

  /** The lane that a publisher's entries are of; undefined if they are not this node's. */
  of(node: string | undefined): Lane | undefined {
    return node === this.main.node ? this.main : node === this.direct.node ? this.direct : undefined;
  }

  /** Whether all that Redis has acknowledged was read back, or is lost. */
  get isReadBack(): boolean {
    return this.main.read >= this.main.appended && this.direct.read >= this.direct.appended;
  }

  /** Notes that nothing of what Redis has acknowledged will be read back any more. */
  loseUnread(): void {
    this.main.readUpTo(this.main.appended);
    this.direct.readUpTo(this.direct.appended);
  }
}
