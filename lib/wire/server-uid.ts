/**
 * Who sends on the wire. A process is a *node* with a random id. Its Socket.IO servers have *uids*: the first one that
 * has a namespace has the node's id, further ones of the same namespace `<node id>.1`, `<node id>.2`, …
 */

/** The uid that socket.io-adapter and the reference's emitter use for a sender that has no sockets and answers nothing. */
export const EMITTER_UID = 'emitter';

/** What a node's id looks like. Nodes of the reference have such ids too. */
const NODE_ID = /^[\w-]{1,64}$/;

/** Whether a value, which anybody may have sent, has the form of a node's id. */
export function isNodeId(value: unknown): value is string {
  return typeof value === 'string' && NODE_ID.test(value);
}

/** The node that a uid belongs to. */
export function nodeOf(uid: string): string {
  const dot = uid.indexOf('.');
  return dot < 0 ? uid : uid.slice(0, dot);
}

/** The uid of a node's server. @param index - counts the node's servers that have the same namespace, from 0 */
export function serverUid(node: string, index: number): string {
  return index === 0 ? node : `${node}.${index}`;
}

/** The uids of a node's first `servers` servers. */
export function serverUids(node: string, servers: number): string[] {
  return Array.from({ length: servers }, (_, index) => serverUid(node, index));
}

/** Counts the node's servers that have the same namespace, from 0. */
export function serverIndexOf(uid: string): number {
  return Number(uid.split('.', 2)[1] ?? 0);
}
