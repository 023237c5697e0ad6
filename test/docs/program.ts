import { spawn, type ChildProcess } from 'node:child_process';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { closeAfterwards, closed, freePort, until, type Exit } from '../kit/index.js';
import { mustNotOutliveUs } from '../kit/outlive.js';

const typescript = new URL('../../scripts/typescript.mjs', import.meta.url).href;

export interface ProgramOptions {
  args?: string[];
  /** The folder that it runs in. @default that of its file */
  cwd?: string;
}

/** A printed program that runs as a process of its own; killed after the test. */
export class Program {
  /** Where it listens, if it does: it is given as `PORT`. */
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  #exit?: Exit;
  #output = '';

  private constructor(file: string, port: number, env: Record<string, string>, options: ProgramOptions = {}) {
    const { args = [], cwd = dirname(file) } = options;
    this.port = port;
    this.#child = spawn(process.execPath, ['--import', typescript, file, ...args], {
      cwd,
      env: { ...process.env, NODE_ENV: 'production', PORT: String(port), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    }
    this.#exited = new Promise((resolve) =>
      this.#child.once('close', (code, signal) => {
        this.#exit = { code, signal };
        resolve();
      }),
    );
    mustNotOutliveUs(this.#child);
  }

  /** Of a server: resolves when it listens. */
  static async listen(file: string, env: Record<string, string>, options?: ProgramOptions): Promise<Program> {
    const program = closeAfterwards(new Program(file, await freePort(), env, options));
    await program.#wait(`${file} to listen`, () => program.#ended() || accepts(program.port));
    if (program.#exit) throw new Error(`${file} ended at its start:\n${program.#output}`);
    return program;
  }

  /** Of one that serves nobody, and goes on. */
  static async start(file: string, env: Record<string, string>, options?: ProgramOptions): Promise<Program> {
    return closeAfterwards(new Program(file, await freePort(), env, options));
  }

  /** Of one that ends by itself: how it did. */
  static async run(file: string, env: Record<string, string>): Promise<Exit> {
    const program = await Program.start(file, env);
    return program.#wait(`${file} to end`, () => program.#exit);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Waits until it has written this. */
  async writes(what: string | RegExp): Promise<void> {
    await this.#wait(`the program to write ${what}`, () =>
      typeof what === 'string' ? this.#output.includes(what) : what.test(this.#output),
    );
  }

  /** SIGTERM, as a supervisor sends it; it has then to end by itself. */
  async stop(): Promise<Exit> {
    this.#child.kill('SIGTERM');
    return this.#wait('the program to end after SIGTERM', () => this.#exit);
  }

  async close(): Promise<void> {
    closed(this);
    if (this.#exit === undefined) this.#child.kill('SIGKILL');
    await this.#exited;
  }

  #ended(): boolean {
    return this.#exit !== undefined;
  }

  async #wait<T>(what: string, condition: () => T | false | undefined | Promise<T | false>): Promise<T> {
    return until<T>(condition, { what, timeout: 40_000, interval: 20 }).catch((error: Error) => {
      throw new Error(`${error.message}\n${this.#output}`);
    });
  }
}

/** Whether somebody listens at a port of this machine, by whichever family. */
async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: 'localhost', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
