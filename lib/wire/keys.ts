import { scopeText } from './app-scope.js';

/** The names of all streams: one, or as many as `streamCount` says with their numbers behind it. */
export function streamNames({ streamName, streamCount }: { streamName: string; streamCount: number }): string[] {
  return streamCount === 1 ? [streamName] : Array.from({ length: streamCount }, (_, i) => `${streamName}-${i}`);
}

/**
 * The index of the stream that carries a namespace, as in the reference; but where its index would be negative, so
 * that nobody reads that stream, ours is the positive one.
 */
export function streamIndexOf(nsp: string, streamCount: number): number {
  let hash = 0;
  for (let i = 0; i < nsp.length; i++) {
    hash = (hash * 31 + nsp.charCodeAt(i)) | 0;
  }
  return Math.abs(hash % streamCount);
}

/**
 * What all keys of an application's sessions begin with. Keys of different databases and key prefixes never meet, so only
 * the name of the stream is part of it, if that is not the reference's: `sio:session:stream=chat:`.
 */
export function sessionKeyPrefix(prefix: string, streamName: string): string {
  const text = scopeText({ streamName });
  return text === '' ? prefix : `${prefix}${text}:`;
}

/** The keys of an application's sessions. No session id has a colon, so none of them is another's. */
export class SessionKeys {
  /** @param prefix - see {@link sessionKeyPrefix} */
  constructor(private readonly prefix: string) {}

  /** The session of a disconnected client; name and form are those of the reference adapter. */
  stored(pid: string): string {
    return this.prefix + pid;
  }

  /** Hash of the sessions of the clients that are connected to a node. */
  live(node: string): string {
    return `${this.prefix}live:${node}`;
  }

  /** Hash of who claimed a session: epoch to node. */
  claims(pid: string): string {
    return `${this.prefix}claims:${pid}`;
  }

  /** Sorted set of the nodes that have a hash of live sessions. */
  get directory(): string {
    return `${this.prefix}live:nodes`;
  }
}
