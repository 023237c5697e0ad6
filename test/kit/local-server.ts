import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server, type ServerOptions } from 'socket.io';

/** A Socket.IO server on a free port of this machine. */
export class LocalServer {
  readonly io: Server;
  private readonly http: HttpServer = createServer();

  /** @param adapter - as `new Server({ adapter })` takes it; undefined: Socket.IO's own */
  constructor(adapter: unknown, options: Partial<ServerOptions> = {}) {
    this.io = new Server(this.http, { ...(adapter !== undefined && { adapter: adapter as never }), ...options });
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.http.listen(0, '127.0.0.1', resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    await this.io.close();
  }
}
