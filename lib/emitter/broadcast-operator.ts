import { toPlain } from '../wire/binary.js';
import { EntryType, isRoom, type LogMessage, type WireOptions } from '../wire/entry.js';
import { EVENT, problemOfEventName, RequestType } from '../wire/requests.js';
import type { DefaultEventsMap, EventArgs, EventNames } from './typed-events.js';

/** What takes the messages of an operator. */
interface Sender {
  readonly uid: string;
  append(message: LogMessage): void;
  publish(nsp: string, event: unknown, type: number, data: unknown): void;
}

/**
 * Which sockets of a namespace are meant. It is not changed by its methods: each makes another one.
 *
 * @publicApi
 */
export class BroadcastOperator<
  EmitEvents extends object = DefaultEventsMap,
  ServerSideEvents extends object = DefaultEventsMap,
> {
  /** @internal */
  constructor(
    private readonly emitter: Sender,
    private readonly nsp: string,
    private readonly opts: WireOptions = { rooms: [], except: [], flags: {} },
  ) {}

  /** Only to sockets in one of these rooms, or of those named before. */
  to(rooms: string | string[]): BroadcastOperator<EmitEvents, ServerSideEvents> {
    return this.with({ rooms: [...new Set([...this.opts.rooms, ...namesOf(rooms)])] });
  }

  /** The same as {@link to}. */
  in(rooms: string | string[]): BroadcastOperator<EmitEvents, ServerSideEvents> {
    return this.to(rooms);
  }

  /** Only to sockets in none of these rooms. */
  except(rooms: string | string[]): BroadcastOperator<EmitEvents, ServerSideEvents> {
    return this.with({ except: [...new Set([...this.opts.except, ...namesOf(rooms).filter(isRoom)])] });
  }

  /**
   * Whether the servers compress what they send to clients, if they have compression (`perMessageDeflate`).
   *
   * @param compress - whether they do
   */
  compress(compress: boolean): BroadcastOperator<EmitEvents, ServerSideEvents> {
    return this.with({ flags: { ...this.opts.flags, compress } });
  }

  /** May be lost, and never waits for Redis. */
  get volatile(): BroadcastOperator<EmitEvents, ServerSideEvents> {
    return this.with({ flags: { ...this.opts.flags, volatile: true } });
  }

  /** @returns true @throws TypeError if an argument cannot be serialized, or is an acknowledgement, or the event has a name that is reserved */
  emit<Event extends EventNames<EmitEvents>>(event: Event, ...args: EventArgs<EmitEvents, Event>): true {
    checkEvent([event, ...args], 'clients');
    const { opts } = this;
    const packet = { type: EVENT, data: [event, ...args] };
    if (opts.flags.volatile) {
      this.emitter.publish(this.nsp, event, RequestType.Broadcast, toPlain({ packet, opts }));
    } else {
      this.append({ type: EntryType.Broadcast, data: { packet, opts } });
    }
    return true;
  }

  /** Makes the sockets join rooms. It waits in the outbox as broadcasts do, in their order. */
  socketsJoin(rooms: string | string[]): void {
    this.append({ type: EntryType.SocketsJoin, data: { opts: this.opts, rooms: namesOf(rooms).filter(isRoom) } });
  }

  /** Makes the sockets leave rooms, likewise. */
  socketsLeave(rooms: string | string[]): void {
    this.append({ type: EntryType.SocketsLeave, data: { opts: this.opts, rooms: namesOf(rooms).filter(isRoom) } });
  }

  /**
   * Disconnects the sockets from the namespace.
   *
   * @param close - whether to close their connections too, with which they are disconnected from all namespaces
   */
  disconnectSockets(close = false): void {
    this.append({ type: EntryType.DisconnectSockets, data: { opts: this.opts, close } });
  }

  /** Emits an event to the servers that have the namespace. It waits for the first connection, and is lost if Redis is away later. */
  serverSideEmit<Event extends EventNames<ServerSideEvents>>(
    event: Event,
    ...args: EventArgs<ServerSideEvents, Event>
  ): void {
    checkEvent([event, ...args], 'servers');
    this.emitter.publish(this.nsp, event, RequestType.ServerSideEmit, { packet: [event, ...args] });
  }

  private with(opts: Partial<WireOptions>): BroadcastOperator<EmitEvents, ServerSideEvents> {
    return new BroadcastOperator(this.emitter, this.nsp, { ...this.opts, ...opts });
  }

  private append(message: Pick<LogMessage, 'type' | 'data'>): void {
    this.emitter.append({ uid: this.emitter.uid, nsp: this.nsp, ...message } as LogMessage);
  }
}

/** @throws TypeError */
function checkEvent([name, ...args]: readonly unknown[], receiver: 'clients' | 'servers'): void {
  const problem = problemOfEventName(name, receiver);
  if (problem !== undefined) {
    throw new TypeError(`${problem}. Give the event another name.`);
  }
  if (typeof args.at(-1) === 'function') {
    throw new TypeError(
      `"${String(name)}" asks for an acknowledgement, and an emitter is given none. Ask from a server.`,
    );
  }
}

/** What is no name of a room becomes null, which names nobody: it must not go missing, for no room means everybody. */
function namesOf(rooms: string | string[]): string[] {
  return [rooms].flat().map((room) => (isRoom(room) ? room : (null as unknown as string)));
}
