import type { SessionClaim } from '../session/session-claim.js';
import type { Replay, ReplayItem, ReplayOutcome } from '../stream/replay-log.js';
import { joinCuts, type Cut } from '../wire/cut.js';
import type { Session } from '../wire/session.js';
import { STREAM_START } from '../wire/stream-id.js';
import { withMore } from './clients-ahead.js';
import type { NamespaceLike, SocketLike } from './socket-io.js';

/**
 * A client that is coming back.
 *
 * - It is being restored: what it missed is collected. Its socket does not exist yet.
 * - Its socket is in the middlewares. What the log brings for it is collected still.
 * - Its socket has joined the namespace, or never will: its connection is gone, or a middleware refused it. In both
 *   cases the session goes back to Redis, for the client may try again.
 *
 * At any time its session may be taken by a later connection of the same client: then it is released.
 */
export class RecoveringClient {
  /** The session as it was when it was taken. */
  readonly session: Session;
  /** What the client has. */
  readonly cut: Cut;
  /** What is kept of it: its session and, once that was found to go with the offset, what only the offset says. */
  private kept: Session;
  /** Resolves when no socket of it is left. */
  readonly ended: Promise<void>;
  /** Resolves {@link ended}. */
  private markEnded!: () => void;
  /** Whether the history was replaced since: what was collected may not go with what the client has. */
  private isOutdated = false;
  /** Collects what it missed; undefined before that begins, and when it has ended. */
  private replay: Replay | undefined;

  /** @param offset - what the client says that it has */
  constructor(
    readonly claim: SessionClaim,
    offset: Cut,
    private readonly namespace: NamespaceLike,
  ) {
    const session = claim.current();
    this.session = this.kept = session;
    this.cut = joinCuts(offset, { position: STREAM_START, ahead: session.ahead ?? [] });
    this.ended = new Promise((resolve) => (this.markEnded = resolve));
    const holder = {
      current: () => this.kept,
      data: session.data,
      release: () => {
        this.replay?.end();
        this.socket?.conn.close(true);
      },
    };
    claim.hold(holder, false);
  }

  /** Its socket while that is in its middlewares. */
  get socket(): SocketLike | undefined {
    return this.namespace._preConnectSockets?.get(this.session.sid);
  }

  /** Whether it cannot join any more: it has come elsewhere, or has to try again. */
  get isVoid(): boolean {
    return this.claim.isReleased || this.isOutdated;
  }

  /**
   * Collects what it missed, until it has joined. The offsets that it is given here do not all say what it has of other
   * publishers, so that is kept with its session: if this node is killed, the next one has it from there.
   */
  collect(replay: Replay): Promise<ReplayOutcome> {
    this.replay = replay;
    if (this.cut.ahead.length > 0) {
      this.kept = { ...this.session, ahead: withMore(this.session.ahead ?? [], this.cut.ahead) };
      this.claim.touch();
    }
    return replay.complete;
  }

  /** The client is not here after all: its session is kept, as it was, for when it tries again. */
  giveBack(): void {
    this.replay?.end();
    this.claim.giveBack(this.kept);
  }

  /** The history of the log was replaced: the client tries again, and its offset is compared with the new one then. */
  outdate(): void {
    this.isOutdated = true;
    this.claim.giveBack(this.session);
    this.socket?.conn.close(true);
  }

  /** It has joined, or never will. Returns what was collected, oldest first. */
  end(): ReplayItem[] {
    const missed = this.replay?.end() ?? [];
    this.replay = undefined; // listeners of the connection refer to this for as long as that is open
    this.markEnded();
    return missed;
  }
}
