import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { Redis } from 'ioredis';
import { Server } from 'socket.io';
import type { Socket } from 'socket.io-client';
import { parse } from 'yaml';
import { createAdapter } from 'nestjs-redis-streams-adapter/adapter';
import { swcOptions } from '../../scripts/swc-options.mjs';
import { LEAST_RIGHTS } from '../faults/least-rights.js';
import { closeAfterwards, freePort, RedisServer, until } from '../kit/index.js';
import { connect } from '../nest/nest-app.js';
import { blocksOf, folderOf, ROOT, writeFiles } from './pages.js';
import { Program } from './program.js';

jest.setTimeout(90_000);

const FOLDER = join(ROOT, '.cache/docs/run');
/** Nest ends the process by the signal, when all is closed. */
const BY_SIGNAL = { code: null, signal: 'SIGTERM' };
const BY_ITSELF = { code: 0, signal: null };

let redis: RedisServer;
let env: { REDIS_URL: string };

beforeAll(() => void writeFiles(FOLDER));
beforeEach(async () => {
  redis = await RedisServer.start();
  env = { REDIS_URL: redis.url };
});

/** The path of a file that a section prints. */
const printed = (page: string, section: string, file: string): string => join(FOLDER, folderOf(page, section), file);

/** Programs that listen, started at once. */
const start = (files: string[], variables = env): Promise<Program[]> =>
  Promise.all(files.map((file) => Program.listen(file, variables)));

/** An application whose files are those of several sections; a later one replaces files of an earlier one. */
function together(name: string, folders: string[]): string {
  const folder = join(FOLDER, 'together', name);
  rmSync(folder, { recursive: true, force: true });
  for (const from of folders) {
    for (const file of readdirSync(from).filter((one) => one.endsWith('.ts'))) {
      cpSync(join(from, file), join(folder, file));
    }
  }
  return folder;
}

/** What a client has received of the events of a name. */
function received(client: Socket, event: string): unknown[] {
  const values: unknown[] = [];
  client.on(event, (value: unknown) => values.push(value));
  return values;
}

/** Has a client of each program say something, and checks that each hears all of it, once. */
async function hearEachOther(programs: Program[]): Promise<void> {
  const clients = await Promise.all(programs.map(({ port }) => connect(port)));
  const heard = clients.map((client) => received(client, 'said'));
  const said: string[] = [];
  for (const [i, client] of clients.entries()) {
    said.push(`hello from ${i}`);
    client.emit('say', said[i]);
    await until(() => heard.every((texts) => texts.length >= said.length), { what: `${said[i]} to be heard by all` });
  }
  expect(heard).toEqual(clients.map(() => said));
}

test('two nodes of the quick start hear each other, are healthy, and leave nothing when they end', async () => {
  const main = printed('README.md', 'quick-start', 'main.ts');
  const nodes = await start([main, main]);
  await hearEachOther(nodes);
  const hear = await Program.start(printed('README.md', 'quick-start', 'hear.mjs'), env, {
    args: nodes.map(({ port }) => String(port)),
  });
  await hear.writes('client 1 hears: hello');
  await hear.writes('client 2 hears: hello');
  for (const { port } of nodes) {
    const answer = await fetch(`http://localhost:${port}/health`);
    expect(answer.status).toBe(200);
    const { details } = (await answer.json()) as {
      details: Record<string, { nodes: { pid: number; state: string }[] }>;
    };
    const listed = details['redis-streams']!.nodes.map(({ pid, state }) => ({ pid, state }));
    expect(listed).toHaveLength(2);
    for (const { pid } of nodes) expect(listed).toContainEqual({ pid, state: 'up' });
  }
  for (const node of nodes) expect(await node.stop()).toEqual(BY_SIGNAL);
  await until(async () => (await redis.clients()).length === 0, { what: 'the connections to Redis to end' });
});

test('what the guide has for servers without Nest is a cluster with the quick start, and ends by itself', async () => {
  const server = printed('docs/guide.md', 'without-nest', 'server.ts');
  const nodes = await start([server, server, printed('README.md', 'quick-start', 'main.ts')]);
  await hearEachOther(nodes);
  expect(await nodes[0]!.stop()).toEqual(BY_ITSELF);
});

test('the job and the worker of the guide reach the nodes’ clients, and end when all is sent', async () => {
  const client = new Redis(redis.url);
  closeAfterwards({ close: () => client.disconnect() });
  const io = new Server({ adapter: createAdapter(client, { streamName: 'chat' }) });
  closeAfterwards({ close: () => io.close() });
  io.on('connection', (socket) => void socket.join(socket.handshake.auth['room'] as string));
  const port = await freePort();
  io.listen(port);
  const ada = await connect(port, '/', { auth: { room: 'user:42' } });
  const bob = await connect(port, '/', { auth: { room: 'user:43' } });
  const heard = [received(ada, 'said'), received(bob, 'said')];
  const shipped = [received(ada, 'order-shipped'), received(bob, 'order-shipped')];

  expect(await Program.run(printed('docs/guide.md', 'without-nest', 'job.ts'), env)).toEqual(BY_ITSELF);
  expect(await Program.run(printed('docs/guide.md', 'emit-from-a-worker', 'worker.ts'), env)).toEqual(BY_ITSELF);
  await until(() => shipped[0]!.length > 0, { what: 'the order of user 42 to be heard of' });
  io.emit('order-shipped', 'last');
  await until(() => shipped.every((values) => values.includes('last')), { what: 'the last broadcast' });
  expect(heard).toEqual([['from a job'], ['from a job']]);
  expect(shipped).toEqual([[7, 'last'], ['last']]);
});

test('the observer of the guide sees nodes come and go, and is none itself', async () => {
  const node = await Program.listen(printed('README.md', 'quick-start', 'main.ts'), env);
  const section = 'watch-from-a-process-that-serves-no-sockets';
  const observer = await Program.start(printed('docs/guide.md', section, 'watch.ts'), env);
  await observer.writes(`${node.pid}: up\n`);
  const health = await (await fetch(`http://localhost:${node.port}/health`)).json();
  expect(health).toMatchObject({ details: { 'redis-streams': { nodes: [{ pid: node.pid }] } } });
  await node.stop();
  await observer.writes('node-left');
  await observer.writes(`${node.pid}: left`);
  expect(await observer.stop()).toEqual(BY_SIGNAL);
});

test('readiness of the guide is about the node, and its other check about the cluster', async () => {
  const node = await Program.listen(printed('docs/guide.md', 'health', 'main.ts'), env);
  const check = async (path: string): Promise<number> =>
    (await fetch(`http://localhost:${node.port}/health/${path}`)).status;
  expect([await check('ready'), await check('cluster')]).toEqual([200, 503]); // one node of three
});

test('the application with metrics gives them to Prometheus', async () => {
  const metricsPort = await freePort();
  const app = printed('docs/operating.md', 'metrics', 'main.ts');
  const node = await Program.listen(app, { ...env, METRICS_PORT: String(metricsPort) });
  const client = await connect(node.port);
  const heard = received(client, 'said');
  client.emit('say', 'hello');
  await until(() => heard.length > 0, { what: 'the broadcast' });
  const scrape = async (): Promise<string> => (await fetch(`http://localhost:${metricsPort}/metrics`)).text();
  await until(async () => /messaging_client_sent_messages\S* [1-9]/.test(await scrape()), { what: 'the counter' });
  expect(await scrape()).toMatch(/redis_streams_adapter_ready\S* 1/);
});

describe('migration', () => {
  test('the application before, with the gateway for both pools, and the one after hear each other', async () => {
    const page = 'docs/migration.md';
    const both = join(FOLDER, folderOf(page, 'while-both-run'));
    const gateway = together('gateway', [both]);
    for (const file of ['app.module.ts', 'main.ts', 'health.controller.ts']) rmSync(join(gateway, file));
    const before = together('before', [join(FOLDER, folderOf(page, 'before')), gateway, join(both, 'for-old-nodes')]);
    const after = together('after', [join(FOLDER, folderOf(page, 'after')), gateway]);
    const [old, ours] = [join(before, 'main.ts'), join(after, 'main.ts')];
    await hearEachOther(await start([old, old, ours, ours]));
  });

  test('the server before and the server after are one cluster with @socket.io/redis-streams-adapter', async () => {
    const [page, section] = ['docs/migration.md', 'from-socketioredis-streams-adapter'];
    const nodes = await start(['before.ts', 'after.ts'].map((file) => printed(page, section, file)));
    // What comes before its first read, the server before does not deliver.
    const readers = async (): Promise<number> =>
      (await redis.clients()).filter(({ cmd, fields }) => cmd === 'xread' && fields['flags']!.includes('b')).length;
    await until(async () => (await readers()) === 2, { what: 'both to read the stream' });
    await hearEachOther(nodes);
  });
});

describe('testing', () => {
  test('the tests of the page pass without a Redis server', async () => {
    // With paths that are those of any machine: the file stays there.
    const inRoot = (path: string): string => join('<rootDir>', relative(ROOT, path));
    const folders = ['without-redis', 'replacing-parts'].map((section) =>
      inRoot(join(FOLDER, folderOf('docs/testing.md', section))),
    );
    const config = {
      rootDir: relative(FOLDER, ROOT),
      roots: folders,
      testMatch: ['**/*spec.ts'],
      extensionsToTreatAsEsm: ['.ts'],
      transform: { '\\.ts$': ['@swc/jest', { ...swcOptions, swcrc: false }] },
      moduleNameMapper: {
        '^nestjs-redis-streams-adapter$': inRoot(join(ROOT, 'lib/index.ts')),
        '^(\\.{1,2}/.*)\\.js$': '$1',
      },
    };
    const path = join(FOLDER, 'jest.config.json');
    writeFileSync(path, JSON.stringify(config));
    const jestProgram = join(ROOT, 'node_modules/jest/bin/jest.js');
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--experimental-vm-modules', jestProgram, '--config', path, '--runInBand'],
      { encoding: 'utf8', env: { ...process.env, NODE_ENV: 'test', REDIS_URL: 'redis://localhost:1' } },
    );
    expect(stderr).toMatch(/Tests: +2 passed, 2 total/);
    expect(stderr).not.toMatch(/did not exit/);
    expect(status).toBe(0);
  });
});

describe('the least rights', () => {
  /** By user, the words of each `redis-cli ACL SETUSER` that the page prints, as a shell reads them. */
  function printedRights(): Map<string, string[]> {
    const blocks = blocksOf('docs/security.md').filter(({ language }) => language === 'sh');
    const script = `redis-cli() { printf '%s\\0' "$@"; echo; }\n${blocks.map(({ code }) => code).join('\n')}`;
    const { stdout } = spawnSync('bash', ['-c', script], { encoding: 'utf8' });
    const commands = stdout.trim().split('\n');
    return new Map(commands.map((command) => command.split('\0').slice(0, -1)).map((words) => [words[2]!, words]));
  }
  const urlOf = (user: string): string => `redis://${user}:secret@127.0.0.1:${redis.port}`;

  beforeEach(async () => {
    for (const words of printedRights().values()) await redis.command(...words);
  });

  test('of a node can be pasted into a shell, and are enough for the quick start', async () => {
    // The fault tests run with the same, for the default name.
    const rights = printedRights().get('app')!.slice(5);
    expect(rights).toEqual(LEAST_RIGHTS.map((rule) => (rule === '~socket.io' ? '~chat' : rule)));
    const main = printed('README.md', 'quick-start', 'main.ts');
    await hearEachOther(await start([main, main], { REDIS_URL: urlOf('app') }));
    expect(new Set((await redis.clients()).map(({ user }) => user))).toEqual(new Set(['app']));
  });

  test('of a worker and of an observer are enough for these', async () => {
    const node = await Program.listen(printed('README.md', 'quick-start', 'main.ts'), { REDIS_URL: urlOf('app') });
    const heard = received(await connect(node.port), 'said');
    const job = printed('docs/guide.md', 'without-nest', 'job.ts');
    expect(await Program.run(job, { REDIS_URL: urlOf('worker') })).toEqual(BY_ITSELF);
    await until(() => heard.length > 0, { what: 'what the job says' });
    const section = 'watch-from-a-process-that-serves-no-sockets';
    const watch = printed('docs/guide.md', section, 'watch.ts');
    const observer = await Program.start(watch, { REDIS_URL: urlOf('observer') });
    await observer.writes(`${node.pid}: up\n`);
  });
});

test('the chat, started as its image is, passes the compose file’s health check while Redis is there', async () => {
  const deploy = join(ROOT, 'sample/chat/deploy');
  const command = JSON.parse(/^CMD (.+)$/m.exec(readFileSync(join(deploy, 'Dockerfile'), 'utf8'))![1]!) as string[];
  expect(command.slice(-3)).toEqual(['--import', '../../scripts/typescript.mjs', 'src/main.ts']);
  const { environment, healthcheck } = parse(readFileSync(join(deploy, 'compose.yaml'), 'utf8')).services.chat;
  const cwd = join(ROOT, 'sample/chat');
  const chat = await Program.listen(
    join(cwd, 'src/main.ts'),
    { STREAM_NAME: environment.STREAM_NAME, ...env },
    { cwd },
  );
  const [, , ...check] = (healthcheck.test as string[]).map((part) => part.replace('3000', String(chat.port)));
  const isHealthy = (): boolean => spawnSync(process.execPath, check).status === 0;
  await until(isHealthy, { what: 'the chat to be healthy' });
  expect(await (await fetch(`http://localhost:${chat.port}/`)).text()).toMatch(/<!doctype html>/i);
  await redis.kill();
  await until(() => !isHealthy(), { what: 'the chat to be unhealthy' });
  await redis.restart();
  await until(isHealthy, { what: 'the chat to be healthy again' });
  expect(await chat.stop()).toEqual(BY_SIGNAL);
});
