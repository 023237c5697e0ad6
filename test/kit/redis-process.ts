import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { closeAfterwards, closed } from './cleanup.js';
import { freePort } from './free-port.js';
import { mustNotOutliveUs } from './outlive.js';
import { RespClient, type Reply } from './resp-client.js';
import { servers } from './servers.js';
import { until } from './until.js';

export interface RedisProcessOptions {
  /** Path of the server program. @default the machine's redis-server */
  binary?: string | undefined;
  /** @default a free one */
  port?: number | undefined;
  /** Lines of the configuration file. */
  config: string[];
  /** Commands that clients do not find, in capitals: they have another name, which only `command` here knows. */
  hidden?: readonly string[] | undefined;
  args?: string[];
  /** The name under which the configuration file has a second port, a free one too. */
  busPort?: string | undefined;
}

/** The test's own user: it stays able to look whatever a test does to the default user. */
const ADMIN = { username: 'kit', password: 'kit' };

class AddressInUse extends Error {}

/** One process of Redis, be it a server or a sentinel, on 127.0.0.1 and with a folder of its own. */
export abstract class RedisProcess {
  readonly #options: RedisProcessOptions;
  #dir?: string;
  #port = 0;
  #child?: ChildProcess | undefined;
  #admin?: Promise<RespClient> | undefined;
  #log: string[] = [];

  protected constructor(options: RedisProcessOptions) {
    this.#options = options;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** What the server wrote to its log, the last 500 lines. */
  get log(): string {
    return this.#log.join('\n');
  }

  /** Sends any command; texts of the reply are UTF-8. It never retries. */
  async command(...args: (string | number | Buffer)[]): Promise<Reply> {
    if (!this.isRunning) throw new Error(`Redis on port ${this.port} is not running`);
    if (this.#admin && !(await this.#admin.catch(() => undefined))?.isOpen) this.#admin = undefined;
    const admin = await (this.#admin ??= RespClient.connect(this.port, ADMIN));
    const [name = '', ...rest] = args;
    const isHidden = this.#options.hidden?.includes(String(name).toUpperCase());
    return admin.command(isHidden ? `kit-${String(name)}` : name, ...rest);
  }

  /** The fields of INFO's section. */
  async info(section: string): Promise<Record<string, string>> {
    return fields(String(await this.command('INFO', section)), '\r\n', ':');
  }

  /** SIGKILL: what is not in its append-only file is gone. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** SIGTERM: the server saves as configured, and closes its connections in order. */
  async stop(): Promise<void> {
    this.resume();
    await this.#end('SIGTERM');
  }

  /** Starts it again on the same port and folder; if it runs, it is stopped first. */
  async restart(): Promise<void> {
    if (this.isRunning) await this.stop();
    // A connection of the former process may hold the port for a moment.
    await until(
      () =>
        this.#spawn().then(
          () => true,
          (error: unknown) => (error instanceof AddressInUse ? false : Promise.reject(error as Error)),
        ),
      { what: `port ${this.port} to be free again`, interval: 50 },
    );
  }

  /** SIGSTOP: connections stay open and get no answer. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Kills it and removes its folder. */
  async close(): Promise<void> {
    closed(this);
    await this.#end('SIGKILL');
    if (this.#dir) await rm(this.#dir, { recursive: true, force: true });
  }

  protected async launch(): Promise<this> {
    closeAfterwards(this);
    this.#dir = await mkdtemp(join(tmpdir(), 'kit-redis-'));
    const { port, config, hidden = [], busPort } = this.#options;
    for (let tries = 1; ; tries++) {
      this.#port = port ?? (await freePort());
      const lines = [`port ${this.#port}`, 'bind 127.0.0.1', `dir ${this.#dir}`, 'daemonize no', 'logfile ""'];
      lines.push(`user ${ADMIN.username} on >${ADMIN.password} ~* &* +@all`, ...config);
      if (busPort !== undefined) lines.push(`${busPort} ${await freePort()}`);
      lines.push(...hidden.map((name) => `rename-command ${name} kit-${name}`));
      await writeFile(this.#configFile, lines.join('\n') + '\n');
      try {
        await this.#spawn();
        return this;
      } catch (error) {
        if (!(error instanceof AddressInUse) || port !== undefined || tries === 20) throw error;
      }
    }
  }

  get #configFile(): string {
    return join(this.#dir ?? '', 'redis.conf');
  }

  async #spawn(): Promise<void> {
    const { binary = servers.redis(), args = [] } = this.#options;
    this.#log = [];
    const child = spawn(binary, [this.#configFile, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    let failure: Error | undefined;
    child.once('error', (error) => {
      failure = error;
      this.#child = undefined;
    });
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => this.#write(chunk));
    mustNotOutliveUs(child, this.#dir);
    await until(
      async () => {
        if (!this.isRunning) return true;
        // Another server may have been faster to take the port.
        const { process_id } = await this.info('server');
        return process_id === String(child.pid) && (await this.command('PING')) === 'PONG';
      },
      { what: `redis on port ${this.port} to answer`, interval: 5 },
    );
    if (this.isRunning) return;
    if (/address already in use|failed listening|could not create server tcp/i.test(this.log)) throw new AddressInUse();
    throw new Error(`${binary} ended at its start:\n${failure?.message ?? this.log}`);
  }

  #write(chunk: Buffer): void {
    this.#log.push(...chunk.toString().trimEnd().split('\n'));
    this.#log.splice(0, this.#log.length - 500);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    (await this.#admin?.catch(() => undefined))?.close();
    this.#admin = undefined;
    const child = this.#child;
    if (!child) return;
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill(signal);
    await ended;
    this.#child = undefined;
  }
}

/** Splits a text such as INFO's or CLIENT LIST's into its fields. */
export function fields(text: string, separator: string, assignment: string): Record<string, string> {
  const entries = text.split(separator).flatMap((field): [string, string][] => {
    const at = field.indexOf(assignment);
    return at > 0 ? [[field.slice(0, at), field.slice(at + assignment.length)]] : [];
  });
  return Object.fromEntries(entries);
}
