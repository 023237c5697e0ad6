import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { RedisStreamsEmitter } from '../emitter/redis-streams.emitter.js';
import { closeOnFailure } from './app-lifecycle.js';
import { closeClient } from './redis-connection.js';
import { EMITTER_CLIENT } from './redis-streams-emitter.module-definition.js';

/** Opens the emitter with the application, and closes it after all that may emit as the application shuts down. */
@Injectable()
export class RedisStreamsEmitterOwner implements OnModuleInit, OnApplicationShutdown {
  constructor(
    private readonly emitter: RedisStreamsEmitter,
    @Inject(EMITTER_CLIENT) private readonly client: object | undefined,
    modules: ModulesContainer,
  ) {
    closeOnFailure(modules, this);
  }

  onModuleInit(): void {
    this.emitter.open();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.close();
  }

  async close(): Promise<void> {
    await this.emitter.close();
    await closeClient(this.client);
  }
}
