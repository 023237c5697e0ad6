import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Each process has ports of its own, so that nobody takes that of a server that will be restarted. */
const SHARES = 32;
/** Has a file for each share that is taken, named after the share and the process that has it. */
const TAKEN = join(tmpdir(), 'kit-ports');
const given = new Set<number>();
let mine: [from: number, to: number] | undefined;

/**
 * A TCP port of 127.0.0.1 that nobody listens on, and that was not given before. It lies below the range from which the system takes the local ports of
 * outgoing connections: a server that is restarted finds its port free, and a client that retries a closed port
 * cannot be connected to itself. Another process may be faster to bind it, so a caller that fails to bind asks again.
 */
export async function freePort(): Promise<number> {
  const [from, to] = (mine ??= share(range()));
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
  const mine = from + width * shareOfProcess();
  return [mine, mine + width];
}

/** The number of this process' share, the same for all that run in it. If all are taken, it is somebody else's, too. */
function shareOfProcess(): number {
  mkdirSync(TAKEN, { recursive: true });
  const first = process.pid % SHARES;
  const order = Array.from({ length: SHARES }, (_, i) => (first + i) % SHARES);
  const mine = order.find((i) => existsSync(fileOf(i, process.pid)));
  return mine ?? order.find(take) ?? first;
}

/** Of two processes that want a share at the same time, one at least sees the other's file, and leaves it to that one. */
function take(i: number): boolean {
  if (othersOf(i).length > 0) return false;
  writeFileSync(fileOf(i, process.pid), '');
  if (othersOf(i).length === 0) return true;
  rmSync(fileOf(i, process.pid), { force: true });
  return false;
}

/** The running processes that have a share, besides this one. The files of others are removed. */
function othersOf(i: number): number[] {
  const owners = readdirSync(TAKEN)
    .map((name) => name.split('-').map(Number))
    .flatMap(([share, pid]) => (share === i && pid !== undefined && pid !== process.pid ? [pid] : []));
  for (const pid of owners.filter((pid) => !isAlive(pid))) rmSync(fileOf(i, pid), { force: true });
  return owners.filter(isAlive);
}

function fileOf(i: number, pid: number): string {
  return join(TAKEN, `${i}-${pid}`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
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
