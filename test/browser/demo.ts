import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { closeAfterwards, closed, until, type Exit } from '../kit/index.js';
import { mustNotOutliveUs } from '../kit/outlive.js';

const root = new URL('../../', import.meta.url);

/** What the front of the demo tells of a node's process. */
export interface DemoProcess {
  number: number;
  state: 'stopped' | 'starting' | 'running';
  pids: number[];
  port: number;
}

/** What `npm run demo` runs, as a child process; closed after the test. */
export class Demo {
  /** Where its front is, once it has said so. */
  address = '';
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  #output = '';
  #exit?: Exit;

  private constructor(env: Record<string, string>) {
    const { scripts } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as {
      scripts: { demo: string };
    };
    const [, ...args] = scripts.demo.split(' ');
    this.#child = spawn(process.execPath, args, {
      cwd: fileURLToPath(root),
      env: { ...process.env, PORT: '0', REDIS_URL: '', ...env },
      // The leader of a process group, as a terminal's job is.
      detached: true,
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString();
        if (process.env['KIT_LOGS']) process.stderr.write(chunk);
      });
    }
    this.exited = new Promise((resolve) =>
      this.#child.once('close', (code, signal) => {
        this.#exit = { code, signal };
        resolve(this.#exit);
      }),
    );
    mustNotOutliveUs(this.#child);
  }

  /** Resolves when it says that it is ready. */
  static async start(env: Record<string, string> = {}): Promise<Demo> {
    const demo = closeAfterwards(new Demo(env));
    await until(() => demo.#exit !== undefined || demo.output.includes('stops everything'), {
      what: 'the demo to start',
      timeout: 60_000,
    });
    const address = /Chat +(http:\S+)/.exec(demo.output)?.[1];
    if (address === undefined) throw new Error(`The demo did not start:\n${demo.output}`);
    demo.address = address;
    return demo;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get port(): number {
    return Number(new URL(this.address).port);
  }

  get output(): string {
    return this.#output;
  }

  async processes(): Promise<DemoProcess[]> {
    const answer = await fetch(`${this.address}/demo/nodes`);
    return (await answer.json()) as DemoProcess[];
  }

  /** Types a key in its terminal. */
  press(key: string): void {
    this.#child.stdin?.write(key);
  }

  /** What Ctrl-C in a terminal does: a signal to the whole process group. */
  interrupt(): void {
    process.kill(-this.pid, 'SIGINT');
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  async close(): Promise<void> {
    closed(this);
    if (this.#exit === undefined) this.#child.kill('SIGTERM');
    await this.exited;
  }
}
