import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { parse, parseAllDocuments } from 'yaml';
import { closeAfterwards } from '../kit/index.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const DEPLOY = 'sample/chat/deploy';
/** Names of the variables that the sample reads. */
const variables = new Set(
  readdirSync(join(root, 'sample/chat/src'))
    .map((name) => read(`sample/chat/src/${name}`))
    .flatMap((text) => [...text.matchAll(/process\.env\.(\w+)|config\.get\w*(?:<\w+>)?\('(\w+)'/g)])
    .map(([, env, config]) => env ?? config),
);
const dockerfile = read(`${DEPLOY}/Dockerfile`);
const routes = new Set(
  readdirSync(join(root, 'sample/chat/src'))
    .flatMap((name) => [...read(`sample/chat/src/${name}`).matchAll(/@Controller\('([\w/]+)'\)/g)])
    .map(([, path]) => `/${path}`),
);
/** Milliseconds that closing waits for broadcasts to be appended. */
const CLOSE_TIMEOUT = 5_000;

describe('the Dockerfile of the chat', () => {
  test('copies what is there', () => {
    const sources = [...dockerfile.matchAll(/^COPY (.+) \S+$/gm)].flatMap(([, paths]) => paths!.split(' '));
    expect(sources.length).toBeGreaterThan(3);
    expect(sources.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  test('runs the app with Node itself, which gets the signals', () => {
    const command = JSON.parse(/^CMD (.+)$/m.exec(dockerfile)![1]!) as string[];
    expect(command[0]).toBe('node');
    for (const path of command.filter((argument) => /\.(ts|mjs)$/.test(argument))) {
      expect(existsSync(join(root, 'sample/chat', path))).toBe(true);
    }
  });
});

describe('the compose file of the chat', () => {
  const { services, volumes } = parse(read(`${DEPLOY}/compose.yaml`));

  test('names files and volumes that are there', () => {
    const { build } = services.chat;
    expect(join(root, DEPLOY, build.context, '/')).toBe(root);
    expect(existsSync(join(root, DEPLOY, build.context, build.dockerfile))).toBe(true);
    const mounted = Object.values(services as Record<string, { volumes?: string[] }>).flatMap(
      ({ volumes }) => volumes ?? [],
    );
    expect(mounted.length).toBeGreaterThan(4);
    for (const volume of mounted) {
      const [source] = volume.split(':');
      expect(source!.startsWith('.') ? existsSync(join(root, DEPLOY, source!)) : source! in volumes).toBe(true);
    }
  });

  test('gives the app variables that it reads, and one port everywhere', () => {
    const { environment, healthcheck } = services.chat;
    expect(Object.keys(environment).filter((name) => !variables.has(name))).toEqual([]);
    const port = environment.PORT as number;
    expect(dockerfile).toContain(`EXPOSE ${port}\n`);
    expect(read(`${DEPLOY}/nginx.conf`)).toContain(`server chat:${port};`);
    const url = new URL(/http:[^']+/.exec(healthcheck.test.join(' '))![0]);
    expect(Number(url.port)).toBe(port);
    expect(routes).toContain(url.pathname);
    expect(new URL(environment.REDIS_URL as string).hostname in services).toBe(true);
    for (const service of [services.chat, services.proxy]) {
      for (const name of Object.keys(service.depends_on)) expect(services[name].healthcheck).toBeDefined();
    }
    expect(parseInt(services.chat.stop_grace_period) * 1_000).toBeGreaterThan(CLOSE_TIMEOUT);
  });
});

describe('what watches the chat', () => {
  const folder = 'sample/chat/grafana';

  test('asks the nodes at the port, and by the path, at which they answer', () => {
    const [job] = parse(read(`${folder}/prometheus.yaml`)).scrape_configs;
    expect(dockerfile).toContain(`EXPOSE ${job.dns_sd_configs[0].port}\n`);
    expect(job.metrics_path ?? '/metrics').toBe('/metrics');
    expect(routes).toContain('/metrics');
    expect(read(`${DEPLOY}/nginx.conf`)).toMatch(/location \/metrics \{\s+return 404;/);
  });
});

describe('the Kubernetes manifest of the chat', () => {
  const documents = parseAllDocuments(read(`${DEPLOY}/kubernetes.yaml`));
  const [deployment, service, budget] = documents.map((document) => document.toJS());
  const pod = deployment.spec.template;
  const [container] = pod.spec.containers;

  test('is well-formed, and its selectors find the pods', () => {
    expect(documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])).toEqual([]);
    expect([deployment.kind, service.kind, budget.kind]).toEqual(['Deployment', 'Service', 'PodDisruptionBudget']);
    const { labels } = pod.metadata;
    expect(deployment.spec.selector.matchLabels).toEqual(labels);
    expect(service.spec.selector).toEqual(labels);
    expect(budget.spec.selector.matchLabels).toEqual(labels);
  });

  test('gives the app variables that it reads, and one port everywhere', () => {
    const env = container.env as { name: string; value?: string }[];
    expect(env.map(({ name }) => name).filter((name) => !variables.has(name))).toEqual([]);
    const [{ name, containerPort }] = container.ports;
    expect(env.find((one) => one.name === 'PORT')!.value).toBe(String(containerPort));
    expect(service.spec.ports[0].targetPort).toBe(name);
    for (const probe of [container.readinessProbe, container.livenessProbe, container.startupProbe]) {
      expect((probe.httpGet ?? probe.tcpSocket).port).toBe(name);
    }
  });

  test('asks for readiness what the health indicator says, and for liveness nothing about Redis', () => {
    expect(routes).toContain(container.readinessProbe.httpGet.path);
    expect(container.livenessProbe.httpGet).toBeUndefined();
    expect(container.livenessProbe.tcpSocket).toBeDefined();
  });

  test('gives a node the time that it takes to close', () => {
    const [, seconds] = container.lifecycle.preStop.exec.command;
    expect(pod.spec.terminationGracePeriodSeconds).toBeGreaterThan(Number(seconds) + CLOSE_TIMEOUT / 1_000 + 5);
    expect(deployment.spec.strategy.rollingUpdate.maxUnavailable).toBe(0);
  });
});

describe('the workflows', () => {
  const { scripts, engines } = JSON.parse(read('package.json'));
  const files = readdirSync(join(root, '.github/workflows')).map((name) => `.github/workflows/${name}`);

  test.each(files)('%s runs scripts and files that are there', (file) => {
    const { jobs } = parse(read(file)) as { jobs: Record<string, { steps: { run?: string }[] }> };
    const commands = Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run ?? []));
    expect(commands.length).toBeGreaterThan(0);
    for (const command of commands) {
      for (const [, script] of command.matchAll(/npm run ([\w:]+)/g)) expect(scripts).toHaveProperty([script!]);
      for (const [path] of command.matchAll(/\.ci\/\w+|scripts\/[\w-]+\.mjs/g))
        expect(existsSync(join(root, path))).toBe(true);
    }
  });

  test('publish a package that names its repository, which provenance and the links of README need', () => {
    const { steps } = parse(read('.github/workflows/release.yml')).jobs.publish as { steps: { run?: string }[] };
    const commands = steps.flatMap(({ run }) => run ?? []);
    const named = commands.findIndex((command) => command.includes('npm pkg set repository'));
    expect(named).toBeGreaterThan(commands.indexOf('.ci/run'));
    expect(named).toBeLessThan(commands.findIndex((command) => command.startsWith('npm publish --provenance')));

    const folder = mkdtempSync(join(tmpdir(), 'release-'));
    closeAfterwards({ close: () => rmSync(folder, { recursive: true }) });
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'test', version: '1.0.0' }));
    const env = { ...process.env, GITHUB_SERVER_URL: 'https://forge.test', GITHUB_REPOSITORY: 'owner/name' };
    execFileSync('bash', ['-ec', commands[named]!], { cwd: folder, env });
    expect(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))).toMatchObject({
      repository: { type: 'git', url: 'git+https://forge.test/owner/name.git' },
      homepage: 'https://forge.test/owner/name#readme',
      bugs: { url: 'https://forge.test/owner/name/issues' },
    });
  });

  test('test the versions of Node that .ci/run tests, and those that package.json allows', () => {
    const { node } = parse(read('.github/workflows/ci.yml')).jobs.matrix.strategy.matrix as { node: number[] };
    const inCi = /^for version in (.+); do$/m.exec(read('.ci/run'))![1]!.split(' ').map(Number);
    const maintained = /MAINTAINED = \[(.+)\]/.exec(read('scripts/node.mjs'))![1]!;
    expect(inCi).toEqual(node);
    expect(maintained.split(', ').map((version) => Number(version.slice(1, -1)))).toEqual(node);
    expect(engines.node).toMatch(new RegExp(`^>=${Math.min(...node)}\\.`));
  });

  test('are there for issues, too: each template is a form with fields of unique names', () => {
    const folder = '.github/ISSUE_TEMPLATE';
    for (const name of ['bug.yml', 'feature.yml']) {
      const form = parse(read(join(folder, name))) as { name: string; description: string; body: { id: string }[] };
      expect(form).toMatchObject({ name: expect.any(String), description: expect.any(String) });
      expect(new Set(form.body.map(({ id }) => id)).size).toBe(form.body.length);
    }
    expect(existsSync(join(root, dirname(folder), 'pull_request_template.md'))).toBe(true);
  });
});
