import type { ConnectionListener, RedisConnection } from '../redis/driver.js';
import type { Cut } from '../wire/cut.js';
import { DIRECT_LANE, encodeBus, encodeMessage, type LogEntry, type LogMessage, type Origin } from '../wire/entry.js';
import type { LastGiven } from '../wire/session.js';
import type { StreamId } from '../wire/stream-id.js';
import { AgeMeter } from './age-meter.js';
import { CommonHistory } from './common-history.js';
import { EntryAdmission } from './entry-admission.js';
import { EntryLookup, type EntryPresence } from './entry-lookup.js';
import type { StreamEvent, StreamStatus } from './events.js';
import { Fences } from './fences.js';
import { FlowControl, type Readers } from './flow-control.js';
import { GapDetector } from './gap-detector.js';
import { GivenCut } from './given-cut.js';
import type { Lane } from './lane.js';
import { LogDelivery, type LogTarget } from './log-delivery.js';
import { checkSize } from './message-size.js';
import type { OutboxEntry, OutboxLimits } from './outbox.js';
import { OwnLanes } from './own-lanes.js';
import { Piggyback } from './piggyback.js';
import { ReadProgress } from './read-progress.js';
import { ReplayLog, type Replay, type ReplayLogOptions } from './replay-log.js';
import { ReplayMemory } from './replay-memory.js';
import type { Recipient } from './recipient.js';
import { StoredStream } from './stored-stream.js';
import { sizeOfFields, StreamPublisher } from './stream-publisher.js';
import { StreamReader } from './stream-reader.js';
import type { TelemetryRecorder } from './telemetry.js';

export interface StreamLogOptions {
  stream: string;
  nodeId: string;
  maxLen: number;
  readCount: number;
  blockTime: number;
  /** Milliseconds for which entries and reads are delayed at most while they come fast. */
  maxHoldMs: number;
  /** Whether the server to which a connection leads may be another without the connection being made anew: Redis Cluster. */
  isCluster: boolean;
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
  /** What entries are delivered to. */
  target: LogTarget;
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

/**
 * Called when the history of the log was replaced by another.
 *
 * @param position - up to which they are the same: what this node has delivered after it is not in the log any more
 * @param isAllKnown - whether this node knows all that was in the former history after that, and may be sent again: if not,
 *   clients may have been given it by other nodes, and would be given it again here
 */
export type ReplacementListener = (position: StreamId, isAllKnown: boolean) => void;

/** Milliseconds for which a node is behind another without being late. */
const USUAL_DELAY_MS = 200;
/** Milliseconds after which it is looked again whether own entries are delivered, for they may be lost, too. */
const LOOK_AGAIN_MS = 1_000;

/**
 * One stream, as this node uses it: it appends to it, reads it, and remembers its recent part. It is the only door to
 * what lies behind it: {@link StreamPublisher}, {@link StreamReader}, {@link ReplayLog} and what these consist of. What
 * happens to an entry when it is read stands at {@link LogDelivery}.
 */
export class StreamLog {
  /** Numbers what is appended. */
  private readonly lanes: OwnLanes;
  /** How far was read. */
  private readonly progress: ReadProgress;
  /** Knows the numbers of what was read. */
  private readonly gaps = new GapDetector();
  /** What clients here have that were given everything. */
  private readonly given: GivenCut;
  /** Local work that waits for own entries. */
  private readonly fences: Fences;
  /** The stream in Redis. */
  private readonly stored: StoredStream;
  /** The recent part of the log. */
  private readonly replayLog: ReplayLog;
  /** What is remembered of what is read and taken. */
  private readonly memory: ReplayMemory;
  /** What happens to what is read. */
  private readonly delivery: LogDelivery;
  /** What happens to it before that. */
  private readonly admission: EntryAdmission;
  /** The connection of the reader. */
  private readonly connection: RedisConnection;
  /** Fetches entries, and has them delivered. */
  private readonly reader: StreamReader;
  /** Whether entries are in the log. */
  private readonly lookup: EntryLookup;
  /** Whether commands are executed on the log that is read. */
  private readonly common: CommonHistory;
  /** How much may be appended. */
  private readonly flow: FlowControl;
  /** Whether they are appended on the connection of the reader; undefined in a cluster, where they never are. */
  private readonly piggyback: Piggyback | undefined;
  /** Appends entries. */
  private readonly publisher: StreamPublisher;
  /** How old entries are when they are delivered. */
  private readonly ages: AgeMeter;
  /** Connections that were made at least once. */
  private readonly connected = new Set<'commands' | 'reader'>();
  /** Whether the reader was reading when that was looked at last. */
  private wasReading = false;
  /** How much local work was dropped. */
  private droppedWork = 0;
  /** Those who wait until the end of the stream is known. */
  private opened: (() => void)[] = [];
  /** See {@link onReplaced}. */
  private readonly replacementListeners = new Set<ReplacementListener>();

  /**
   * @param commands - the connection on which entries are appended that do not leave with a read
   * @param open - opens the connection on which they are read
   */
  constructor(
    commands: RedisConnection,
    open: (listener: ConnectionListener) => RedisConnection,
    private readonly options: StreamLogOptions,
  ) {
    const { stream, maxHoldMs, commandTimeout, outbox } = options;
    this.lanes = new OwnLanes(options.nodeId, options.ordering);
    this.progress = new ReadProgress(this.gaps);
    this.given = new GivenCut(this.lanes.atOnce, this.progress);
    this.fences = new Fences(this.lanes.main, outbox);
    this.stored = new StoredStream(commands, options);
    this.replayLog = new ReplayLog(options.replay, this.stored);
    this.memory = new ReplayMemory(this.replayLog, this.lanes, this.given, outbox);
    this.delivery = new LogDelivery(this.lanes, this.given, this.memory, options.target);
    const events = {
      emit: (event: StreamEvent) => this.emit(event),
      onBroken: (position: StreamId, lostUpTo: StreamId) => this.onBroken(position, lostUpTo),
      onProgress: () => this.onProgress(),
    };
    const forReading = { stream, lanes: this.lanes, older: this.stored, ...events };
    this.admission = new EntryAdmission(this.gaps, this.progress, this.delivery, forReading);
    this.connection = open({
      onReady: () => {
        this.onConnected('reader');
        this.reader.onReady();
      },
      onLost: (error) => this.reader.onLost(error),
    });
    this.reader = new StreamReader(this.connection, this.progress, this.admission, this.fences, {
      ...{ stream, maxHoldMs, commandTimeout, ...events },
      readCount: options.readCount,
      blockTime: options.blockTime,
      isShared: () => this.common.isShared(),
      onBeforeRead: () => this.publisher.onBeforeRead(this.connection),
    });
    this.lookup = new EntryLookup(this.replayLog, this.reader, this.stored);
    const continuity = this.reader.continuityThrough({
      call: (command) => commands.call(command, commandTimeout),
      read: (command) => commands.read(command, commandTimeout),
    });
    this.common = new CommonHistory(this.progress, {
      check: (position) => continuity.check(position),
      onApart: () => this.progress.isReading && this.connection.reset(),
    });
    this.flow = new FlowControl(this.progress, options);
    const { maxLen, telemetry } = options;
    this.ages = new AgeMeter(stream, telemetry);
    const forAppending = { stream, maxLen, maxHoldMs, commandTimeout, outbox, telemetry, emit: events.emit };
    const onDropped = ({ lane, seq }: OutboxEntry): void => this.onDropped(lane, seq);
    if (!options.isCluster) {
      this.piggyback = new Piggyback({
        ...{ lane: this.lanes.main, maxHoldMs },
        areReady: () => commands.ready && this.connection.ready,
        isReadComing: () => this.reader.isReadComing,
      });
    }
    this.publisher = new StreamPublisher(commands, { ...forAppending, onDropped }, this.flow, this.piggyback);
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
    return this.progress.isOpen ? Promise.resolve() : new Promise((resolve) => this.opened.push(resolve));
  }

  /** To be called when the connection of commands can be used, at first or again. */
  onCommandsReady(): void {
    this.onConnected('commands');
    this.common.reset();
    this.publisher.onReady();
  }

  onCommandsLost(): void {
    this.publisher.onLost();
  }

  /** Appends what waits, for at most `timeout` milliseconds; then nothing is taken any more. Reading goes on. */
  async closeOutbox(timeout: number): Promise<void> {
    await this.publisher.close(timeout);
    while (this.fences.length > 0) {
      this.fences.doNext();
    }
  }

  /** Appends what waits, for at most `timeout` milliseconds, and ends the reading. */
  async close(timeout: number): Promise<void> {
    await this.closeOutbox(timeout);
    await Promise.all([this.reader.stop(), this.connection.close()]);
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
    const numbered = lane === 'direct' ? this.lanes.atOnce : this.lanes.main;
    const origin = numbered.next();
    this.given.onChange();
    this.memory.onTaken(message, fields[7]!, origin);
    this.publisher.append({ lane: numbered, seq: origin.seq, fields, bytes: sizeOfFields(fields) });
    return origin;
  }

  /** Resolves when all that was taken so far is in Redis or was dropped, or the log is closed. It never rejects. */
  whenAppended(): Promise<void> {
    return this.publisher.whenAppended();
  }

  /**
   * Resolves when all own entries that were taken so far are in Redis and were delivered here, or were dropped, or the log is
   * closed. It never rejects.
   */
  async whenOwnDelivered(): Promise<void> {
    const { main } = this.lanes;
    const { taken } = main;
    await this.whenAppended();
    while (!main.isDoneUpTo(taken) && this.progress.mode !== 'stopped') {
      await this.progress.changed.wait(LOOK_AGAIN_MS);
    }
  }

  /** Whether nothing that was taken waits to be appended. */
  get isFlushed(): boolean {
    return this.publisher.pending === 0;
  }

  /** The numbers that were given last in this node's lanes; 0 if none was. */
  get lastTaken(): Pick<LastAppended, 'seq' | 'direct'> {
    return { seq: this.lanes.main.taken, direct: this.lanes.direct.taken };
  }

  /**
   * Does something here once this node has delivered all its own entries that were taken so far; at once if it has. To be
   * used in the ordering `log` only. What waits counts for the bounds of the outbox.
   *
   * @param bytes - about how much memory it takes
   */
  afterOwnEntries(run: () => void, bytes = 0): void {
    if (this.fences.length === 0 && this.lanes.main.isDone) {
      run();
      return;
    }
    this.droppedWork += this.fences.push(run, bytes, this.publisher.pendingBytes);
    this.doDueWork();
  }

  // ── positions ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** The id of the last entry that was delivered, or at which reading began; undefined until that is known. */
  get position(): StreamId | undefined {
    return this.progress.position;
  }

  /** What a client of this node has that was given everything. */
  cut(): Cut {
    return this.given.now();
  }

  /** {@link cut}, as a client keeps it. */
  offset(): string {
    return this.given.offset();
  }

  /** The offset that goes with an entry while it is delivered. */
  offsetAt(entry: LogEntry): string {
    return this.given.offsetAt(entry);
  }

  /** The sequence number of the last entry of a publisher that was delivered; 0 if none was. */
  lastReadOf(node: string): number {
    return this.progress.lastOf(node);
  }

  /** What was delivered here in a history that was replaced, and may be appended to this one again: beside any position. */
  get formerNumbers(): readonly Origin[] {
    return this.progress.formerNumbers;
  }

  /** Whether all entries of a publisher up to `seq` that this history of the log has were delivered. */
  hasRead(node: string, seq: number): boolean {
    return this.lastReadOf(node) >= seq && this.progress.formerNumbers.every((former) => former.node !== node);
  }

  /**
   * Resolves to true once all is in a cut that was delivered here in a history which was replaced, and may be appended
   * again: it is not delivered again then. To false after `timeout` milliseconds.
   */
  whenFormerIn(cut: Cut, timeout: number): Promise<boolean> {
    return this.progress.whenFormerIn(cut, timeout);
  }

  /**
   * Resolves to true once this node reads, and so knows whether the log is still the history that it has read; to false after
   * `timeout` milliseconds.
   */
  whenReading(timeout: number): Promise<boolean> {
    return this.progress.whenReading(timeout);
  }

  /**
   * Resolves to true once this node has come to the position of a cut; to false if that does not happen: the stream does
   * not go so far, or it takes longer than `timeout` milliseconds.
   */
  async whenRead({ position }: Cut, timeout: number): Promise<boolean> {
    // Mostly it is a reply on its way. Only after a while is it worth a question.
    if (await this.progress.whenDelivered(position, USUAL_DELAY_MS)) {
      return true;
    }
    const mayCome = await this.stored.reaches(position).catch(() => true);
    return mayCome && this.progress.whenDelivered(position, timeout);
  }

  /**
   * Resolves to true once it is known that commands are executed on the log that was read here, up to a position that was
   * delivered; to false after `timeout` milliseconds.
   */
  whenSharedUpTo(position: StreamId, timeout: number): Promise<boolean> {
    return this.common.whenSharedUpTo(position, timeout);
  }

  /**
   * Resolves to true once this node has delivered the entry number `seq` of a publisher; to false after `timeout`
   * milliseconds, and at once if it is not reading.
   */
  whenPublisherRead(node: string, seq: number, timeout: number): Promise<boolean> {
    return this.progress.whenPublisherDelivered(node, seq, timeout);
  }

  /** What distinguishes the entry at {@link position} from one of another history with the same id, if that is known. */
  get positionMark(): string | undefined {
    return this.position && this.reader.markAt(this.position);
  }

  /** Calls back whenever the history was replaced by another. Returns what ends that. */
  onReplaced(listener: ReplacementListener): () => void {
    this.replacementListeners.add(listener);
    return () => this.replacementListeners.delete(listener);
  }

  /**
   * Whether the entry at a position is in the log.
   *
   * @param mark - what distinguishes that entry from others with the same id, if that is known
   */
  isInLog(position: StreamId, mark?: string): Promise<EntryPresence> {
    return this.lookup.find(position, mark);
  }

  // ── what clients missed ─────────────────────────────────────────────────────────────────────────────────────────

  /** From now on, what is read is remembered, and so is what is taken until it is read. */
  remember(): void {
    this.memory.begin(this.position);
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
    const { main, direct } = this.lanes;
    return { seq: main.appended, direct: direct.appended, id: this.publisher.lastAppendedId };
  }

  /** A node, or this one, says what it has appended last: what is lost is noticed by that. */
  announce(node: string, seq: number, id: StreamId, direct = 0): void {
    this.reader.announce(node, seq, id);
    this.reader.announce(node + DIRECT_LANE, direct, id);
  }

  /** A node is known to read. */
  onNodeReading(node: string): void {
    this.flow.onReading(node);
    this.publisher.onReaders();
  }

  onNodeLeft(node: string): void {
    this.flow.onLeft(node);
    this.publisher.onReaders();
  }

  /** To be called from time to time: what flow control does not let be appended may have become free by the mere passing of time. */
  recheck(): void {
    this.publisher.onReaders();
  }

  // ── how it is ───────────────────────────────────────────────────────────────────────────────────────────────────

  get isReading(): boolean {
    return this.progress.isReading;
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
    const { progress, reader, publisher, replayLog } = this;
    const { counters } = this.admission;
    const { delivered } = this.delivery;
    return {
      name: this.name,
      mode: progress.mode,
      position: progress.position,
      backlog: reader.backlog,
      lagMs: reader.lagMs,
      outbox: { entries: publisher.pending + this.fences.length, bytes: publisher.pendingBytes + this.fences.bytes },
      replay: { entries: replayLog.size, bytes: replayLog.bytes },
      counters: {
        ...counters,
        delivered,
        passedOver: Math.max(0, counters.read - counters.duplicates - counters.rejected - delivered),
        appended: publisher.appended,
        dropped: publisher.dropped + this.droppedWork,
      },
    };
  }

  /** Counts an entry that was passed over; its reason is reported the first time. */
  reject(id: StreamId, reason: string): void {
    this.admission.reject(id, reason);
  }

  // ── what happens ────────────────────────────────────────────────────────────────────────────────────────────────

  /** A connection was made: if it is not the first one, it may lead to another server. */
  private onConnected(which: 'commands' | 'reader'): void {
    if (this.connected.has(which)) {
      this.given.mark();
    }
    this.connected.add(which);
    this.piggyback?.onConnected();
  }

  private emit(event: StreamEvent): void {
    if (event.type === 'stream-replaced') {
      this.onStreamReplaced(event.position);
    }
    this.options.emit(event);
  }

  private onBroken(position: StreamId, lostUpTo: StreamId): void {
    this.lookup.onBroken(position, lostUpTo);
    this.replayLog.restart(position, lostUpTo);
  }

  private onDropped(lane: Lane, seq: number): void {
    this.given.onChange();
    this.memory.onDropped(lane, seq);
    this.doDueWork();
  }

  /** What was appended to the history before and was not read back never will be. */
  private onStreamReplaced(position: StreamId): void {
    const { lanes } = this;
    const isUnread = !lanes.isReadBack;
    if (lanes.atOnce.read < lanes.atOnce.appended) {
      // Some may have been appended to the new history already, before the reader knew of it.
      this.gaps.addFormer({ node: lanes.atOnce.node, seq: lanes.atOnce.appended });
    }
    this.common.reset();
    this.given.mark();
    lanes.loseUnread();
    if (isUnread) {
      this.replayLog.lose(this.publisher.lastAppendedId);
    }
    this.flow.onStreamReplaced();
    const isAllKnown = this.reader.hasKnownAllAfter(position);
    this.replacementListeners.forEach((listener) => listener(position, isAllKnown));
    this.onProgress();
  }

  private onProgress(): void {
    this.given.onChange();
    this.memory.onProgress();
    this.ages.onProgress(this.progress.position);
    this.doDueWork();
    this.flow.onReadBack();
    this.publisher.onReaders();
    const { isOpen, isReading } = this.progress;
    if (isOpen && this.opened.length > 0) {
      this.opened.splice(0).forEach((resolve) => resolve());
    }
    if (isReading !== this.wasReading) {
      this.wasReading = isReading;
      if (isReading) {
        this.options.onReading();
      }
    }
  }

  private doDueWork(): void {
    if (this.fences.isDue) {
      this.reader.resumeDelivery();
    }
  }
}
