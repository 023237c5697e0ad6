import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { RedisStreamsEmitter } from '../emitter/redis-streams.emitter.js';
import { closeUnlessClosedLater, closeWithApplication } from './app-lifecycle.js';
import { closeClient } from './redis-connection.js';
import { EMITTER_CLIENT } from './redis-streams-emitter.module-definition.js';

/** Opens the emitter with the application, and closes it after all that may emit as the application shuts down. */
@Injectable()
export class RedisStreamsEmitterOwner implements OnApplicationShutdown, OnModuleInit {
  constructor(
    private readonly emitter: RedisStreamsEmitter,
    @Inject(EMITTER_CLIENT) private readonly client: object | undefined,
    modules: ModulesContainer,
  ) {
    closeWithApplication(modules, this);
  }

  onModuleInit(): void {
    this.own?.open();
  }

  async onApplicationShutdown(): Promise<void> {
    await closeUnlessClosedLater(this);
  }

  async close(): Promise<void> {
    await this.own?.close();
    await closeClient(this.client);
  }

  /** The emitter, unless a test has put another object in its place. */
  private get own(): RedisStreamsEmitter | undefined {
    return (this.emitter as unknown) instanceof RedisStreamsEmitter ? this.emitter : undefined;
  }
}
