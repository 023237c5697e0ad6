import { Fifo } from '../queue/fifo.js';
import type { StreamLog } from '../stream/stream-log.js';
import { wasSuspended } from '../time/suspension.js';
import { DIRECT_LANE, type LogEntry } from '../wire/entry.js';
import type { BusMessage } from '../wire/requests.js';
import { nodeOf } from '../wire/server-uid.js';
import { compareStreamIds } from '../wire/stream-id.js';

/** Milliseconds that a message waits, at most, for the log to come to where its sender was. */
const MAX_WAIT_MS = 1_000;
/** Milliseconds after which a request has been received everywhere, or never will be: no entry waits for it then. */
const MAX_ARRIVAL_MS = 1_000;
/** How many senders are known, and how many messages wait, at most, whatever is published. */
const MAX_SENDERS = 10_000;
const MAX_WAITING_MESSAGES = 10_000;

type OrderedLog = Pick<
  StreamLog,
  'isFlushed' | 'lastTaken' | 'lastAppended' | 'lastReadOf' | 'whenPublisherRead' | 'position' | 'isReading'
>;

/** What one server of this node has sent in its namespace. */
interface Sent {
  /** The number of its last request. */
  n: number;
  /** When that was, by the monotonic clock. */
  at: number;
  /** The number that its last entry carried, or need not carry. */
  marked: number;
}

/** How far a node had appended: a number of each of its lanes. */
interface Appended {
  after: number;
  direct: number;
}

interface WaitingMessage extends Appended {
  n: number | undefined;
  /** By the monotonic clock. */
  until: number;
  /** Whether it has been given more time, for this process was suspended. */
  isProlonged: boolean;
  handle: () => void;
}

/** What was received of one server in its namespace. */
interface Sender {
  node: string;
  nsp: string;
  /** Messages that wait for the log, in the order of their arrival. */
  waiting: Fifo<WaitingMessage>;
  /** The number of its last request that was handled; 0 if there was none. */
  handled: number;
  /** The entry that waits for a request, if one does. */
  waitingEntry: { n: number; release: () => void } | undefined;
  /** Whether an entry has waited in vain since something was received: what it sends does not arrive here. */
  isUnheard: boolean;
}

/**
 * Keeps what one server does in its order on the other nodes, although requests go by PUB/SUB and the rest through the log.
 *
 * - A request says how many entries its node had appended before. Who receives it handles it when its reader has delivered
 *   them; after a second it is handled anyway. So `emit()` comes before the `emitWithAck()` behind it.
 * - Requests are numbered, and an entry that is appended after one carries its number. The reader delivers it when the
 *   request has been handled; it waits for a tenth of a second at most. So `emitWithAck()` comes before the `emit()` behind it.
 *
 * Neither can wait for the other in a circle, for each waits for what was sent before it only.
 */
export class RequestOrder {
  /** By uid and namespace. */
  private readonly sent = new Map<string, Sent>();
  /** By uid and namespace, the latest heard at the end. At most MAX_SENDERS. */
  private readonly senders = new Map<string, Sender>();
  /** How many messages wait for the log, of all senders. At most MAX_WAITING_MESSAGES. */
  private waitingCount = 0;

  /**
   * @param logOf - the log that carries a namespace
   * @param now - milliseconds, monotonic
   */
  constructor(
    private readonly logOf: (nsp: string) => OrderedLog,
    private readonly now: () => number = () => performance.now(),
  ) {}

  // ── what is sent ────────────────────────────────────────────────────────────────────────────────────────────────

  /** The message with how far its node has appended. */
  stamp(message: BusMessage): BusMessage {
    const log = this.logOf(message.nsp);
    const { id, ...appended } = log.lastAppended;
    if (!log.isFlushed) {
      return stamped(message, log.lastTaken);
    }
    return appended.seq + appended.direct === 0 ? message : { ...stamped(message, appended), at: id }; // the rest was dropped
  }

  /** The message with its number: an entry that is appended after it waits for it. */
  number(message: BusMessage): BusMessage & { n: number } {
    const key = keyOf(message);
    const sent = this.sent.get(key) ?? { n: 0, at: 0, marked: 0 };
    sent.n++;
    sent.at = this.now();
    this.sent.set(key, sent);
    return { ...message, n: sent.n };
  }

  /** A message that was numbered was not sent. */
  onUnsent({ n, ...message }: BusMessage): void {
    const sent = this.sent.get(keyOf(message));
    if (sent && sent.n === n) {
      sent.marked = sent.n;
    }
  }

  /** The number that the next entry of a server is to carry; undefined if it need not wait for a request. */
  mark(server: { uid: string; nsp: string }): number | undefined {
    const sent = this.sent.size > 0 ? this.sent.get(keyOf(server)) : undefined;
    if (!sent || sent.marked === sent.n) {
      return undefined;
    }
    sent.marked = sent.n;
    return this.now() - sent.at < MAX_ARRIVAL_MS ? sent.n : undefined;
  }

  /** Nothing more comes from a server of this node. */
  forget(server: { uid: string; nsp: string }): void {
    this.sent.delete(keyOf(server));
  }

  // ── what is received ────────────────────────────────────────────────────────────────────────────────────────────

  /** Handles a message when this node has delivered what its sender appended before: at once, mostly. */
  receive(message: BusMessage, handle: () => void): void {
    const { after = 0, direct = 0, n } = message;
    const isStamped = after + direct > 0;
    if (!isStamped && n === undefined) {
      handle(); // a response, or of the reference
      return;
    }
    const sender = this.senderOf(message);
    sender.isUnheard = false;
    const isDue = isStamped && this.isReached(message, sender.node, { after, direct });
    const mustWait = isStamped && (sender.waiting.length > 0 || !isDue);
    if (!mustWait || this.waitingCount >= MAX_WAITING_MESSAGES) {
      this.handle(sender, n, handle);
      return;
    }
    this.waitingCount++;
    sender.waiting.push({ after, direct, n, handle, until: this.now() + MAX_WAIT_MS, isProlonged: false });
    if (sender.waiting.length === 1) {
      void this.handleWaiting(sender);
    }
  }

  /** Resolves when the request that an entry follows was handled; undefined if it was, or if it does not arrive here. */
  whenHandled({
    uid,
    nsp,
    bus,
  }: Pick<LogEntry, 'uid' | 'nsp'> & { bus?: number | undefined }): Promise<void> | undefined {
    if (bus === undefined) {
      return undefined;
    }
    const sender = this.senderOf({ uid, nsp });
    if (sender.waitingEntry) {
      sender.isUnheard = true; // an entry before this one has waited for its whole time
      sender.waitingEntry = undefined;
    }
    if (sender.handled >= bus || sender.isUnheard) {
      return undefined;
    }
    return new Promise((resolve) => (sender.waitingEntry = { n: bus, release: resolve }));
  }

  private isReached({ nsp, at }: BusMessage, node: string, { after, direct }: Appended): boolean {
    const log = this.logOf(nsp);
    const { position } = log;
    const isPast = at !== undefined && position !== undefined && compareStreamIds(position, at) >= 0;
    const isRead = log.lastReadOf(node) >= after && log.lastReadOf(node + DIRECT_LANE) >= direct;
    return isPast || isRead || !log.isReading;
  }

  private async handleWaiting(sender: Sender): Promise<void> {
    for (let message = sender.waiting.peek(); message; message = sender.waiting.peek()) {
      const left = message.until - this.now();
      if (left > 0) {
        const log = this.logOf(sender.nsp);
        await Promise.all([
          log.whenPublisherRead(sender.node, message.after, left),
          log.whenPublisherRead(sender.node + DIRECT_LANE, message.direct, left),
        ]);
      }
      if (wasSuspended(message.until, this.now()) && !message.isProlonged) {
        message.until = this.now() + MAX_WAIT_MS; // what it waits for may have arrived
        message.isProlonged = true;
        continue;
      }
      sender.waiting.shift();
      this.waitingCount--;
      this.handle(sender, message.n, message.handle);
    }
  }

  private handle(sender: Sender, n: number | undefined, handle: () => void): void {
    handle();
    if (n !== undefined) {
      sender.handled = n;
      if (sender.waitingEntry && sender.waitingEntry.n <= n) {
        sender.waitingEntry.release();
        sender.waitingEntry = undefined;
      }
    }
  }

  private senderOf(message: Pick<BusMessage, 'uid' | 'nsp' | 'from'>): Sender {
    const key = keyOf(message);
    const known = this.senders.get(key);
    const sender = known ?? {
      ...{
        node: message.from ?? nodeOf(message.uid),
        nsp: message.nsp,
        waiting: new Fifo<WaitingMessage>(),
        handled: 0,
      },
      ...{ waitingEntry: undefined, isUnheard: false },
    };
    this.senders.delete(key);
    this.senders.set(key, sender);
    if (this.senders.size > MAX_SENDERS) {
      const [oldest] = this.senders.keys();
      this.senders.delete(oldest!); // what of it waits is handled all the same
    }
    return sender;
  }
}

/** The second number is mostly 0, and not said then. */
function stamped(message: BusMessage, { seq, direct }: { seq: number; direct: number }): BusMessage {
  return { ...message, ...(seq > 0 && { after: seq }), ...(direct > 0 && { direct }) };
}

function keyOf({ uid, nsp, from }: { uid: string; nsp: string; from?: string | undefined }): string {
  const server = from ?? uid;
  return `${server.length} ${server} ${nsp}`;
}
