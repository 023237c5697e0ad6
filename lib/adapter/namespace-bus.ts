import type { ClusterNode } from '../cluster/cluster-node.js';
import type { NamespaceMember } from '../cluster/local-namespaces.js';
import type { Census } from '../cluster/request-bus.js';
import { PayloadTooLargeError } from '../redis/errors.js';
import { checkBytes } from '../stream/message-size.js';
import { encodeMsgpack } from '../wire/msgpack.js';
import type { Request, Response, ResponsePiece } from '../wire/request-data.js';

/** How one server of a namespace speaks with the others: by PUB/SUB, and while the node has Redis only. */
export class NamespaceBus {
  /** Set by {@link close}: nobody else is there any more. */
  private isClosed = false;
  /** What {@link whenStarted} returns while the node starts. */
  private started: Promise<void> | undefined;

  /**
   * @param member - the server
   * @param stream - the stream that carries the namespace, by which traces are named
   */
  constructor(
    private readonly node: ClusterNode,
    private readonly member: NamespaceMember,
    private readonly stream: string,
  ) {}

  /** @throws MessageTooLargeError if what is sent of an event would be larger than `maxMessageBytes` allows */
  checkSize(event: readonly unknown[], data: unknown): void {
    const { maxMessageBytes } = this.node.options;
    if (maxMessageBytes > 0) {
      checkBytes(event[0], encodeMsgpack(data), maxMessageBytes);
    }
  }

  /** Sends to all other servers. @throws RedisClientError and the like if Redis cannot be reached now, which is counted */
  async send(request: Request): Promise<void> {
    const { node, member } = this;
    const trace = node.telemetry?.inject?.(this.stream);
    const { uid, name: nsp } = member;
    await this.counted(() => node.bus.publish({ uid, nsp, ...request, ...(trace !== undefined && { trace }) }));
  }

  /** Sends a request again, to one server that may not have heard it. @throws as {@link send} */
  async repeat(to: string, request: Request): Promise<void> {
    const { uid, name: nsp } = this.member;
    await this.counted(() => this.node.bus.repeat(to, { uid, nsp, ...request }));
  }

  /**
   * Sends to one server, again if the connection is lost meanwhile: what does no harm if it comes twice.
   *
   * @throws as {@link send}; PayloadTooLargeError, which is not counted: it can be sent in pieces
   */
  async respond(to: string, response: Response | ResponsePiece): Promise<void> {
    const { uid, name: nsp } = this.member;
    const sending = (): Promise<void> => this.node.bus.respond(to, { uid, nsp, ...response });
    await this.counted(sending, (error) => !(error instanceof PayloadTooLargeError));
  }

  /**
   * To be called with why something could not be sent, if nobody is told by an error: what is too large will never be.
   *
   * @param message - what it was
   */
  onUnsent(error: unknown, message: string): void {
    if (error instanceof PayloadTooLargeError) {
      const { bytes } = error;
      this.node.counters.refuseMessage({ stream: this.stream, namespace: this.member.name, message, bytes, error });
    }
  }

  /** The number of the last request, for the next entry of the log; see `LogEntry.bus`. */
  mark(): number | undefined {
    return this.node.bus.mark(this.member);
  }

  /** Who else has the namespace. It never rejects. */
  census(): Promise<Census> {
    const nobody = { named: new Set<string>(), others: 0, hearing: new Map(), isCounted: true };
    return this.isClosed ? Promise.resolve(nobody) : this.node.census(this.member);
  }

  /**
   * Resolves when the node has reached Redis for the first time; undefined if it has. What is asked before waits: it is not
   * known yet who else is there.
   */
  whenStarted(): Promise<void> | undefined {
    if (!this.isStarting) {
      return undefined;
    }
    this.started ??= new Promise((resolve) => {
      const unsubscribe = this.node.subscribe({
        onStatus: () => {
          if (!this.isStarting) {
            unsubscribe();
            resolve();
          }
        },
      });
    });
    return this.started;
  }

  /** Whether the node has not reached Redis yet. */
  get isStarting(): boolean {
    return !this.isClosed && this.node.status().state === 'starting';
  }

  close(): void {
    this.isClosed = true;
  }

  private async counted(send: () => Promise<void>, isDropped = (_error: unknown): boolean => true): Promise<void> {
    try {
      await send();
    } catch (error) {
      if (isDropped(error)) {
        this.node.counters.count('droppedRequests');
      }
      throw error;
    }
  }
}
