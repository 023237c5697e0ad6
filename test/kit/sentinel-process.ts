import { RedisProcess } from './redis-process.js';

export interface SentinelProcessOptions {
  binary?: string | undefined;
  /** Name of the group of servers that it watches. */
  name: string;
  masterPort: number;
  masterPassword?: string | undefined;
  quorum: number;
  /** Milliseconds of silence after which the master counts as down. */
  downAfter: number;
}

/** One sentinel. */
export class SentinelProcess extends RedisProcess {
  private constructor(options: SentinelProcessOptions) {
    const { name, masterPort, masterPassword, quorum, downAfter } = options;
    const config = [
      `sentinel monitor ${name} 127.0.0.1 ${masterPort} ${quorum}`,
      `sentinel down-after-milliseconds ${name} ${downAfter}`,
      `sentinel failover-timeout ${name} 5000`,
      `sentinel parallel-syncs ${name} 4`,
    ];
    if (masterPassword !== undefined) config.push(`sentinel auth-pass ${name} ${masterPassword}`);
    super({ binary: options.binary, config, args: ['--sentinel'] });
  }

  static start(options: SentinelProcessOptions): Promise<SentinelProcess> {
    return new SentinelProcess(options).launch();
  }
}
