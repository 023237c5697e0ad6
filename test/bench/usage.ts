import type { RedisServer } from '../kit/index.js';

/** What a server has used since its start. */
export interface RedisUsage {
  /** Microseconds of CPU. */
  cpu: number;
  /** Bytes that it has sent. */
  bytes: number;
  /** Commands that it has carried out. */
  commands: number;
}

export async function usageOf(redis: RedisServer): Promise<RedisUsage> {
  const [cpu, stats] = await Promise.all([redis.info('cpu'), redis.info('stats')]);
  return {
    cpu: (Number(cpu['used_cpu_user']) + Number(cpu['used_cpu_sys'])) * 1e6,
    bytes: Number(stats['total_net_output_bytes']),
    commands: Number(stats['total_commands_processed']),
  };
}

/** Microseconds of CPU that this process has used, all threads. */
export function ownCpu(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
