import { fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const app = fileURLToPath(new URL('..', import.meta.url));
const typescript = new URL('../../../scripts/typescript.mjs', import.meta.url).href;
/** Has a node end with the demo, even if that is killed. */
const followParent = 'data:text/javascript,process.on("disconnect",()=>process.exit());process.channel.unref()';
/** Milliseconds that a node has to close. */
const PATIENCE = 5_000;

/**
 * One node of the cluster: the chat app as a child process.
 *
 * States: `stopped` before it is started and when its process has ended, however that came; `starting`; `running` when
 * it listens.
 */
export class DemoNode {
  state = 'stopped';
  port = 0;
  /** Process ids, the latest last: the cluster remembers the former ones for a while. */
  pids = [];
  #child;
  #ended = Promise.resolve();
  /** Whether it ends because it is told to. */
  #isTold = false;
  /** The last lines of its output that are errors, or of no known form, as a crash's are. */
  #complaints = [];

  /**
   * @param {number} number
   * @param {NodeJS.ProcessEnv} env settings of the app
   * @param {(line: string) => void} print told what the package logs, and when the process ends by itself
   */
  constructor(number, env, print) {
    this.number = number;
    this.env = env;
    this.print = print;
  }

  /** Resolves when it listens. @throws {Error} with what it printed, if it ends before */
  async start() {
    if (this.state !== 'stopped') return;
    this.state = 'starting';
    this.#complaints = [];
    this.#isTold = false;
    const child = fork('src/main.ts', [], {
      cwd: app,
      env: { ...this.env, NODE_NAME: `node ${this.number}`, HOST: '127.0.0.1', PORT: '0', NO_COLOR: '1' },
      execArgv: ['--disable-warning=ExperimentalWarning', '--import', typescript, '--import', followParent],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // Its own process group: Ctrl-C in the terminal reaches the demo alone, which ends everything in order.
      detached: true,
    });
    this.#child = child;
    if (child.pid !== undefined) this.pids.push(child.pid);
    this.#ended = new Promise((resolve) => {
      child.once('close', resolve);
      child.once('error', resolve);
    });
    const listening = new Promise((resolve) => {
      for (const stream of [child.stdout, child.stderr]) {
        createInterface({ input: stream }).on('line', (line) => this.#read(line, resolve));
      }
    });
    void this.#ended.then(() => {
      if (this.state === 'running' && !this.#isTold) this.print(this.#obituary('has ended'));
      this.state = 'stopped';
    });
    await Promise.race([listening, this.#ended]);
    if (this.state === 'stopped') throw new Error(this.#obituary('ended at its start'));
  }

  /** Ends it as a crash would. */
  async kill() {
    this.#isTold = true;
    this.#child?.kill('SIGKILL');
    await this.#ended;
  }

  /** Ends it as a deployment would: it says goodbye to its clients and to the cluster. */
  async stop() {
    this.#isTold = true;
    this.#child?.kill('SIGTERM');
    const late = setTimeout(() => this.#child?.kill('SIGKILL'), PATIENCE);
    await this.#ended;
    clearTimeout(late);
  }

  #read(line, onListening) {
    const port = /Listening on http:\/\/[^ ]+:(\d+)$/.exec(line)?.[1];
    if (port !== undefined) {
      this.port = Number(port);
      this.state = 'running';
      onListening();
    }
    const [, level, context, text] = /^\[Nest\].* (LOG|WARN|ERROR) \[(\w+)\] (.*)$/.exec(line) ?? [];
    if (level !== undefined && (level !== 'LOG' || context === 'RedisStreams'))
      this.print(`  node ${this.number}: ${text}`);
    const isTrace = /^\s+at /.test(line);
    if ((level === undefined && !isTrace) || level === 'ERROR') this.#complaints.push(text ?? line);
    this.#complaints.splice(0, this.#complaints.length - 15);
  }

  #obituary(what) {
    return [`Node ${this.number} ${what}.`, ...this.#complaints].join('\n');
  }
}
