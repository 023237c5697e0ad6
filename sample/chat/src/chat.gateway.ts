import { hostname } from 'node:os';
import {
  ConnectedSocket,
  MessageBody,
  SubscribeMessage,
  WebSocketGateway,
  WebSocketServer,
  type OnGatewayConnection,
  type OnGatewayDisconnect,
  type OnGatewayInit,
} from '@nestjs/websockets';
import { RedisStreamsMonitor } from 'nestjs-redis-streams-adapter';
import { filter } from 'rxjs';
import type { DefaultEventsMap, Server, Socket } from 'socket.io';

/** What is known of a client. It is kept with its session, so a recovered client has it again. */
interface ClientData {
  name?: string;
  room?: string;
}
type ChatSocket = Socket<DefaultEventsMap, DefaultEventsMap, DefaultEventsMap, ClientData>;
type ChatServer = Server<DefaultEventsMap, DefaultEventsMap, DefaultEventsMap, ClientData>;

/** What this node is called on the page. */
const NODE = process.env.NODE_NAME ?? `${hostname()}:${process.pid}`;

type Reply = { ok: true } | { ok: false; error: string };

@WebSocketGateway({ connectionStateRecovery: { maxDisconnectionDuration: 120_000 } })
export class ChatGateway
  implements OnGatewayInit<ChatServer>, OnGatewayConnection<ChatSocket>, OnGatewayDisconnect<ChatSocket>
{
  @WebSocketServer()
  private readonly server!: ChatServer;

  constructor(private readonly monitor: RedisStreamsMonitor) {}

  afterInit(server: ChatServer): void {
    // A node that died cannot tell that its clients are gone.
    this.monitor.events$
      .pipe(filter(({ type }) => type === 'node-down'))
      .subscribe(() => server.local.emit('people-changed'));
  }

  async handleConnection(socket: ChatSocket): Promise<void> {
    // Its first event gives a client the offset to be recovered from, even if it never gets another.
    socket.emit('welcome', { node: NODE, id: this.monitor.status.id, pid: process.pid });
    if (socket.recovered) {
      this.tellRoom(socket);
    } else {
      await this.join(socket, socket.handshake.auth);
    }
  }

  handleDisconnect(socket: ChatSocket): void {
    this.tellRoom(socket);
  }

  @SubscribeMessage('join')
  async join(@ConnectedSocket() socket: ChatSocket, @MessageBody() body: Record<string, unknown>): Promise<Reply> {
    const { room, name } = body;
    if (!isText(room, 40) || !isText(name, 40)) {
      return { ok: false, error: 'A room and a name have 1 to 40 characters.' };
    }
    await this.leave(socket);
    socket.data.name = name;
    socket.data.room = room;
    await socket.join(roomOf(room));
    this.tellRoom(socket);
    return { ok: true };
  }

  @SubscribeMessage('leave')
  async leave(@ConnectedSocket() socket: ChatSocket): Promise<Reply> {
    const { room } = socket.data;
    if (room !== undefined) {
      delete socket.data.room;
      await socket.leave(roomOf(room));
      this.server.to(roomOf(room)).emit('people-changed');
    }
    return { ok: true };
  }

  /** The `client` and its `number` come back with the message: they tell receivers that none is missing or doubled. */
  @SubscribeMessage('message')
  send(@ConnectedSocket() socket: ChatSocket, @MessageBody() body: Record<string, unknown>): Reply {
    const { name, room } = socket.data;
    const { client, number, text } = body;
    if (!isText(client, 40) || !Number.isInteger(number) || !isText(text, 2_000)) {
      return { ok: false, error: 'A message has 1 to 2,000 characters.' };
    }
    if (room === undefined) {
      return { ok: false, error: 'Join a room first.' };
    }
    this.server.to(roomOf(room)).emit('message', { client, number, text, name, room, node: NODE, at: Date.now() });
    return { ok: true };
  }

  /** The names of those in the client's room, on all nodes. */
  @SubscribeMessage('people')
  async people(@ConnectedSocket() socket: ChatSocket): Promise<string[]> {
    const { room } = socket.data;
    const sockets = room === undefined ? [] : await this.server.in(roomOf(room)).fetchSockets();
    return sockets.map(({ data }) => data.name ?? '').sort();
  }

  private tellRoom({ data: { room } }: ChatSocket): void {
    if (room !== undefined) {
      this.server.to(roomOf(room)).emit('people-changed');
    }
  }
}

/** Each client is in a room named after its own id, too: a prefix keeps others out of it. */
function roomOf(name: string): string {
  return `chat:${name}`;
}

function isText(value: unknown, most: number): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= most;
}
