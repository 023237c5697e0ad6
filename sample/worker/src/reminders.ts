import { randomUUID } from 'node:crypto';
import { Injectable, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { ConfigService } from '@nestjs/config';
import { RedisStreamsEmitter } from 'nestjs-redis-streams-adapter';

/** What the chat's clients listen to. */
interface ChatEvents {
  message: (message: {
    client: string;
    number: number;
    text: string;
    name: string;
    room: string;
    node: string;
    at: number;
  }) => void;
}

/** Writes to a room of the chat now and then, as a job queue or a schedule would have it do. */
@Injectable()
export class Reminders implements OnApplicationBootstrap, OnModuleDestroy {
  /** Clients of the chat tell by sender and number that no message is missing. */
  private readonly client = randomUUID();
  private readonly room: string;
  private number = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly emitter: RedisStreamsEmitter<ChatEvents>,
    private readonly config: ConfigService,
  ) {
    this.room = config.get<string>('ROOM', 'Lobby');
  }

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => this.remind(), Number(this.config.get('INTERVAL', 10_000))); // milliseconds
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  remind(): void {
    const { client, room } = this;
    const at = Date.now();
    const message = {
      client,
      number: ++this.number,
      text: 'Time for a break.',
      name: 'Worker',
      room,
      node: 'worker',
      at,
    };
    // Kept in an outbox while Redis is away, and sent when the process is told to end.
    this.emitter.to(`chat:${room}`).emit('message', message);
  }
}
