import type { ConnectionListener, RedisConnection } from '../redis/driver.js';
import { toEntries, type RawEntry } from '../redis/stream-reply.js';
import { within } from '../time/within.js';
import { encodeCut, type Cut } from '../wire/cut.js';
import {
  DIRECT_LANE,
  encodeBus,
  encodeMessage,
  type LogEntry,
  type LogMessage,
  targetsOf,
  type Origin,
} from '../wire/entry.js';
import { parseEntry } from '../wire/parse-entry.js';
import type { LastGiven } from '../wire/session.js';
import { ageOf, compareStreamIds, STREAM_START, type StreamId } from '../wire/stream-id.js';
import type { StreamEvent, StreamStatus } from './events.js';
import { describeMark } from './history.js';
import { Fences } from './fences.js';
import { FlowControl, type Readers } from './flow-control.js';
import { Lane } from './lane.js';
import type { OutboxLimits } from './outbox.js';
import { checkSize } from './message-size.js';
import { OwnEntries } from './own-entries.js';
import { ReplayLog, type OlderEntries, type Replay, type ReplayLogOptions } from './replay-log.js';
import type { Recipient } from './room-index.js';
import { sizeOfFields, StreamPublisher } from './stream-publisher.js';
import { StreamReader } from './stream-reader.js';
import type { TelemetryRecorder } from './telemetry.js';

export interface StreamLogOptions {
  stream: string;
  nodeId: string;
  maxLen: number;
  readCount: number;
  blockTime: number;
  /** Milliseconds for which entries and reads are held back at most while they come fast. */
  maxHoldMs: number;
  commandTimeout: number;
  /** Milliseconds of silence after which a node counts as down. */
  heartbeatTimeout: number;
  /** How large a message may be, encoded; 0 or absent: as large as Redis takes it. */
  maxMessageBytes?: number;
  /** Skips the search for binary data in what is appended. */
  onlyPlaintext: boolean;
  /**
   * When this node's own entries are delivered to its own clients: at once, all of them, or only those of the lane
   * `direct`, and the others when they are read back.
   */
  ordering: 'local-first' | 'log';
  outbox: OutboxLimits;
  replay: ReplayLogOptions;
  readers: Readers;
  emit(event: StreamEvent): void;
  /**
   * Asked before an entry with {@link LogEntry.bus} is delivered: that request must have come first. It is waited for, but
   * for {@link MAX_REQUEST_WAIT_MS} milliseconds at most. Undefined if it has come, or will not.
   */
  whenRequestHandled?(entry: LogEntry): Promise<void> | undefined;
  /** @param own - whether this node appended it. Returns whether somebody here was given it. */
  deliver(entry: LogEntry, own: boolean): boolean;
  /** Runs commands, again when a connection that failed them is back. */
  retry<T>(run: () => Promise<T>): Promise<T>;
  /** Called when the reader begins to read, at first or again. */
  onReading(): void;
  telemetry?: TelemetryRecorder | undefined;
}

export interface AppendOptions {
  /** `direct`: what is delivered here at once although the ordering is `log`; it is numbered by itself then. */
  lane?: 'direct' | undefined;
  /**
   * Returns the number of the last request that was sent before; see {@link LogEntry.bus}. Asked only if the entry is taken, for
   * otherwise the next one must carry it.
   */
  bus?: () => number | undefined;
}

/** What a node says to have appended last; see {@link StreamLog.announce}. */
export interface LastAppended {
  /** The sequence number of the last entry that Redis has acknowledged; 0 if there was none. */
  seq: number;
  /** The same, of the lane `direct`. */
  direct: number;
  /** The id of the later of both. */
  id: StreamId;
}

/** Milliseconds for which a node is behind another without being late. */
const USUAL_DELAY_MS = 200;
/** Milliseconds for which an entry waits for the request that must come before it. */
const MAX_REQUEST_WAIT_MS = 100;

/**
 * One stream, as this node uses it: it appends to it, reads it, and remembers its recent part. It is the only door to
 * what lies behind it: {@link StreamPublisher}, {@link StreamReader} and {@link ReplayLog}.
 *
 * What happens to an entry when it is read, in this order:
 * 1. Local work that was to be done before it is done ({@link afterOwnEntries}).
 * 2. It counts as read back, if it is this node's; so whoever asks during its delivery ({@link offset}) has it in the cut.
 * 3. It is remembered, and collected for the clients that are being recovered: a client that joins during its delivery
 *    has it already.
 * 4. It is delivered.
 */
export class StreamLog {
  private readonly reader: StreamReader;
  private readonly publisher: StreamPublisher;
  private readonly flow: FlowControl;
  private readonly replayLog: ReplayLog;
  private readonly connection: RedisConnection;
  private readonly main: Lane;
  /** The lane of what overtakes in the ordering `log`. */
  private readonly direct: Lane;
  /** The lane of the entries that are delivered here at once. */
  private readonly atOnce: Lane;
  private readonly fences: Fences;
  private own: OwnEntries | undefined;
  private wasReading = false;
  private droppedWork = 0;
  /** Entries that somebody here was given when they were read. */
  private delivered = 0;
  /** The age of the entry at this position was reported to the telemetry. */
  private measuredAt: StreamId | undefined;
  private opened: (() => void)[] = [];
  private readonly replacementListeners = new Set<(position: StreamId) => void>();
  private readonly backWaiters = new Map<string, Set<() => void>>();
  /** The end of a history that was replaced, if the new one does not go so far: an entry of it may come to have that id. */
  private formerEnd: StreamId | undefined;
  /** {@link offset}, until something changes. */
  private knownOffset: string | undefined;
  private readonly offsetNow = (): string => this.offset();
  private readonly offsetOfRead = (entry: LogEntry): string => this.offsetAt(entry);

  /**
   * @param commands - the connection on which entries are appended
   * @param open - opens the connection on which they are read
   */
  constructor(
    private readonly commands: RedisConnection,
    open: (listener: ConnectionListener) => RedisConnection,
    private readonly options: StreamLogOptions,
  ) {
    const { stream, nodeId, maxLen, maxHoldMs, commandTimeout, outbox, ordering, telemetry } = options;
    this.main = new Lane(nodeId);
    this.direct = new Lane(nodeId + DIRECT_LANE);
    this.atOnce = ordering === 'log' ? this.direct : this.main;
    this.fences = new Fences(this.main, outbox);
    const emit = (event: StreamEvent): void => {
      if (event.type === 'stream-replaced') {
        this.onStreamReplaced(event.position);
      }
      options.emit(event);
    };
    const older: OlderEntries = {
      upTo: async (id, count) => {
        const read = async (): Promise<RawEntry[]> => {
          return toEntries(await commands.read(['XREVRANGE', stream, id, '-', 'COUNT', String(count)], commandTimeout));
        };
        const raw = await options.retry(read);
        const entries = raw.map(({ id, fields }) => parseEntry(id, fields));
        return { entries, oldest: raw.at(-1)?.id, atStart: raw.length < count };
      },
    };
    this.connection = open({
      onReady: () => this.reader.onReady(),
      onLost: (error) => this.reader.onLost(error),
    });
    this.reader = new StreamReader(this.connection, {
      ...{ stream, maxHoldMs, commandTimeout, emit },
      ownLanes: [this.main, this.direct],
      readCount: options.readCount,
      blockTime: options.blockTime,
      deliver: (entry) => this.deliver(entry),
      before: (entry) => this.before(entry),
      older,
      hasDueWork: () => this.fences.isDue,
      doDueWork: () => this.doNextWork(),
      onBroken: (position, lostUpTo) => {
        this.formerEnd = compareStreamIds(position, lostUpTo) < 0 ? lostUpTo : this.formerEnd;
        this.replayLog.restart(position, lostUpTo);
      },
      onProgress: () => this.onProgress(),
    });
    this.flow = new FlowControl(this.reader, options);
    const publisherOptions = { stream, maxLen, maxHoldMs, commandTimeout, outbox, emit, telemetry };
    this.publisher = new StreamPublisher(
      commands,
      { ...publisherOptions, onDropped: ({ lane, seq }) => this.onDropped(lane, seq) },
      this.flow,
    );
    this.replayLog = new ReplayLog(options.replay, older);
  }

  get name(): string {
    return this.options.stream;
  }

  // ── the node's life ─────────────────────────────────────────────────────────────────────────────────────────────

  start(): void {
    this.reader.start();
  }

  /** Resolves when the end of the stream is known: nothing that is appended from then on is missed. */
  whenOpen(): Promise<void> {
    return this.reader.position === undefined ? new Promise((resolve) => this.opened.push(resolve)) : Promise.resolve();
  }

  /** To be called when the connection on which entries are appended can be used, at first or again. */
  onCommandsReady(): void {
    this.publisher.onReady();
  }

  onCommandsLost(): void {
    this.publisher.onLost();
    this.releaseBackWaiters((node) => !this.awaits(node));
  }

  /** Appends what waits, for at most `timeout` milliseconds; then nothing is taken any more. Reading goes on. */
  async closeOutbox(timeout: number): Promise<void> {
    await this.publisher.close(timeout);
    while (this.fences.length > 0) {
      this.doNextWork();
    }
  }

  /** Appends what waits, for at most `timeout` milliseconds, and ends the reading. */
  async close(timeout: number): Promise<void> {
    await this.closeOutbox(timeout);
    await Promise.all([this.reader.stop(), this.connection.close()]);
    this.releaseBackWaiters();
  }

  // ── appending ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Takes an entry, encoded as it is now. It is appended as soon as all before it are.
   *
   * @returns its number among this node's entries
   * @throws TypeError if the message cannot be serialized (a BigInt, a circular reference); MessageTooLargeError
   */
  append(message: LogMessage, { lane, bus }: AppendOptions = {}): Origin {
    const { onlyPlaintext, telemetry } = this.options;
    const fields = encodeMessage(message, { onlyPlaintext, trace: telemetry?.inject?.(this.name) });
    checkSize(fields, this.options.maxMessageBytes ?? 0);
    if (bus) {
      fields.push(...encodeBus(bus()));
    }
    const numbered = lane === 'direct' ? this.atOnce : this.main;
    const origin = numbered.next();
    this.knownOffset = undefined;
    if (this.own?.includes(origin)) {
      const { uid, nsp, type } = message;
      const own = { uid, nsp, type, data: fields[7]!, rooms: targetsOf(message), origin };
      this.replayLog.pushOwn(own, this.offsetNow);
    }
    this.publisher.append({ lane: numbered, seq: origin.seq, fields, bytes: sizeOfFields(fields) });
    return origin;
  }

  /** Resolves when all that was taken so far is in Redis or was dropped, or the log is closed. It never rejects. */
  whenAppended(): Promise<void> {
    return this.publisher.whenAppended();
  }

  /** Whether nothing that was taken waits to be appended. */
  get isFlushed(): boolean {
    return this.publisher.pending === 0;
  }

  /** The number that was given last in this node's main lane; 0 if none was. */
  get lastTaken(): number {
    return this.main.taken;
  }

  /**
   * Does something here once this node has delivered all its own entries that were taken so far; at once if it has. To be
   * used in the ordering `log` only. What waits counts for the bounds of the outbox.
   *
   * @param bytes - about how much memory it holds
   */
  afterOwnEntries(run: () => void, bytes = 0): void {
    if (this.fences.length === 0 && this.main.isSettled) {
      run();
      return;
    }
    this.droppedWork += this.fences.push(run, bytes, this.publisher.pendingBytes);
    this.doDueWork();
  }

  // ── positions ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** The id of the last entry that was delivered, or at which reading began; undefined until that is known. */
  get position(): StreamId | undefined {
    return this.reader.position;
  }

  /** What a client of this node has that was given everything. */
  cut(): Cut {
    const { node, taken, isSettled } = this.atOnce;
    return { position: this.position ?? STREAM_START, ahead: isSettled ? [] : [{ node, seq: taken }] };
  }

  /** {@link cut}, as a client keeps it. */
  offset(): string {
    return (this.knownOffset ??= encodeCut(this.cut()));
  }

  /** The offset that goes with an entry while it is delivered. */
  offsetAt(entry: LogEntry): string {
    return this.atOnce.isSettled ? entry.id : encodeCut({ ...this.cut(), position: entry.id });
  }

  /** The sequence number of the last entry of a publisher that was delivered; 0 if none was. */
  lastReadOf(node: string): number {
    return this.reader.lastOf(node);
  }

  /**
   * Resolves to true once this node has come to the position of a cut; to false if that does not happen: the stream does
   * not go so far, or it takes longer than `timeout` milliseconds.
   */
  async whenRead({ position }: Cut, timeout: number): Promise<boolean> {
    // Mostly it is a reply on its way. Only after a while is it worth a question.
    if (await this.reader.whenDelivered(position, USUAL_DELAY_MS)) {
      return true;
    }
    const command = ['XREVRANGE', this.name, '+', position, 'COUNT', '1'];
    const after = await this.commands.read(command, this.options.commandTimeout).catch(() => undefined);
    const mayCome = after === undefined || toEntries(after).length > 0;
    return mayCome && this.reader.whenDelivered(position, timeout);
  }

  /**
   * Resolves to true once this node has delivered the entry number `seq` of a publisher; to false after `timeout`
   * milliseconds, and at once if it is not reading.
   */
  whenPublisherRead(node: string, seq: number, timeout: number): Promise<boolean> {
    return this.reader.whenPublisherDelivered(node, seq, timeout);
  }

  /** What distinguishes the entry at {@link position} from one of another history with the same id, if that is known. */
  get positionMark(): string | undefined {
    return this.position && this.reader.markAt(this.position);
  }

  /**
   * Calls back whenever the history was replaced by another, with the position up to which they are the same: what this
   * node has delivered after it is not in the log any more. Returns what ends that.
   */
  onReplaced(listener: (position: StreamId) => void): () => void {
    this.replacementListeners.add(listener);
    return () => this.replacementListeners.delete(listener);
  }

  /**
   * Whether the entry at a position is in the log. `no`: neither is it there nor can it have been trimmed, or the entry
   * there is another one, so the position is of another history; `unknown`: Redis cannot be asked.
   *
   * @param mark - what distinguishes that entry from others with the same id, if that is known
   */
  async isInLog(position: StreamId, mark?: string): Promise<'yes' | 'trimmed' | 'no' | 'unknown'> {
    if (position === STREAM_START) {
      return 'yes';
    }
    const isAmbiguous = mark === undefined && position === this.formerEnd;
    const here = this.replayLog.find(position);
    const markHere = here ? describeMark(here) : this.reader.markAt(position);
    if (markHere !== undefined) {
      return !isAmbiguous && (mark === undefined || mark === markHere) ? 'yes' : 'no';
    }
    const { options } = this;
    const read = (command: string[]): Promise<RawEntry[]> =>
      options.retry(async () => toEntries(await this.commands.read(command, options.commandTimeout)));
    try {
      const [there] = await read(['XRANGE', this.name, position, position, 'COUNT', '1']);
      if (there) {
        const isSame = mark === undefined || mark === describeMark(parseEntry(position, there.fields));
        return isSame && !isAmbiguous ? 'yes' : 'no';
      }
      const [first] = await read(['XRANGE', this.name, '-', '+', 'COUNT', '1']);
      return first && compareStreamIds(first.id, position) > 0 ? 'trimmed' : 'no';
    } catch {
      return 'unknown';
    }
  }

  // ── what clients missed ─────────────────────────────────────────────────────────────────────────────────────────

  /** From now on, what is read is remembered, and so is what is taken until it is read. */
  remember(): void {
    if (!this.own) {
      const { node, taken } = this.atOnce;
      const { maxEntries, maxBytes } = this.options.outbox;
      // What the outbox holds, and as much again that was appended and is not read back. While an entry waits in the outbox,
      // its text is held only once.
      this.own = new OwnEntries(node, taken, { maxEntries: 2 * maxEntries, maxBytes: 2 * maxBytes });
      this.replayLog.remember(this.own, this.position);
    }
  }

  /** Collects what a client missed that has all that is in a cut. */
  replay(cut: Cut, recipient: Recipient): Replay {
    return this.replayLog.replay(cut, recipient);
  }

  /**
   * The last entries that were, or may have been, for a recipient, of those that are not in a cut; undefined if there were
   * none. A client that received them has missed nothing up to {@link cut}.
   */
  lastGivenTo(recipient: Recipient, since: Cut): LastGiven | undefined {
    return this.replayLog.lastGivenTo(recipient, since);
  }

  // ── the other nodes ─────────────────────────────────────────────────────────────────────────────────────────────

  /** What this node announces to the others, so that they notice if its last entry is lost. */
  get lastAppended(): LastAppended {
    return { seq: this.main.appended, direct: this.direct.appended, id: this.publisher.lastAppendedId };
  }

  /** A node, or this one, says what it has appended last: what is lost is noticed by that. */
  announce(node: string, seq: number, id: StreamId, direct = 0): void {
    this.reader.announce(node, seq, id);
    this.reader.announce(node + DIRECT_LANE, direct, id);
  }

  /** A node is known to read. */
  onNodeReading(node: string): void {
    this.flow.onReading(node);
    this.onReaders();
  }

  onNodeLeft(node: string): void {
    this.flow.onLeft(node);
    this.onReaders();
  }

  /** Whether a node may be reconnecting to the stream after an outage. */
  awaits(node: string): boolean {
    return this.flow.awaits(node);
  }

  /** Resolves when a node is not {@link awaits | awaited} any more; at once if it is not. */
  whenNodeBack(node: string): Promise<void> {
    return this.awaits(node)
      ? new Promise((resolve) => {
          const waiters = this.backWaiters.get(node) ?? new Set();
          this.backWaiters.set(node, waiters.add(resolve));
        })
      : Promise.resolve();
  }

  /** To be called from time to time: what flow control holds back may have become free by the mere passing of time. */
  recheck(): void {
    this.onReaders();
  }

  // ── how it is ───────────────────────────────────────────────────────────────────────────────────────────────────

  get isReading(): boolean {
    return this.reader.isReading;
  }

  /** Why the stream cannot be read or appended to, if it cannot. */
  get error(): { read?: Error; append?: Error } {
    const { reader, publisher } = this;
    return { ...(reader.error && { read: reader.error }), ...(publisher.error && { append: publisher.error }) };
  }

  /** Entries that were fetched and not yet delivered. */
  get backlog(): number {
    return this.reader.backlog;
  }

  status(): StreamStatus {
    const { reader, publisher, replayLog, delivered } = this;
    const { read, duplicates, rejected } = reader.counters;
    return {
      name: this.name,
      mode: reader.mode,
      position: reader.position,
      backlog: reader.backlog,
      lagMs: reader.lagMs,
      outbox: { entries: publisher.pending + this.fences.length, bytes: publisher.pendingBytes + this.fences.bytes },
      replay: { entries: replayLog.size, bytes: replayLog.bytes },
      counters: {
        ...reader.counters,
        delivered,
        passedOver: Math.max(0, read - duplicates - rejected - delivered),
        appended: publisher.appended,
        dropped: publisher.dropped + this.droppedWork,
      },
    };
  }

  /** Counts an entry that was passed over; its reason is reported the first time. */
  reject(id: StreamId, reason: string): void {
    this.reader.reject(id, reason);
  }

  // ── what happens ────────────────────────────────────────────────────────────────────────────────────────────────

  private deliver(entry: LogEntry): void {
    this.knownOffset = undefined;
    const lane = this.ownLaneOf(entry.origin?.node);
    if (lane) {
      lane.readUpTo(entry.origin!.seq);
    }
    if (this.own) {
      if (lane === this.atOnce) {
        this.own.readUpTo(lane.read);
      }
      this.replayLog.push(entry, this.offsetOfRead);
    }
    if (entry.problem === undefined) {
      this.delivered += Number(this.options.deliver(entry, lane !== undefined));
    } else {
      this.reject(entry.id, entry.problem);
    }
  }

  private before(entry: LogEntry): Promise<void> | undefined {
    const event = entry.bus === undefined ? undefined : this.options.whenRequestHandled?.(entry);
    if (!event) {
      return undefined;
    }
    return within(
      MAX_REQUEST_WAIT_MS,
      event.catch(() => undefined),
    );
  }

  private ownLaneOf(node: string | undefined): Lane | undefined {
    return node === this.main.node ? this.main : node === this.direct.node ? this.direct : undefined;
  }

  private onDropped(lane: Lane, seq: number): void {
    this.knownOffset = undefined;
    if (lane === this.atOnce) {
      this.own?.drop({ node: lane.node, seq });
    }
    this.doDueWork();
  }

  /** What was appended to the history before and was not read back never will be. */
  private onStreamReplaced(position: StreamId): void {
    const unread = [this.main, this.direct].some(({ read, appended }) => read < appended);
    for (const lane of [this.main, this.direct]) {
      lane.readUpTo(lane.appended);
    }
    if (unread) {
      this.replayLog.lose(this.publisher.lastAppendedId);
    }
    this.flow.onStreamReplaced();
    this.replacementListeners.forEach((listener) => listener(position));
    this.onProgress();
  }

  private onProgress(): void {
    this.knownOffset = undefined;
    this.own?.readUpTo(this.atOnce.read); // what was lost is not waited for
    this.measure();
    this.doDueWork();
    this.flow.onReadBack();
    this.onReaders();
    if (this.reader.position !== undefined) {
      for (const resolve of this.opened.splice(0)) {
        resolve();
      }
    }
    if (this.reader.isReading !== this.wasReading) {
      this.wasReading = this.reader.isReading;
      if (this.wasReading) {
        this.options.onReading();
      }
    }
  }

  /** Tells how old the entry is that was delivered last; once for all that are delivered together. */
  private measure(): void {
    const { telemetry } = this.options;
    const { position } = this.reader;
    if (telemetry && position !== this.measuredAt) {
      if (this.measuredAt !== undefined && position !== undefined) {
        telemetry.onDelivered(this.name, ageOf(position) / 1_000);
      }
      this.measuredAt = position;
    }
  }

  private onReaders(): void {
    this.publisher.onReaders();
    this.releaseBackWaiters((node) => !this.awaits(node));
  }

  private releaseBackWaiters(isBack: (node: string) => boolean = () => true): void {
    for (const [node, waiters] of this.backWaiters) {
      if (isBack(node)) {
        this.backWaiters.delete(node);
        waiters.forEach((resolve) => resolve());
      }
    }
  }

  private doDueWork(): void {
    if (this.fences.isDue) {
      this.reader.resumeDelivery();
    }
  }

  private doNextWork(): void {
    try {
      this.fences.shift()?.();
    } catch (error) {
      queueMicrotask(() => {
        throw error; // as from any listener of the application
      });
    }
  }
}
