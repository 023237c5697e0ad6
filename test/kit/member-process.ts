import type { MemberOptions } from './member.js';
import { NodeProcess, type NodeProcessOptions } from './node-process.js';

/** Those of a member that can be sent to another process. */
export type MemberProcessOptions = Pick<MemberOptions, 'port' | 'adapter' | 'server'>;

/**
 * A member in a process of its own, which can be killed and suspended. `member.child.ts` has the methods that it can be asked
 * for.
 */
export function startMemberProcess(
  options: MemberProcessOptions,
  settings: Omit<NodeProcessOptions, 'options'> = {},
): Promise<NodeProcess> {
  return NodeProcess.start(new URL('./member.child.ts', import.meta.url), { ...settings, options });
}
