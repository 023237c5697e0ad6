import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

/** Each of Jest's workers has ports of its own, so that nobody takes that of a server that will be restarted. */
const SHARES = 8;
const given = new Set<number>();

/**
 * A TCP port of 127.0.0.1 that nobody listens on, and that was not given before. It lies below the range from which the system takes the local ports of
 * outgoing connections: a server that is restarted finds its port free, and a client that retries a closed port
 * cannot be connected to itself. Another process may be faster to bind it, so a caller that fails to bind asks again.
 */
export async function freePort(): Promise<number> {
  const [from, to] = share(range());
  for (let tries = 0; tries < 100; tries++) {
    const port = from + Math.floor(Math.random() * (to - from));
    if (!given.has(port) && (await bindable(port)) !== undefined) {
      given.add(port);
      return port;
    }
  }
  const port = await bindable(0);
  if (port === undefined) throw new Error('There is no free port on 127.0.0.1');
  return port;
}

function share([from, to]: [from: number, to: number]): [from: number, to: number] {
  const width = Math.floor((to - from) / SHARES);
  const mine = from + width * (Number(process.env.JEST_WORKER_ID ?? 0) % SHARES);
  return [mine, mine + width];
}

function range(): [from: number, to: number] {
  try {
    const firstEphemeral = Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/)[0]);
    if (firstEphemeral > 15_000) return [10_000, firstEphemeral];
  } catch {
    // Not Linux: the range below is outside of what macOS and the BSDs hand out.
  }
  return [10_000, 32_000];
}

function bindable(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined));
    });
  });
}
