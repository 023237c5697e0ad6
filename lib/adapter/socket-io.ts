import type { EngineConnection } from './cork-flushes.js';

/**
 * What this package uses of Socket.IO's server beyond the public interface of adapters. Socket.IO is not imported: the
 * application's copy may be another one than ours.
 */
export interface NamespaceLike {
  readonly name: string;
  readonly server: {
    readonly opts: {
      connectionStateRecovery?: { maxDisconnectionDuration: number };
      /** The application's own, such as `socket.io-msgpack-parser`; absent: the default one. */
      parser?: unknown;
    };
  };
  /** The adapter before this one, while this one is constructed. */
  readonly adapter?: unknown;
  /** Emits an event to the listeners of the namespace. */
  _onServerSideEmit(event: unknown[]): void;
  readonly sockets: Map<string, SocketLike>;
  /** Sockets whose middlewares have not passed them yet (Socket.IO 4.7 and later). */
  readonly _preConnectSockets?: ReadonlyMap<string, SocketLike>;
}

export interface SocketLike {
  readonly id: string;
  readonly pid?: string;
  readonly rooms: ReadonlySet<string>;
  readonly data: unknown;
  readonly recovered: boolean;
  readonly conn: EngineConnection & {
    readonly readyState: string;
    close(discard?: boolean): void;
    once(event: 'close', listener: () => void): unknown;
  };
  packet: (packet: PacketLike, ...rest: unknown[]) => void;
  _onclose(reason: string): void;
}

export interface PacketLike {
  type: number;
  data: unknown[];
}

/** What another server is given of a socket. */
export interface SocketDetails {
  readonly id: string;
  readonly handshake: Readonly<Record<string, unknown>>;
  readonly rooms: ReadonlySet<string>;
  readonly data: unknown;
}

const SOCKET_ID = /^[\w-]{20}$/;

/** Whether the name of a room has the form of a socket id, which Socket.IO makes for each client. */
export function isSocketId(room: unknown): room is string {
  return typeof room === 'string' && SOCKET_ID.test(room);
}
