import { Injectable } from '@nestjs/common';
import { RedisStreamsEmitter, type RedisStreamsEmitterStatus } from '../emitter/redis-streams.emitter.js';
import { resolveChecks } from './health-checks.js';

/**
 * What counts as healthy. Whatever is given here, an emitter that cannot use Redis is down.
 *
 * @publicApi
 */
export interface RedisStreamsEmitterChecks {
  /**
   * How many broadcasts may wait for Redis, for each stream.
   * @default no bound
   */
  maxOutboxEntries?: number;
  /**
   * How many bytes of broadcasts may wait for Redis, for each stream.
   * @default no bound
   */
  maxOutboxBytes?: number;
}

/**
 * The answer to a check: what Terminus calls a `HealthIndicatorResult`.
 *
 * @publicApi
 */
export type RedisStreamsEmitterHealthResult<Key extends string = string> = Record<
  Key,
  { status: 'up' | 'down' } & Pick<RedisStreamsEmitterStatus, 'state' | 'reasons' | 'streams'> & Record<string, unknown>
>;

/**
 * A health indicator for Terminus, of an application that imports `RedisStreamsEmitterModule`.
 *
 * @publicApi
 */
@Injectable()
export class RedisStreamsEmitterHealthIndicator {
  constructor(private readonly emitter: RedisStreamsEmitter) {}

  /**
   * Down when Redis cannot be used, or more waits for it than a bound allows.
   *
   * @param key - the name of the result
   * @throws InvalidOptionError (as a rejection) if one of the checks has a value that is not allowed
   */
  async isHealthy<const Key extends string>(
    key: Key,
    checks: RedisStreamsEmitterChecks = {},
  ): Promise<RedisStreamsEmitterHealthResult<Key>> {
    const bounds = resolveChecks(checks, { maxOutboxEntries: Infinity, maxOutboxBytes: Infinity }, 0);
    const { state, streams, ...status } = this.emitter.status();
    const reasons = [...status.reasons, ...(state === 'closed' ? ['the emitter is closed'] : [])];
    for (const { name, outbox } of streams) {
      if (outbox.entries > bounds.maxOutboxEntries) {
        const bound = `maxOutboxEntries: ${bounds.maxOutboxEntries}`;
        reasons.push(`${outbox.entries} broadcasts for the stream "${name}" wait for Redis (${bound})`);
      }
      if (outbox.bytes > bounds.maxOutboxBytes) {
        const bound = `maxOutboxBytes: ${bounds.maxOutboxBytes}`;
        reasons.push(`${outbox.bytes} bytes of broadcasts for the stream "${name}" wait for Redis (${bound})`);
      }
    }
    const result = { status: reasons.length === 0 ? 'up' : 'down', state, reasons, streams };
    return Promise.resolve({ [key]: result } as RedisStreamsEmitterHealthResult<Key>);
  }
}
