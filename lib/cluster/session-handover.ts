import type { SessionPeers } from '../session/session-takeover.js';
import type { ControlMessage, NodeInfo, SessionRequest, SessionResponse } from '../wire/control.js';
import { serverUid } from '../wire/server-uid.js';
import type { RequestBus } from './request-bus.js';
import type { ReturningPeers } from './returning-peers.js';

export interface SessionHandoverOptions {
  nodeId: string;
  bus: Pick<RequestBus, 'control' | 'isSubscribedTo'>;
  /** Runs commands, again when the connection that failed them is back. */
  retry<T>(run: () => Promise<T>): Promise<T>;
  /** What this node says of itself. */
  info(): NodeInfo;
  returning: Pick<ReturningPeers, 'whenBack' | 'whenAllBack'>;
  /** Releases a session. Resolves to it as it was, encoded; to undefined if it was not here. */
  release(pid: string, epoch: number): Promise<string | undefined>;
  /** Gives the answer of a node to who asked for a session. */
  onResponse(pid: string, session: string | null, node: string): void;
}

/** How sessions move from one node to another: who takes one asks the node that has it, and is given it as it is now. */
export class SessionHandover implements SessionPeers {
  constructor(private readonly options: SessionHandoverOptions) {}

  async askRelease(pid: string, at: string, epoch: number): Promise<void> {
    await this.send({ kind: 'session-request', node: this.options.info(), pid, at, epoch });
  }

  whenBack(node: string): Promise<void> {
    return this.options.returning.whenBack(node);
  }

  whenAllBack(): Promise<void> {
    return this.options.returning.whenAllBack();
  }

  canHear(nsp: string, node: string): Promise<boolean> {
    return this.options.bus.isSubscribedTo(nsp, serverUid(node, 0));
  }

  /** A client has come to another node, which is given its session as it is now if it is this node that was asked. */
  async onRequest({ pid, epoch, at, node }: SessionRequest): Promise<void> {
    const session = await this.options.release(pid, epoch);
    if (session !== undefined || at === this.options.nodeId) {
      const info = this.options.info();
      const response = { kind: 'session-response' as const, node: info, pid, to: node.id, session: session ?? null };
      this.options.retry(() => this.send(response)).catch(() => undefined); // who asked goes on without it
    }
  }

  onResponse({ to, pid, session, node }: SessionResponse): void {
    if (to === this.options.nodeId) {
      this.options.onResponse(pid, session, node.id);
    }
  }

  private send(message: ControlMessage): Promise<void> {
    return this.options.bus.control(message);
  }
}
