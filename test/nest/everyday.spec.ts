import { expect, test } from '@jest/globals';
import {
  Catch,
  Injectable,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
  type ArgumentMetadata,
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
  type NestInterceptor,
  type PipeTransform,
} from '@nestjs/common';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { Test } from '@nestjs/testing';
import {
  BaseWsExceptionFilter,
  ConnectedSocket,
  MessageBody,
  SubscribeMessage,
  WebSocketGateway,
  WebSocketServer,
  WsException,
  type OnGatewayConnection,
  type OnGatewayDisconnect,
  type OnGatewayInit,
} from '@nestjs/websockets';
import { concat, from, map, of, throwError, type Observable } from 'rxjs';
import type { Namespace, Server, Socket } from 'socket.io';
import { io, type Socket as ClientSocket } from 'socket.io-client';
import {
  RedisStreamsAdapterModule,
  RedisStreamsIoAdapter,
  type RedisStreamsServerOptions,
} from 'nestjs-redis-streams-adapter';
import { closeAfterwards, RedisServer, until } from '../kit/index.js';
import { FAST, portOf } from './nest-app.js';

@Injectable()
class Guard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const data = context.switchToWs().getData<string>();
    if (data === 'throw') throw new WsException('guarded');
    return data !== 'no';
  }
}

@Injectable()
class Wrap implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((data: unknown) => ({ event: 'wrapped', data })));
  }
}

@Injectable()
class Double implements PipeTransform {
  transform(value: unknown, { type }: ArgumentMetadata): unknown {
    if (type !== 'body') return value;
    if (typeof value !== 'number') throw new WsException({ bad: value });
    return value * 2;
  }
}

@Catch()
class Filter extends BaseWsExceptionFilter {
  override catch(error: Error, host: ArgumentsHost): void {
    const client = host.switchToWs().getClient<Socket>();
    client.to('room').emit('failed elsewhere', error.message);
    client.emit('failed', error.message);
  }
}

interface Data {
  n: number;
}

@WebSocketGateway()
class Main implements OnGatewayInit<Server>, OnGatewayConnection, OnGatewayDisconnect {
  @WebSocketServer() server!: Server;

  afterInit(server: Server): void {
    server.use((socket, next) => {
      const { refuse } = socket.handshake.auth as { refuse?: string };
      if (refuse === 'disconnect') socket.disconnect(true);
      next(refuse === 'error' ? Object.assign(new Error('no'), { data: { a: 1 } }) : undefined);
    });
  }

  handleConnection(socket: Socket): void {
    const { n, refuse } = socket.handshake.auth as Data & { refuse?: string };
    (socket.data as Data).n = n;
    if (refuse !== undefined) {
      socket.disconnect(true);
      return;
    }
    void socket.join('room');
    socket.broadcast.emit('came', n);
    socket.to('room').except('nobody').emit('came to the room', n);
  }

  handleDisconnect(socket: Socket): void {
    const { n } = socket.data as Data;
    this.server.emit('left', n);
    socket.broadcast.emit('left the others', n);
  }

  @SubscribeMessage('mark')
  mark(@MessageBody() mark: string): string {
    this.server.emit('mark', mark);
    for (const nsp of ['/other', '/room-1']) this.server.of(nsp).emit('mark', mark);
    return mark;
  }

  @UseGuards(Guard)
  @SubscribeMessage('guarded')
  guarded(@MessageBody() data: string): unknown {
    this.server.emit('passed', data);
    return { event: 'passed you', data };
  }

  @UseInterceptors(Wrap)
  @SubscribeMessage('intercepted')
  intercepted(@MessageBody() data: unknown): unknown {
    return data;
  }

  @UsePipes(Double)
  @SubscribeMessage('piped')
  piped(@MessageBody() data: number, @ConnectedSocket() socket: Socket): number {
    socket.broadcast.emit('piped', data);
    return data;
  }

  @UseFilters(Filter)
  @SubscribeMessage('filtered')
  filtered(): void {
    throw new Error('oops');
  }

  @SubscribeMessage('throw')
  throw(@MessageBody() what: string): void {
    throw what === 'ws' ? new WsException({ code: 7 }) : new WsException('text');
  }

  @SubscribeMessage('observable')
  observable(): Observable<unknown> {
    return from([1, 2, 3]).pipe(map((data) => ({ event: 'observed', data })));
  }

  @SubscribeMessage('observable that fails')
  observableThatFails(): Observable<unknown> {
    return concat(
      of({ event: 'observed', data: 1 }),
      throwError(() => new WsException('late')),
    );
  }

  @SubscribeMessage('promise')
  promise(): Promise<unknown> {
    return Promise.resolve({ event: 'promised', data: new Date(0) });
  }

  @SubscribeMessage('nothing')
  nothing(): void {}

  @SubscribeMessage('binary')
  binary(@MessageBody() data: Buffer): unknown {
    this.server.to('room').emit('binary', data);
    return { event: 'binary for you', data };
  }

  @SubscribeMessage('leave')
  leave(@ConnectedSocket() socket: Socket): void {
    const { n } = socket.data as Data;
    socket.to('room').emit('bye', n);
    void socket.leave('room');
    this.server.to('room').emit('after it', n);
    socket.disconnect(true);
  }

  @SubscribeMessage('ask')
  async ask(@MessageBody() what: string, @ConnectedSocket() socket: Socket): Promise<unknown> {
    const { server } = this;
    const sockets = (await server.in('room').fetchSockets()).sort((a, b) => (a.data as Data).n - (b.data as Data).n);
    const ofEach = (call: (remote: (typeof sockets)[number]) => unknown): Promise<unknown[]> =>
      Promise.all(sockets.map(call));
    const sorted = (answers: unknown[]): unknown[] => answers.sort();
    switch (what) {
      case 'each, emit':
        return ofEach((one) => one.emit('to each', (one.data as Data).n));
      case 'each, join and leave':
        return ofEach((one) => void (one.join(['extra', 'more']), one.leave('more')));
      case 'each, ask':
        return ofEach((one) => one.timeout(2_000).emitWithAck('question', (one.data as Data).n));
      case 'each, describe':
        return ofEach(({ id, rooms, data, handshake }) => {
          return [[...rooms].filter((room) => room !== id).sort(), data, handshake.auth, Object.keys(handshake).sort()];
        });
      case 'all':
        return sorted(await server.timeout(2_000).emitWithAck('question', 1));
      case 'a room':
        return sorted(await socket.to('extra').timeout(2_000).emitWithAck('question', 2));
      case 'all others':
        return sorted(await socket.broadcast.timeout(2_000).emitWithAck('question', 3));
      case 'a room without anybody':
        return server.to('nobody').timeout(500).emitWithAck('question', 4);
      case 'this socket':
        return socket.timeout(2_000).emitWithAck('question', 5);
      case 'some':
        return server.timeout(300).emitWithAck('question for 1', 6).catch(({ message, responses }: Error & { responses: unknown }) => [message, responses]); // prettier-ignore
      case 'nobody but rooms that are left out':
        socket.to('room').to('extra').except(socket.id).except(['x', 'y']).emit('to others in rooms');
        server.in('room').socketsJoin('late');
        server.to('late').emit('to who has just joined');
        server.in('late').socketsLeave('late');
        server.to('late').emit('to nobody');
        server.send('a message', 1);
        server.compress(false).emit('not compressed');
        server.of('other').to('room').emit('from another namespace');
        return (await server.in('extra').allSockets()).size;
      case 'kick 1':
        sockets.find(({ data }) => (data as Data).n === 1)!.disconnect(true);
    }
    return 'done';
  }
}

@WebSocketGateway({ namespace: 'other' })
class Other implements OnGatewayConnection {
  @WebSocketServer() namespace!: Namespace;

  handleConnection(socket: Socket): void {
    void socket.join('room');
  }

  @SubscribeMessage('say')
  say(@ConnectedSocket() socket: Socket): unknown {
    this.namespace.to('room').emit('said', socket.nsp.name);
    return { event: 'said by you', data: this.namespace.name };
  }
}

@WebSocketGateway({ namespace: /^\/room-\d+$/ })
class Rooms {
  @SubscribeMessage('say')
  say(@ConnectedSocket() socket: Socket): unknown {
    socket.nsp.emit('said', socket.nsp.name);
    socket.broadcast.emit('said by another');
    return { event: 'said by you', data: socket.nsp.name };
  }
}

const providers = [Main, Other, Rooms];

async function inMemory(server: RedisStreamsServerOptions): Promise<INestApplication[]> {
  class WithOptions extends IoAdapter {
    override createIOServer(port: number, options?: object): ReturnType<IoAdapter['createIOServer']> {
      return super.createIOServer(port, { ...server, ...options } as never);
    }
  }
  const app = (await Test.createTestingModule({ providers }).compile()).createNestApplication({ logger: false });
  closeAfterwards(app);
  app.useWebSocketAdapter(new WithOptions(app));
  await app.listen(0, '127.0.0.1');
  return [app, app];
}

async function onTwoNodes(serverOptions: RedisStreamsServerOptions): Promise<INestApplication[]> {
  const { url: connection } = await RedisServer.start();
  const start = async (): Promise<INestApplication> => {
    const imports = [RedisStreamsAdapterModule.forRoot({ connection, serverOptions, ...FAST })];
    const compiled = await Test.createTestingModule({ imports, providers }).compile();
    const app = compiled.createNestApplication({ logger: false });
    closeAfterwards(app);
    app.useWebSocketAdapter(app.get(RedisStreamsIoAdapter));
    await app.listen(0, '127.0.0.1');
    return app;
  };
  const apps = [await start(), await start()];
  const { adapter } = apps[0]!.get(Main).server.of('/');
  await until(async () => (await adapter.serverCount()) === 2, { what: 'both nodes' });
  return apps;
}

/** What comes last with recovery on: an offset, of this package or of the in-memory adapter. */
const isOffset = (value: unknown): boolean => /^(\d+-\d+(,[\w~-]+:\d+)*|[\w-]{7}(\.[\w-]+)?)$/.test(String(value));

/** Clients 0 and 2 are connected to the first application, 1 and 3 to the second. */
class Audience {
  /** What each client has received, by its name: sorted between two marks, for nodes are not in step. */
  readonly log: Record<string, string[]> = {};
  private readonly marks: Record<string, Set<unknown>> = {};
  private readonly clients: Record<string, ClientSocket> = {};
  private count = 0;

  constructor(
    private readonly apps: INestApplication[],
    private readonly hasOffsets: boolean,
  ) {}

  async enter(name: string, n: number, nsp = '/', auth: object = {}): Promise<void> {
    const url = `http://127.0.0.1:${portOf(this.apps[n % 2]!)}${nsp}`;
    const client = io(url, { transports: ['websocket'], forceNew: true, reconnection: false, auth: { n, ...auth } });
    closeAfterwards({ close: () => client.disconnect() });
    const log: string[] = (this.log[name] = []);
    const marks = (this.marks[name] = new Set());
    this.clients[name] = client;
    client.onAny((event: string, ...args: unknown[]) => {
      const answer = args.at(-1);
      if (typeof answer === 'function') {
        args.pop();
        if (event === 'question' || n === 1) (answer as (value: string) => void)(`${name} to ${String(args[0])}`);
      } else if (this.hasOffsets && isOffset(answer)) {
        args.pop();
      }
      if (event === 'mark') marks.add(args[0]);
      else log.push(JSON.stringify([event, ...args]));
    });
    let isOver = false;
    client.on('connect', () => (isOver = 'refuse' in auth ? isOver : true));
    for (const event of ['disconnect', 'connect_error'] as const) {
      client.on(event, (why: string | (Error & { data?: unknown })) => {
        log.push(typeof why === 'string' ? why : JSON.stringify([why.message, why.data]));
        isOver = true;
      });
    }
    await until(() => isOver, { what: `${name} to come` });
    await this.settle();
  }

  /** The client emits; all that comes of it has arrived when this resolves. */
  async emit(name: string, ...event: [string, ...unknown[]]): Promise<void> {
    this.clients[name]!.emit(...event);
    await this.settle();
  }

  async ask(name: string, ...event: [string, ...unknown[]]): Promise<unknown> {
    const answer: unknown = await this.clients[name]!.timeout(5_000).emitWithAck(...event);
    await this.settle();
    return answer;
  }

  private async settle(): Promise<void> {
    const areAsServed = (): boolean => {
      const servers = [...new Set(this.apps)].map((app) => app.get(Main).server);
      const open = Object.values(this.clients).filter(({ connected }) => connected).length;
      const served = servers.flatMap((server) => ['/', '/other', '/room-1'].map((nsp) => server.of(nsp).sockets.size));
      return served.reduce((sum, size) => sum + size, 0) === open;
    };
    await until(areAsServed, { what: 'connections to be as their clients say', interval: 2 });
    for (const app of this.apps) {
      const mark = `mark ${this.count++}`;
      app.get(Main).mark(mark);
      const connected = (): string[] => Object.keys(this.clients).filter((name) => this.clients[name]!.connected);
      await until(() => connected().every((name) => this.marks[name]!.has(mark)), { what: mark, interval: 2 });
    }
    for (const log of Object.values(this.log)) {
      const start = log.lastIndexOf('--') + 1;
      log.push(...log.splice(start).sort(), '--');
    }
  }
}

async function play(apps: INestApplication[], hasOffsets: boolean): Promise<unknown> {
  const audience = new Audience(apps, hasOffsets);
  const answers: Record<string, unknown> = {};
  await audience.enter('0', 0);
  await audience.enter('1', 1);
  await audience.enter('2', 2);
  await audience.enter('other 0', 0, '/other');
  await audience.enter('other 1', 1, '/other');
  await audience.enter('room 0', 0, '/room-1');
  await audience.enter('room 1', 1, '/room-1');
  for (const data of ['yes', 'no', 'throw']) await audience.emit('0', 'guarded', data);
  for (const data of [4, 'x']) await audience.emit('0', 'piped', data);
  for (const data of ['ws', 'text']) await audience.emit('1', 'throw', data);
  for (const event of ['observable', 'observable that fails', 'promise', 'nothing', 'filtered', 'intercepted']) {
    await audience.emit('0', event, 1);
  }
  answers['piped'] = await audience.ask('0', 'piped', 5);
  await audience.emit('1', 'binary', Buffer.from('abc'));
  const questions = [
    ...['each, emit', 'each, join and leave', 'each, ask', 'each, describe', 'all', 'a room', 'all others', 'some'],
    ...['a room without anybody', 'this socket', 'nobody but rooms that are left out'],
  ];
  for (const question of questions) answers[question] = await audience.ask('0', 'ask', question);
  for (const name of ['other 0', 'other 1', 'room 0', 'room 1']) await audience.emit(name, 'say');
  for (const refuse of ['error', 'disconnect', 'later']) {
    for (const n of [4, 5]) await audience.enter(`${n} ${refuse}`, n, '/', { refuse });
  }
  await audience.enter('3', 3);
  await audience.emit('3', 'leave');
  answers['kick 1'] = await audience.ask('0', 'ask', 'kick 1');
  return { log: audience.log, answers };
}

test.each<[string, RedisStreamsServerOptions]>([
  ['no recovery', {}],
  ['recovery', { connectionStateRecovery: { skipMiddlewares: false } }],
])(
  'Gateways on two nodes are to their clients what they are on one with the in-memory adapter (%s)',
  async (_, server) => {
    const hasOffsets = 'connectionStateRecovery' in server;
    const expected = await play(await inMemory(server), hasOffsets);
    expect(await play(await onTwoNodes(server), hasOffsets)).toEqual(expected);
  },
  60_000,
);
