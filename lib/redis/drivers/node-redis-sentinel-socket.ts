import type { Command } from '../driver.js';
import type { RedisSocket, RedisSocketOptions } from '../redis-socket.js';
import { NodeRedisSocket, type NodeRedisClient } from './node-redis-socket.js';

/** A socket to the server that the sentinels name as the master when it is opened. */
export class NodeRedisSentinelSocket implements RedisSocket {
  /** The socket to the master; undefined until that is known. */
  private inner: NodeRedisSocket | undefined;
  /** Set by `destroy`: a master that is found later is not connected to. */
  private isDestroyed = false;

  constructor(
    private readonly findMaster: () => Promise<NodeRedisClient>,
    private readonly options: RedisSocketOptions,
  ) {}

  async open(): Promise<void> {
    const master = await this.findMaster();
    if (!this.isDestroyed) {
      this.inner = new NodeRedisSocket(master, this.options);
      await this.inner.open();
    }
  }

  call(command: Command): Promise<unknown> {
    return this.inner!.call(command);
  }

  read(command: Command): Promise<unknown> {
    return this.inner!.read(command);
  }

  send(commands: readonly Command[]): Promise<unknown>[] {
    return this.inner!.send(commands);
  }

  subscribe(channels: readonly string[]): Promise<unknown> {
    return this.inner!.subscribe(channels);
  }

  unsubscribe(channels: readonly string[]): Promise<unknown> {
    return this.inner!.unsubscribe(channels);
  }

  destroy(): void {
    this.isDestroyed = true;
    this.inner?.destroy();
  }
}
