import { runInThisContext } from 'node:vm';
import { childOptions, serve } from './node-process-child.js';
import { SocketServer, type SocketServerOptions, type TaskContext } from './socket-server.js';

/** A Socket.IO server in a process of its own. */
const server = await SocketServer.start(childOptions<SocketServerOptions>());

serve({
  url: () => server.url,
  /** Runs a function that is given as its source. */
  run: (source: string, args: unknown[]) => {
    const task = runInThisContext(`(${source})`) as (context: TaskContext, ...args: unknown[]) => unknown;
    return task(server, ...args);
  },
  close: () => server.close(),
});
