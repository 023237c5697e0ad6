import { fork, type ChildProcess } from 'node:child_process';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { closeAfterwards, closed } from './cleanup.js';
import type { FromChild, ToChild } from './node-process-child.js';
import { mustNotOutliveUs } from './outlive.js';
import { until } from './until.js';

export interface NodeProcessOptions {
  /** What the script gets from `childOptions()`: anything that JSON can say. */
  options?: object;
  env?: Record<string, string>;
  /** Further options of `node`, such as `--expose-gc`. */
  execArgv?: string[];
  /** The script is JavaScript, and is run as a user's program is. @default false: it is TypeScript */
  isCompiled?: boolean;
  /** What it is called in errors. @default the script's name */
  name?: string;
  /** Milliseconds until it has called `serve`. @default 60_000 */
  startTimeout?: number;
}

/** An event that the child emitted. */
export interface ChildEvent {
  name: string;
  args: any[];
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

const typescript = new URL('../../scripts/typescript.mjs', import.meta.url).href;

/** A child process that runs a TypeScript file and answers calls: `node-process-child.ts` is its side of it. */
export class NodeProcess {
  /** What it has emitted so far. */
  readonly events: ChildEvent[] = [];
  /** Resolves when the process has ended. */
  readonly exited: Promise<Exit>;

  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #calls = new Map<number, { resolve: (value: any) => void; reject: (error: Error) => void }>();
  readonly #listeners = new Set<(event: ChildEvent) => void>();
  readonly #log: string[] = [];
  #lastCall = 0;
  #ready = false;
  #exit?: Exit;

  private constructor(script: string, options: NodeProcessOptions) {
    this.#name = options.name ?? basename(script);
    this.#child = fork(script, [JSON.stringify(options.options ?? {})], {
      execArgv: [
        '--disable-warning=ExperimentalWarning',
        ...(options.isCompiled ? [] : ['--import', typescript]),
        ...(options.execArgv ?? []),
      ],
      env: { ...process.env, ...options.env },
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on('data', (chunk: Buffer) => this.#write(chunk));
    this.#child.on('message', (message) => this.#receive(message as FromChild));
    this.#child.on('error', (error) => this.#log.push(String(error)));
    this.exited = new Promise((resolve) =>
      this.#child.once('close', (code, signal) => {
        this.#exit = { code, signal };
        for (const { reject } of this.#calls.values()) reject(this.#failure('ended before it answered'));
        this.#calls.clear();
        resolve(this.#exit);
      }),
    );
    mustNotOutliveUs(this.#child);
  }

  /** Resolves when the script has called `serve`. */
  static async start(script: string | URL, options: NodeProcessOptions = {}): Promise<NodeProcess> {
    const path = script instanceof URL || script.startsWith('file:') ? fileURLToPath(script) : script;
    const node = closeAfterwards(new NodeProcess(path, options));
    const { startTimeout = 60_000 } = options;
    await until(() => node.#ready || node.#exit !== undefined, {
      what: `${node.#name} to start`,
      timeout: startTimeout,
    }).catch((error: Error) => {
      throw new Error(`${error.message}\n${node.log}`);
    });
    if (!node.#ready) throw node.#failure('ended at its start');
    return node;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#exit === undefined;
  }

  /** What it wrote to stdout and stderr, the last 500 lines. `KIT_LOGS=1` shows it at once. */
  get log(): string {
    return this.#log.join('\n');
  }

  /** Calls one of the methods that the script serves. Arguments and result are copied as structured clones. */
  call<T = any>(method: string, ...args: unknown[]): Promise<T> {
    if (this.#exit) return Promise.reject(this.#failure(`cannot be asked for ${method}`));
    const id = ++this.#lastCall;
    return new Promise<T>((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#send({ type: 'call', id, method, args });
    });
  }

  /** Calls back for each event of that name that arrives from now on. */
  on(name: string, listener: (...args: any[]) => void): void {
    this.#listeners.add((event) => {
      if (event.name === name) listener(...event.args);
    });
  }

  /** The first event of that name that `which` accepts, past ones included. */
  async event(name: string, which: (...args: any[]) => boolean = () => true, timeout = 10_000): Promise<any[]> {
    const find = () => this.events.find((event) => event.name === name && which(...event.args));
    const event = await until(find, { what: `event "${name}" of ${this.#name}`, timeout }).catch((error: Error) => {
      throw this.#failure(error.message);
    });
    return event.args;
  }

  /** Ends it by a signal that it cannot handle, or handles itself. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Exit> {
    this.#child.kill(signal);
    return this.exited;
  }

  /** SIGTERM, as a supervisor sends it; it fails if the process has not ended after `timeout` ms. */
  async stop(timeout = 10_000): Promise<Exit> {
    this.resume();
    this.#child.kill('SIGTERM');
    return this.#ends(timeout, 'SIGTERM');
  }

  /** Lets go of it: with nothing of its own left to do, it ends by itself. It fails if it has not after `timeout` ms. */
  async release(timeout = 10_000): Promise<Exit> {
    this.#send({ type: 'release' });
    return this.#ends(timeout, 'being released');
  }

  pause(): void {
    this.#child.kill('SIGSTOP');
  }

  resume(): void {
    this.#child.kill('SIGCONT');
  }

  async close(): Promise<void> {
    closed(this);
    if (this.isRunning) await this.kill();
  }

  async #ends(timeout: number, after: string): Promise<Exit> {
    return until(() => this.#exit, { what: `${this.#name} to end after ${after}`, timeout }).catch((error: Error) => {
      throw this.#failure(error.message);
    });
  }

  #send(message: ToChild): void {
    this.#child.send(message, (error) => {
      if (error) this.#log.push(`not sent: ${error.message}`);
    });
  }

  #receive(message: FromChild): void {
    switch (message.type) {
      case 'ready':
        this.#ready = true;
        return;
      case 'event': {
        this.events.push(message);
        for (const listener of this.#listeners) listener(message);
        return;
      }
      case 'result':
        this.#calls.get(message.id)?.resolve(message.value);
        this.#calls.delete(message.id);
        return;
      case 'error': {
        const error = new Error(message.message);
        error.name = message.name;
        error.stack = `${message.stack}\n    in ${this.#name}`;
        this.#calls.get(message.id)?.reject(error);
        this.#calls.delete(message.id);
        return;
      }
    }
  }

  #write(chunk: Buffer): void {
    if (process.env['KIT_LOGS']) process.stderr.write(chunk);
    this.#log.push(...chunk.toString().trimEnd().split('\n'));
    this.#log.splice(0, this.#log.length - 500);
  }

  #failure(what: string): Error {
    const exit = this.#exit ? ` (exit code ${this.#exit.code}, signal ${this.#exit.signal})` : '';
    return new Error(`${this.#name} ${what}${exit}\n${this.log}`);
  }
}
