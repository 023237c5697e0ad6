import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { findOrInstallRedis } from '../../redis-server.mjs';

/**
 * Starts a Redis server of our own, on a free port and with a folder that goes with it.
 * @returns {Promise<{ name: string, url: string, stop: () => Promise<void> }>}
 */
export async function startRedis() {
  const program = findOrInstallRedis();
  for (let tries = 1; ; tries++) {
    const port = await freePort();
    const redis = await launch(program, port);
    if (redis !== undefined) return { name: basename(program), url: `redis://127.0.0.1:${port}`, ...redis };
    if (tries === 5) throw new Error(`The Redis server does not start: ${program}`);
  }
}

/** @returns {Promise<{ stop: () => Promise<void> } | undefined>} undefined if it ended, as when its port was taken */
async function launch(program, port) {
  const folder = await mkdtemp(join(tmpdir(), 'chat-demo-'));
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'];
  // Its own process group: Ctrl-C in the terminal reaches the demo alone, which ends everything in order.
  const server = spawn(program, args, { stdio: 'ignore', detached: true });
  const ended = new Promise((resolve) => server.once('exit', resolve).once('error', resolve));
  let running = true;
  void ended.then(() => (running = false));

  // If the demo is killed, the end of this pipe ends the server.
  const script = 'read -r _; kill -9 "$1" 2>/dev/null; rm -rf "$2"';
  const guard = spawn('sh', ['-c', script, 'sh', String(server.pid), folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  const guardEnded = new Promise((resolve) => guard.once('exit', resolve).once('error', resolve));
  const stop = async () => {
    guard.kill('SIGKILL');
    if (running) server.kill('SIGKILL');
    await Promise.all([ended, guardEnded]);
    await rm(folder, { recursive: true, force: true });
  };

  while (running) {
    if (await answers(port)) return { stop };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await stop();
  return undefined;
}

function answers(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    socket.once('data', (reply) => {
      resolve(reply.toString().startsWith('+PONG'));
      socket.destroy();
    });
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    socket.setTimeout(1_000, () => socket.destroy());
  });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
