import { spawn, type ChildProcess } from 'node:child_process';

/**
 * Kills a child when this process ends, even by SIGKILL, and removes its folder: a shell waits for the end of
 * a pipe that only this process holds open.
 */
export function mustNotOutliveUs(child: ChildProcess, dir = ''): void {
  if (child.pid === undefined || child.exitCode !== null) return;
  const script = 'read -r _; kill -9 "$1" 2>/dev/null; if [ -n "$2" ]; then rm -rf "$2"; fi';
  const guard = spawn('sh', ['-c', script, 'sh', String(child.pid), dir], {
    // Its own process group, so that a Ctrl-C in the terminal does not reach it first.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.on('error', () => undefined);
  guard.stdin.on('error', () => undefined);
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
  child.once('exit', () => guard.kill('SIGKILL'));
}
