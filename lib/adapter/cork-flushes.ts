/** What is used of a connection of Engine.IO. */
export interface EngineConnection {
  /** `flush`: these packets are about to be written. */
  on(event: 'flush', listener: (packets: readonly unknown[]) => void): unknown;
  readonly transport: {
    /** Of a WebSocket, that of the package `ws`. */
    readonly socket?: { readonly _socket?: { cork?(): void; uncork(): void } | null } | null;
  };
}

const corked = new WeakSet<EngineConnection>();

/**
 * Has packets that Engine.IO writes to a connection at once leave in one system call; it would make one for each, which
 * is much of what it costs to deliver them. It collects packets while those before are being written, so there are
 * several whenever a reader delivers several entries in a row.
 *
 * @see https://nodejs.org/api/stream.html#writablecork
 */
export function corkFlushes(connection: EngineConnection): void {
  if (corked.has(connection)) {
    return; // it has several namespaces, or joins a further room
  }
  corked.add(connection);
  connection.on('flush', (packets) => {
    const socket = packets.length > 1 ? connection.transport.socket?._socket : undefined;
    if (socket?.cork) {
      socket.cork();
      process.nextTick(() => socket.uncork());
    }
  });
}
