import type { BroadcastOperator, Namespace, Server, ServerOptions, Socket } from 'socket.io';
import { LocalServer } from '../kit/local-server.js';
import { GUEST, of, OWN, roomOf, valueOf, type Guest, type Program, type Statement } from './program.js';
import type { Target, Turn } from './program.js';
import { MARK, RawClient, readable, REFUSED, type Received } from './raw-client.js';

/** Milliseconds that acknowledgements may take; those of clients that were disconnected never come. */
const ACK_TIMEOUT = 800;

const NSPS = ['/', '/second'] as const;
/** Which client of which namespace each number stands for. */
const PLACES = [
  { client: 0, nsp: '/' },
  { client: 1, nsp: '/' },
  { client: 2, nsp: '/' },
  { client: 3, nsp: '/' },
  { client: 4, nsp: '/' },
  { client: 0, nsp: '/second' },
  { client: 3, nsp: '/second' },
  { client: 1, nsp: '/second' }, // the guest
] as const;
/** Rooms in which they begin. */
const ROOMS = [['r1'], ['r1', 'r2'], [], ['r1'], ['r2', 'r3'], ['r1'], ['r1', 'r2'], []];
/** What clients answer to events that ask for it. */
const ANSWERS: unknown[][] = [['from 0'], [Buffer.from([1, 1])], [], ['from 3', 'too much'], [{ from: 4 }]];

/** An event between servers. */
const BETWEEN_SERVERS = 'between servers';
/** What a server answers to it. */
const ANSWER_OF_SERVER = ['from a server'];

/** What happened when a program ran. */
export interface Outcome {
  /** What each client received, in the order in which it did. */
  received: Received[][];
  /** For each statement that has one: what it gave, in the order of the code. */
  results: unknown[];
  /** What the server that acts was told of its own sockets: rooms created, joined, left and deleted; disconnections. */
  seen: string[];
}

/** A Socket.IO server, or several that share a Redis, and clients that are connected to them. */
export class Stage {
  /** The one that acts is the first. */
  readonly ios: readonly Server[];
  private readonly clients: RawClient[] = [];
  private readonly sockets: Socket[] = [];
  private readonly ids: string[] = [];
  private results: unknown[] = [];
  private seen: string[] = [];
  private settling: Promise<unknown>[] = [];
  private marks = 0;
  /** The last mark that each client has received, as its server knows. */
  private seenMarks = new Map<string, number>();
  private turn: Turn | undefined;
  private guest: Guest | undefined;
  private farewell: readonly Statement[] = [];
  private count = 0;

  private constructor(
    private readonly servers: readonly LocalServer[],
    private readonly isInMemory: boolean,
    /** How many of the servers that {@link PLACES} asks for are imagined: what they would do, the one that acts does. */
    private readonly imagined: number,
    /** Resolves when nothing is under way between the servers: what is left would happen to the clients of the next program. */
    private readonly idle: () => Promise<void>,
  ) {
    this.ios = servers.map(({ io }) => io);
  }

  /**
   * @param adapters - of the server that acts, and of the others; undefined: the in-memory adapter
   * @param imagined - how many servers there are to be besides, which hear of events between servers
   */
  static async start(
    adapters: readonly unknown[],
    options: Partial<ServerOptions>,
    { imagined = 0, idle = () => Promise.resolve() }: { imagined?: number; idle?: () => Promise<void> } = {},
  ): Promise<Stage> {
    const servers = adapters.map((adapter) => new LocalServer(adapter, options));
    await Promise.all(servers.map((server) => server.listen()));
    const stage = new Stage(servers, adapters[0] === undefined, imagined, idle);
    stage.prepare(options.connectionStateRecovery !== undefined);
    return stage;
  }

  async close(): Promise<void> {
    this.clients.forEach((client) => client.close());
    await Promise.all(this.servers.map((server) => server.close()));
  }

  async run(program: Program): Promise<Outcome> {
    await this.begin();
    for (const turn of program) {
      const before = this.seen.length;
      await this.take(turn);
      await this.quiet();
      if (this.clients.some((client) => client.wasDisconnected)) {
        // Connections that are closed are not closed in the same order each time.
        this.seen.push(...this.seen.splice(before).sort());
      }
    }
    const outcome = this.outcome();
    this.seen = [];
    this.farewell = [];
    await this.idle();
    this.clients.forEach((client) => client.leave());
    while (this.ios.some((io) => NSPS.some((nsp) => io.of(nsp).sockets.size > 0))) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    return outcome;
  }

  /**
   * The statements of a program's last turn, and the end of the server that acts in the same turn of the event loop. Nothing
   * can be run after that.
   */
  async runAndClose(program: Program): Promise<Outcome> {
    await this.begin();
    const { statements, farewell } = program.at(-1)!;
    this.farewell = farewell;
    this.perform(statements);
    await this.end();
    await this.idle();
    const others = this.ios.slice(this.isInMemory ? 0 : 1);
    others.forEach((io) => NSPS.forEach((nsp) => io.of(nsp).local.emit(MARK, 1)));
    await Promise.all(
      PLACES.map(({ client, nsp }, who) => this.clients[client]!.reaches(nsp, OWN.includes(who) ? Infinity : 1)),
    );
    return this.outcome();
  }

  /**
   * The server that acts is closed. With the in-memory adapter, what happens to its sockets then: `close()` would not wait until
   * what was sent to them is on its way.
   */
  private async end(): Promise<void> {
    if (!this.isInMemory) {
      await this.io.close();
      return;
    }
    const own = this.sockets.filter((_, who) => this.imagined === 0 || OWN.includes(who));
    for (const nsp of NSPS) {
      own.filter((socket) => socket.nsp.name === nsp).forEach((socket) => socket._onclose('server shutting down'));
    }
    own.forEach(({ conn }) => conn.close());
  }

  private async begin(): Promise<void> {
    await this.connect();
    this.results = [];
    this.seen = [];
    this.farewell = [];
    this.count = 0;
  }

  private outcome(): Outcome {
    const received = PLACES.map(({ client, nsp }) => this.clients[client]!.receivedIn(nsp));
    return { received, results: this.results, seen: this.seen };
  }

  private get io(): Server {
    return this.ios[0]!;
  }

  private prepare(recovery: boolean): void {
    for (const io of this.ios) {
      NSPS.forEach((nsp) => io.of(nsp).on('connection', (socket) => this.onConnection(socket, nsp)));
    }
    this.io.of(PLACES[GUEST].nsp).use((socket, next) => next(this.verdictOn(socket)));
    this.ios.slice(1).forEach((io) => {
      NSPS.forEach((nsp) => {
        io.of(nsp).on(BETWEEN_SERVERS, (event: string, args: unknown[], answer?: (value: unknown) => void) => {
          io.of(nsp).local.emit(event, ...args);
          answer?.(ANSWER_OF_SERVER);
        });
      });
    });
    for (const nsp of NSPS) {
      const { adapter } = this.io.of(nsp);
      for (const event of ['create-room', 'join-room', 'leave-room', 'delete-room']) {
        adapter.on(event, (room: unknown, id?: string) => {
          const isForeign = this.ios.length > 1 && id === undefined; // a room that only clients of other nodes have
          if (!isForeign) this.seen.push([nsp, event, this.nameOf(room), this.nameOf(id)].join(' '));
        });
      }
    }
    ANSWERS.forEach((answer, i) => {
      const server = Math.max(0, i - 2) % this.ios.length;
      this.clients.push(new RawClient(this.servers[server]!.url, recovery, answer));
    });
  }

  private async connect(): Promise<void> {
    const nspsOf = (client: number): string[] =>
      PLACES.filter((place) => place.client === client).map(({ nsp }) => nsp);
    await Promise.all(this.clients.map((client, i) => client.open(nspsOf(i))));
    for (const { client, nsp } of PLACES.slice(0, GUEST)) {
      await this.clients[client]!.connect(nsp, { client }); // in this order, which is that of the server's maps
    }
    this.ids.length = this.sockets.length = GUEST;
  }

  /** What the middleware does with a socket. */
  private verdictOn(socket: Socket): Error | undefined {
    const { guest } = this;
    if ((socket.handshake.auth as { client: number }).client !== PLACES[GUEST].client || !guest) {
      return undefined;
    }
    this.sockets[GUEST] = socket;
    this.ids[GUEST] = socket.id;
    void socket.join(this.roomsOf(guest.rooms));
    this.perform(guest.inMiddleware, GUEST);
    if (guest.verdict === 'let in') {
      return undefined;
    }
    return Object.assign(new Error('not let in'), guest.verdict === 'refused with data' && { data: { code: 401 } });
  }

  private onConnection(socket: Socket, nsp: string): void {
    const { client } = socket.handshake.auth as { client: number };
    const who = PLACES.findIndex((place) => place.client === client && place.nsp === nsp);
    this.sockets[who] = socket;
    this.ids[who] = socket.id;
    Object.assign(socket.data as object, { who });
    void socket.join(ROOMS[who]!);
    socket.on(MARK, (mark: number) => {
      this.seenMarks.set(socket.id, mark);
    });
    socket.use(([event], next) => next(event === 'run' && this.turn?.isRefused ? new Error('refused') : undefined));
    socket.on('run', (answer: (value: string) => void) => {
      this.perform(this.turn!.statements);
      answer('done');
    });
    socket.on('error', () => {
      this.perform(this.turn!.statements);
      socket.emit(REFUSED);
    });
    if (OWN.includes(who)) {
      this.observe(socket, who);
    }
    if (who === GUEST) {
      this.perform(this.guest!.onConnection, GUEST);
    }
  }

  /** Listeners of a socket of the server that acts. */
  private observe(socket: Socket, who: number): void {
    const isByServer = (reason: string): boolean => reason.startsWith('server ');
    const see = (what: string) => (event: unknown) => {
      if (event !== MARK) this.seen.push(`${who} ${what} ${String(event)}`);
    };
    socket.onAny(see('receives'));
    socket.prependAny(see('is about to receive'));
    socket.onAnyOutgoing(see('is sent'));
    socket.prependAnyOutgoing(see('is about to be sent'));
    socket.on('disconnecting', (reason) => {
      if (isByServer(reason)) this.perform(this.farewell, who);
    });
    socket.on('disconnect', (reason) => {
      this.seen.push(`${who} disconnect ${isByServer(reason) ? reason : 'of the connection'}`);
    });
  }

  private async take(turn: Turn): Promise<void> {
    this.farewell = turn.farewell;
    this.turn = turn;
    if (turn.sockets) {
      await this.takeSockets(turn.sockets);
    } else if (turn.guest) {
      await this.welcome(turn.guest);
    } else if (turn.askedBy === undefined) {
      this.perform(turn.statements);
    } else {
      const { client, nsp } = PLACES[turn.askedBy]!;
      await this.clients[client]!.ask(nsp, 'run');
    }
  }

  private async takeSockets({ target, then }: NonNullable<Turn['sockets']>): Promise<void> {
    const sockets = await this.operator(target).fetchSockets();
    sockets.sort((a, b) => this.ids.indexOf(a.id) - this.ids.indexOf(b.id));
    for (const socket of sockets) {
      const event = `fetched${this.count++}`;
      if (then === 'emit') socket.emit(event, 1);
      else if (then === 'join') socket.join('r3');
      else if (then === 'leave') socket.leave('r1');
      else if (then === 'disconnect') socket.disconnect();
      else this.note(this.settled(socket.timeout(ACK_TIMEOUT).emitWithAck(event)));
    }
  }

  /** The guest comes, unless its connection is gone or it is here. */
  private async welcome(guest: Guest): Promise<void> {
    const { client, nsp } = PLACES[GUEST];
    if (this.clients[client]!.isOpen && !this.clients[client]!.isConnected(nsp)) {
      this.guest = guest;
      await this.clients[client]!.connect(nsp, { client });
    }
  }

  /** @param who - the socket for which all statements stand */
  private perform(statements: readonly Statement[], who?: number): void {
    for (const statement of statements) {
      const before = this.results.length;
      try {
        this.execute(who === undefined ? statement : of(who, statement), `${statement.do} ${this.count++}`);
      } catch (error) {
        this.results.splice(before, Infinity, 'an error is thrown');
      }
    }
  }

  private execute(statement: Statement, event: string): void {
    switch (statement.do) {
      case 'emit': {
        const { from, target, flags } = statement;
        let operator = this.operator(target, from, flags.broadcast);
        if (flags.local) operator = operator.local;
        if (flags.volatile) operator = operator.volatile;
        if (flags.compress !== undefined) operator = operator.compress(flags.compress);
        operator.emit(flags.volatile ? `volatile ${event}` : event, ...statement.args.map(valueOf));
        return;
      }
      case 'ask all': {
        const operator = this.operator(statement.target);
        const asking = (statement.local ? operator.local : operator).timeout(ACK_TIMEOUT);
        const args = statement.args.map(valueOf);
        if (statement.promise) {
          this.note(this.settled(asking.emitWithAck(event, ...args)));
        } else {
          const answered = new Promise((resolve) => {
            asking.emit(event, ...args, (error: Error | null, responses: unknown) =>
              resolve([error?.message, responses]),
            );
          });
          this.note(this.settled(answered));
        }
        return;
      }
      case 'emit to socket': {
        const { flags } = statement;
        let socket = this.sockets[statement.who]!;
        if (flags.volatile) socket = socket.volatile;
        if (flags.compress !== undefined) socket = socket.compress(flags.compress);
        socket.emit(flags.volatile ? `volatile ${event}` : event, ...statement.args.map(valueOf));
        return;
      }
      case 'emit to its rooms': {
        const socket = this.sockets[statement.who]!;
        socket.rooms.forEach((room) => socket.to(room).emit(event, ...statement.args.map(valueOf)));
        return;
      }
      case 'ask socket':
        this.askSocket(statement, event);
        return;
      case 'serverSideEmit':
        this.tellServers(statement, event);
        return;
      case 'join':
        void this.sockets[statement.who]!.join(this.roomsOf(statement.rooms));
        return;
      case 'leave':
        this.roomsOf(statement.rooms).forEach((room) => void this.sockets[statement.who]!.leave(room));
        return;
      case 'socketsJoin':
      case 'socketsLeave': {
        const operator = this.operator(statement.target);
        const rooms = this.roomsOf(statement.rooms);
        (statement.local ? operator.local : operator)[statement.do](rooms.length === 1 ? rooms[0]! : rooms);
        return;
      }
      case 'disconnectSockets': {
        const operator = this.operator(statement.target);
        (statement.local ? operator.local : operator).disconnectSockets(statement.close);
        return;
      }
      case 'disconnect':
        this.sockets[statement.who]!.disconnect(statement.close);
        return;
      case 'fetchSockets': {
        const operator = this.operator(statement.target);
        const fetching = (statement.local ? operator.local : operator).fetchSockets().then((sockets) =>
          sockets
            .map(({ id, rooms, data, handshake }) => {
              const { who, value } = data as { who: number; value: unknown };
              const names = [...rooms].map((room) => this.nameOf(room));
              return [this.nameOf(id), who, readable(value), names, handshake.auth.client];
            })
            .sort(),
        );
        this.note(this.settled(fetching));
        return;
      }
      case 'set data':
        (this.sockets[statement.who]!.data as { value: unknown }).value = valueOf(statement.value);
        return;
      case 'look at rooms':
        this.results.push([...this.sockets[statement.who]!.rooms].map((room) => this.nameOf(room)));
        return;
      case 'look at adapter':
        this.results.push(this.membersOf(this.io.of(statement.nsp)));
    }
  }

  private askSocket({ who, how, args }: Extract<Statement, { do: 'ask socket' }>, event: string): void {
    const socket = this.sockets[who]!;
    const values = args.map(valueOf);
    if (how === 'promise') {
      this.note(this.settled(socket.timeout(ACK_TIMEOUT).emitWithAck(event, ...values)));
    } else if (how === 'callback with timeout') {
      const answered = new Promise((resolve) => {
        socket.timeout(ACK_TIMEOUT).emit(event, ...values, (error: Error | null, ...answer: unknown[]) => {
          resolve([error?.message, answer]);
        });
      });
      this.note(this.settled(answered));
    } else {
      const index = this.results.push('no answer') - 1;
      const { results } = this;
      socket.emit(event, ...values, (...answer: unknown[]) => {
        results[index] = readable(answer);
      });
    }
  }

  /** Other servers, where there are any, pass it on to their own clients; see {@link prepare}. */
  private tellServers({ nsp, asks, args }: Extract<Statement, { do: 'serverSideEmit' }>, event: string): void {
    const values = args.map(valueOf);
    const namespace = this.io.of(nsp);
    if (this.imagined > 0) {
      const others = PLACES.flatMap((place, who) =>
        place.nsp === nsp && !OWN.includes(who) ? this.sockets[who]! : [],
      );
      others.filter(({ connected }) => connected).forEach((socket) => socket.emit(event, ...values));
    } else if (this.ios.length > 1) {
      const sent = [event, values];
      if (!asks) namespace.serverSideEmit(BETWEEN_SERVERS, ...sent);
      else {
        const answered = new Promise((resolve) => {
          namespace.serverSideEmit(BETWEEN_SERVERS, ...sent, (error: Error | null, answers: unknown[]) => {
            resolve([error?.message, answers]);
          });
        });
        this.note(this.settled(answered));
        return;
      }
    }
    if (asks) this.results.push([undefined, Array.from({ length: this.imagined }, () => ANSWER_OF_SERVER)]);
  }

  /** Sockets of the server that acts, as its adapter knows them: in their rooms, and the rooms with them. */
  private membersOf({ adapter, sockets }: Namespace): unknown {
    const own = (ids: Iterable<string>): string[] =>
      [...ids].map((id) => this.nameOf(id)).filter((name) => OWN.includes(Number(name.slice(1))));
    const rooms = [...adapter.rooms].map(([room, ids]) => [this.nameOf(room), own(ids)] as const);
    return {
      sockets: own(sockets.keys()),
      sids: own(adapter.sids.keys()).map((name) => {
        const id = this.ids[Number(name.slice(1))]!;
        return [name, [...adapter.sids.get(id)!].map((room) => this.nameOf(room))];
      }),
      rooms: rooms.filter(([, members]) => members.length > 0).sort(([a], [b]) => (a < b ? -1 : 1)),
    };
  }

  private operator({ nsp, to, except }: Target, from?: number, broadcast = false): BroadcastOperator<any, any> {
    const namespace: Namespace = this.io.of(nsp);
    const sender = from === undefined ? undefined : this.sockets[from]!;
    const start = broadcast ? (sender?.broadcast ?? namespace) : (sender ?? namespace);
    let operator = start.except(this.roomsOf(except));
    // One after the other and all at once are the same; a single one that is nobody is the everyday case.
    const rooms = this.roomsOf(to);
    operator = rooms.length === 1 ? operator.to(rooms[0]!) : operator.to(rooms);
    return operator as BroadcastOperator<any, any>;
  }

  private roomsOf(rooms: string[]): string[] {
    return rooms.map((room) => roomOf(room, (who) => this.ids[who]!));
  }

  private nameOf(room: unknown): string {
    const who = this.ids.indexOf(room as string);
    return who >= 0 ? `@${who}` : typeof room === 'symbol' ? 'symbol' : String(room);
  }

  /** A promise's outcome becomes the next result. */
  private note(outcome: Promise<unknown>): void {
    const { results } = this;
    const index = results.push('nothing yet') - 1;
    this.settling.push(outcome.then((value) => (results[index] = value)));
  }

  private settled(promise: Promise<unknown>): Promise<unknown> {
    return promise.then(
      (value) => inAnyOrder(readable(value)),
      ({ message, responses }: Error & { responses?: unknown }) => [
        message === 'operation has timed out' ? message : 'an error',
        inAnyOrder(readable(responses)),
      ],
    );
  }

  /** Waits until everything that was done has come to its end: clients have received it, and their answers are here. */
  private async quiet(): Promise<void> {
    await Promise.all(this.settling.splice(0));
    const mark = ++this.marks;
    NSPS.forEach((nsp) => this.io.of(nsp).emit(MARK, mark));
    await Promise.all(PLACES.map(({ client, nsp }) => this.clients[client]!.reaches(nsp, mark)));
    const isSeen = (): boolean =>
      PLACES.every(
        ({ client, nsp }, who) =>
          !this.clients[client]!.isConnected(nsp) || (this.seenMarks.get(this.ids[who]!) ?? 0) >= mark,
      );
    while (!isSeen()) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    // An answer that crosses a disconnection makes the server close the connection, sooner or later; so it ends here.
    this.clients.forEach((client) => client.endIfDisconnected());
    const areGone = (): boolean =>
      this.ios.reduce((count, io) => count + io.engine.clientsCount, 0) ===
        this.clients.filter(({ isOpen }) => isOpen).length &&
      this.ios.every((io) =>
        NSPS.every((nsp) => [...io.of(nsp).sockets.values()].every((socket) => this.isOpen(socket))),
      );
    while (!areGone()) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  private isOpen(socket: Socket): boolean {
    const { client, nsp } = PLACES[this.ids.indexOf(socket.id)]!;
    return this.clients[client]!.isConnected(nsp);
  }
}

/** Answers of several clients come in any order. */
function inAnyOrder(value: unknown): unknown {
  if (!Array.isArray(value)) {
    return value;
  }
  return value
    .map((item) => (Array.isArray(item) ? inAnyOrder(item) : item) as unknown)
    .map((item) => [JSON.stringify(item) ?? '', item] as const)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, item]) => item);
}
