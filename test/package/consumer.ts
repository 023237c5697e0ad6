import { spawn, type ChildProcess } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect as connectTo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { io, type Socket } from 'socket.io-client';
import { closeAfterwards, closed, freePort, until, type Exit } from '../kit/index.js';
import { mustNotOutliveUs } from '../kit/outlive.js';

export const PACKAGE = 'nestjs-redis-streams-adapter';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** The programs of package managers other than npm, and what they download, for all tests of all runs. */
const cache = join(root, '.cache/package-managers');

export type PackageManager = 'npm' | 'pnpm' | 'yarn';

export interface ConsumerOptions {
  /** Folders of `consumers/` of which the files are copied; a later one replaces files of an earlier one. */
  from: string[];
  /** What is installed besides the package itself, by name. */
  dependencies: Record<string, string>;
  /** Further fields of its package.json. */
  manifest?: object;
  /** Further files, by their path in the project. */
  files?: Record<string, string>;
  /** @default 'npm' */
  manager?: PackageManager;
}

/** A project of a user, in a folder outside of this repository, with the packed package installed into it. */
export class Consumer {
  private constructor(
    readonly folder: string,
    private readonly manager: PackageManager,
  ) {}

  static async create({
    from,
    dependencies,
    manifest,
    files = {},
    manager = 'npm',
  }: ConsumerOptions): Promise<Consumer> {
    const consumer = new Consumer(await mkdtemp(join(tmpdir(), 'consumer-')), manager);
    closeAfterwards(consumer);
    for (const name of from) {
      await cp(new URL(`consumers/${name}/`, import.meta.url), consumer.folder, { recursive: true });
    }
    const tarball = `file:${process.env['PACKAGE_TARBALL']}`;
    const all = { private: true, ...manifest, dependencies: { [PACKAGE]: tarball, ...dependencies } };
    for (const [name, text] of Object.entries({ 'package.json': JSON.stringify(all, null, 2), ...files })) {
      await mkdir(dirname(join(consumer.folder, name)), { recursive: true });
      await writeFile(join(consumer.folder, name), text);
    }
    await consumer.install();
    return consumer;
  }

  /**
   * What `node`, or a program of its dependencies, writes until it ends.
   *
   * @throws Error with that, if the program fails
   */
  async run(program: string, args: string[], env: Record<string, string> = {}): Promise<string> {
    const [command = '', ...all] = await this.command(program, args);
    return run(command, all, this.folder, env);
  }

  /** Starts a script with Node; resolves when it says where it listens. */
  async start(script: string, env: Record<string, string>): Promise<RunningApp> {
    const [command = '', ...args] = await this.command('node', [script]);
    return RunningApp.start(command, args, this.folder, env);
  }

  private async command(program: string, args: string[]): Promise<string[]> {
    if (this.manager === 'yarn') return [...(await yarn()), program, ...args];
    return [program === 'node' ? process.execPath : join(this.folder, 'node_modules/.bin', program), ...args];
  }

  async close(): Promise<void> {
    closed(this);
    await rm(this.folder, { recursive: true, force: true });
  }

  private async install(): Promise<void> {
    switch (this.manager) {
      case 'npm':
        await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts'], this.folder);
        return;
      case 'pnpm': {
        const [command, ...first] = await pnpm();
        await run(command!, [...first, 'install', '--prefer-offline', '--ignore-scripts'], this.folder);
        return;
      }
      case 'yarn': {
        const settings = [
          'nodeLinker: pnp',
          'enableTelemetry: false',
          'enableScripts: false',
          'enableGlobalCache: false',
        ];
        settings.push(`cacheFolder: ${JSON.stringify(join(cache, 'yarn'))}`, 'compressionLevel: 0');
        const registry = (await run('npm', ['config', 'get', 'registry'], root)).trim();
        settings.push(`npmRegistryServer: ${JSON.stringify(registry.replace(/\/$/, ''))}`);
        if (registry.startsWith('http:'))
          settings.push(`unsafeHttpWhitelist: [${JSON.stringify(new URL(registry).hostname)}]`);
        await writeFile(join(this.folder, '.yarnrc.yml'), settings.join('\n') + '\n');
        const [command, ...first] = await yarn();
        await run(command!, [...first, 'install', '--no-immutable'], this.folder);
      }
    }
  }
}

const pnpm = (): Promise<string[]> => packageManager('pnpm', '^10', 'pnpm');
const yarn = (): Promise<string[]> => packageManager('@yarnpkg/cli-dist', '^4', 'yarn');

/** The command of a package manager that is installed as a package, without corepack. */
async function packageManager(name: string, range: string, program: string): Promise<string[]> {
  const folder = join(cache, program);
  const manifest = join(folder, 'node_modules', name, 'package.json');
  if ((await readFile(manifest).catch(() => undefined)) === undefined) {
    await mkdir(folder, { recursive: true });
    await run('npm', ['install', '--prefix', folder, '--no-save', '--no-package-lock', `${name}@${range}`], folder);
  }
  const { bin } = JSON.parse(await readFile(manifest, 'utf8')) as { bin: Record<string, string> };
  return [process.execPath, join(folder, 'node_modules', name, bin[program]!)];
}

/** This process' environment without what npm and Jest have put into it for their own children. */
function ownEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(npm_(package|lifecycle|command|node)|JEST_|NODE_ENV|NODE_OPTIONS)/.test(name),
    ),
  );
}

async function run(command: string, args: string[], cwd: string, env: Record<string, string> = {}): Promise<string> {
  const child = spawn(command, args, { cwd, env: { ...ownEnv(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  mustNotOutliveUs(child);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`"${[command, ...args].join(' ')}" ended with ${code}:\n${output}`);
  return output;
}

/** An app of a consumer, as a process. It prints "Listening on PORT", or Nest says that it listens at `PORT`. */
export class RunningApp {
  readonly #child: ChildProcess;
  readonly #exited: Promise<Exit>;
  #exit?: Exit;
  #output = '';

  private constructor(
    command: string,
    args: string[],
    cwd: string,
    env: Record<string, string>,
    private readonly givenPort: number,
  ) {
    const all = { ...ownEnv(), PORT: String(givenPort), ...env };
    this.#child = spawn(command, args, { cwd, env: all, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => (this.#output += chunk.toString()));
    }
    this.#exited = new Promise((resolve) =>
      this.#child.once('close', (code, signal) => resolve((this.#exit = { code, signal }))),
    );
    mustNotOutliveUs(this.#child);
  }

  static async start(command: string, args: string[], cwd: string, env: Record<string, string>): Promise<RunningApp> {
    const app = closeAfterwards(new RunningApp(command, args, cwd, env, await freePort()));
    await until(() => app.#exit !== undefined || app.port > 0, {
      what: `${args.join(' ')} to listen`,
      timeout: 30_000,
    }).catch((error: Error) => Promise.reject(new Error(`${error.message}\n${app.#output}`)));
    if (app.#exit) throw new Error(`${args.join(' ')} ended at its start:\n${app.#output}`);
    // Nest says that it has started right before it listens.
    await until(() => accepts(app.port), { what: `${args.join(' ')} to accept connections` });
    return app;
  }

  get port(): number {
    const isNest = this.#output.includes('Nest application successfully started');
    return Number(/Listening on (\d+)/.exec(this.#output)?.[1] ?? (isNest ? this.givenPort : 0));
  }

  get output(): string {
    return this.#output;
  }

  connect(): Promise<Socket> {
    const socket = io(`http://127.0.0.1:${this.port}`, { forceNew: true, transports: ['websocket'] });
    closeAfterwards({ close: () => socket.disconnect() });
    return new Promise((resolve, reject) => {
      socket.once('connect', () => resolve(socket));
      socket.once('connect_error', reject);
    });
  }

  /** SIGTERM, as a supervisor sends it; it has then to end by itself, as nothing of it is left open. */
  async stop(): Promise<Exit> {
    this.#child.kill('SIGTERM');
    return until(() => this.#exit, { what: 'the app to end after SIGTERM' }).catch((error: Error) =>
      Promise.reject(new Error(`${error.message}\n${this.#output}`)),
    );
  }

  async close(): Promise<void> {
    closed(this);
    if (this.#exit === undefined) this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

/** What clients of each app get of what one says to all, from any app. */
export async function said(apps: RunningApp[]): Promise<string[][]> {
  const clients = await Promise.all(apps.map((app) => app.connect()));
  const received = clients.map((client) => {
    const texts: string[] = [];
    client.on('said', (text: string) => texts.push(text));
    return texts;
  });
  for (const [i, client] of clients.entries()) {
    client.emit('say', `from ${i + 1}`);
    await until(() => received.every((texts) => texts.length > i), { what: `what client ${i + 1} says to reach all` });
  }
  return received;
}

/** Whether something accepts connections at a port of this machine. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTo(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
