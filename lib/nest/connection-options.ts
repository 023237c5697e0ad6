import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { checkText, InvalidOptionError } from '../cluster/options.js';
import type { RedisConnectionOptions } from './redis-streams-options.interface.js';

/** What is handed to ioredis. Whether TLS is used is decided here, not left to how ioredis reads a URL. */
export interface ResolvedConnection {
  /** Begins with "redis://" or "rediss://", in lower case. */
  url?: string;
  /** Options of ioredis. `tls` is an object, or absent. */
  options: Record<string, unknown>;
  cluster?: { nodes: unknown[]; options: Record<string, unknown> };
  credentials?: NonNullable<RedisConnectionOptions['credentials']>;
}

const ADDRESSES = ['url', 'host', 'port', 'path', 'sentinels', 'cluster'] as const;
const EXAMPLE = 'a URL such as "redis://localhost:6379", or an object such as { url: "redis://localhost:6379" }';

/**
 * Checks a connection, for a missing setting must not lead to a Redis on localhost by ioredis' defaults, and TLS that
 * was meant must not be off.
 *
 * @throws InvalidOptionError that shows no value which may be a secret
 */
export function resolveConnection(connection: string | RedisConnectionOptions): ResolvedConnection {
  if (typeof connection === 'string') {
    const { url, tls } = resolveUrl('connection', connection);
    return { url, options: tls ? { tls } : {} };
  }
  if (typeof connection !== 'object' || connection === null) {
    reject('', connection, EXAMPLE);
  }
  checkAddress(connection);
  const { url, host, port, db, tls: givenTls, credentials, cluster, sentinels, ...rest } = connection;
  checkNumber('.port', port, 65_535);
  checkNumber('.db', db, Number.MAX_SAFE_INTEGER);
  checkHost('.host', host);
  checkSentinels(sentinels);
  checkTexts(connection);
  checkKeyPrefix(rest['keyPrefix']);
  checkCredentials(connection);
  const tls = resolveTls(givenTls);
  const options = {
    ...rest,
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port: Number(port) }),
    ...(db !== undefined && { db: Number(db) }),
  };
  const withTls = (used: TlsOptions | undefined): Record<string, unknown> => ({
    ...options,
    ...(used && { tls: used }),
  });
  const login = credentials && { credentials };
  if (url !== undefined) {
    const resolved = resolveUrl('connection.url', url);
    checkBesideUrl(resolved.url, connection);
    if (resolved.tls && givenTls === false) {
      reject('.tls', false, 'true with a "rediss://" URL, or a URL that begins with "redis://"');
    }
    return { url: withLogin(resolved.url, connection), options: withTls(tls ?? resolved.tls), ...login };
  }
  if (cluster !== undefined) {
    if (db !== undefined && Number(db) !== 0) {
      throw new InvalidOptionError('connection.db', db, '0, or leave it out: a cluster has no other database');
    }
    const { nodes, redisOptions, ...further } = cluster;
    const { tls: ofNodes, ...ofEveryNode } = (redisOptions ?? {}) as Record<string, unknown>;
    const isTls = nodesWithTls(nodes);
    if (isTls && (givenTls === false || ofNodes === false)) {
      reject('.tls', false, 'true with nodes whose URLs begin with "rediss://", or URLs that begin with "redis://"');
    }
    const used = resolveTls(ofNodes) ?? tls ?? (isTls ? {} : undefined);
    return {
      ...{ options: { ...withTls(used), ...ofEveryNode }, cluster: { nodes: nodes.map(toNode), options: further } },
      ...login,
    };
  }
  if (sentinels !== undefined) {
    // ioredis uses TLS with Sentinel only if it is asked for twice more.
    const everywhere = tls && { enableTLSForSentinelMode: true, ...(!('sentinelTLS' in rest) && { sentinelTLS: tls }) };
    return { options: { ...withTls(tls), sentinels, ...everywhere }, ...login };
  }
  return { options: withTls(tls), ...login };
}

function checkAddress(connection: RedisConnectionOptions): void {
  const given = ADDRESSES.filter((name) => name in connection);
  if (given.length === 0) {
    reject('', connection, `one of ${ADDRESSES.join(', ')}`);
  }
  for (const name of given) {
    if (connection[name] === undefined || connection[name] === null || connection[name] === '') {
      reject(`.${name}`, connection[name], 'a value, or leave it out; is the setting that it comes from missing?');
    }
  }
  const { sentinels, name, cluster } = connection;
  for (const only of ['url', 'cluster'] as const) {
    if (given.includes(only) && given.length > 1) {
      reject('', connection, `either ${only} or ${given.filter((other) => other !== only).join(', ')}, not both`);
    }
  }
  if (cluster !== undefined && (!Array.isArray(cluster.nodes) || cluster.nodes.length === 0)) {
    reject('.cluster.nodes', cluster.nodes, 'at least one node, as a URL or as { host, port }');
  }
  if (sentinels !== undefined && (!Array.isArray(sentinels) || sentinels.length === 0)) {
    reject('.sentinels', sentinels, 'at least one sentinel as { host, port }');
  }
  if (sentinels !== undefined && (typeof name !== 'string' || name === '')) {
    reject('.name', name, 'the name of the group of servers that the sentinels watch');
  }
}

/** Environment variables are strings, so a number may be one. */
function checkNumber(option: string, value: unknown, most: number): void {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (value !== undefined && !(Number.isInteger(number) && (number as number) >= 0 && (number as number) <= most)) {
    throw new InvalidOptionError(`connection${option}`, value, `a whole number from 0 to ${most}`);
  }
}

function checkHost(option: string, host: unknown): void {
  if (host !== undefined && (typeof host !== 'string' || /[/\s]/.test(host))) {
    reject(option, host, 'the name or the address of a host; a URL goes to "url"');
  }
}

function checkHostAndPort(option: string, host: unknown, port: unknown): void {
  checkHost(`${option}.host`, host);
  checkNumber(`${option}.port`, port, 65_535);
}

/** Left alone, ioredis asks localhost for each sentinel without a host. */
function checkSentinels(sentinels: readonly unknown[] = []): void {
  for (const sentinel of sentinels) {
    const { host, port } = (sentinel ?? {}) as { host?: unknown; port?: unknown };
    if (typeof host !== 'string' || host === '') {
      reject('.sentinels', sentinel, 'each sentinel as { host, port }');
    }
    checkHostAndPort('.sentinels', host, port);
  }
}

function checkTexts(connection: RedisConnectionOptions): void {
  for (const name of ['path', 'username', 'password'] as const) {
    const value = connection[name];
    if (value !== undefined && value !== null && !['string', 'number'].includes(typeof value)) {
      reject(`.${name}`, name === 'path' ? value : {}, 'a string');
    }
  }
}

function checkKeyPrefix(keyPrefix: unknown): void {
  if (keyPrefix !== undefined && keyPrefix !== null && keyPrefix !== '') {
    checkText('connection.keyPrefix', keyPrefix);
  }
}

function checkCredentials({ credentials, username, password, cluster }: RedisConnectionOptions): void {
  if (credentials !== undefined && typeof credentials !== 'function') {
    reject('.credentials', credentials, 'a function that returns { username, password } or a promise of it');
  }
  const ofNodes = (cluster?.redisOptions ?? {}) as { username?: unknown; password?: unknown };
  const given = [username, password, ofNodes.username, ofNodes.password];
  if (credentials !== undefined && given.some((value) => value !== undefined)) {
    reject('.credentials', {}, 'either "credentials" or "username" and "password", not both');
  }
}

/** ioredis would take what the URL says, and no notice of what stands beside it. */
function checkBesideUrl(url: string, { db, username, password }: RedisConnectionOptions): void {
  const { pathname, username: ofUrl, password: secret } = new URL(url);
  const dbOfUrl = pathname.slice(1);
  if (db !== undefined && dbOfUrl !== '' && Number(db) !== Number(dbOfUrl)) {
    const allowed = `${Number(dbOfUrl)}, as the URL says, or leave it out, or leave the number out of the URL`;
    throw new InvalidOptionError('connection.db', db, allowed);
  }
  const others = [
    ['.username', username, ofUrl],
    ['.password', password, secret],
  ] as const;
  for (const [option, value, inUrl] of others) {
    if (value !== undefined && value !== null && inUrl !== '' && String(value) !== decodeURIComponent(inUrl)) {
      reject(option, {}, 'what the URL says, or leave one of them out');
    }
  }
}

/** The URL with the whole login: ioredis takes what is not said in it for empty, once it says a part. */
function withLogin(url: string, { username, password }: RedisConnectionOptions): string {
  const filled = new URL(url);
  if (filled.username + filled.password === '') {
    return url;
  }
  filled.username ||= encodeURIComponent(username ?? '');
  filled.password ||= encodeURIComponent(password ?? '');
  return filled.href;
}

function resolveTls(tls: unknown): TlsOptions | undefined {
  if (tls === undefined || tls === null || tls === false) {
    return undefined;
  }
  if (tls === true) {
    return {};
  }
  if (typeof tls !== 'object' || Array.isArray(tls)) {
    // A string such as "false" would be taken for the name of one of ioredis' profiles.
    throw new InvalidOptionError('connection.tls', tls, "true, false, or an object with options of Node's tls.connect");
  }
  return tls;
}

/**
 * ioredis takes "REDISS://" for a URL without TLS, "rediss:host" for a host named "rediss", and knows no "?ssl=true".
 */
function resolveUrl(option: string, url: unknown): { url: string; tls: TlsOptions | undefined } {
  const allowed = 'a URL such as "redis://user:password@host:6379/0", or "rediss://…" for TLS';
  if (typeof url !== 'string') {
    throw new InvalidOptionError(option, url, allowed);
  }
  const [, scheme, rest] = /^\s*(rediss?):\/\/(\S+)\s*$/i.exec(url) ?? [];
  const text = `${scheme?.toLowerCase()}://${rest}`;
  if (scheme === undefined || !URL.canParse(text) || new URL(text).hostname === '') {
    throw new InvalidOptionError(option, withoutSecrets(url), allowed);
  }
  const { hash, pathname, searchParams, username, password } = new URL(text);
  if (!isEncoded(username) || !isEncoded(password)) {
    const forms = 'user and password encoded ("%" as "%25", by encodeURIComponent)';
    throw new InvalidOptionError(option, withoutSecrets(url), `${allowed}, with ${forms}`);
  }
  if (hash !== '' || !/^(\/\d*)?$/.test(pathname) || [...searchParams.keys()].some((name) => name.includes('@'))) {
    const forms =
      'the number of the database behind the host if at all, and "#", "/", "?" and "@" of a password encoded';
    throw new InvalidOptionError(option, withoutSecrets(url), `${allowed}, with ${forms} (encodeURIComponent)`);
  }
  for (const name of searchParams.keys()) {
    if (/tls|ssl/i.test(name)) {
      throw new InvalidOptionError(
        option,
        `${scheme}://…?${name}=…`,
        `a URL that begins with "rediss://" instead of its parameter "${name}", and options of TLS as "tls"`,
      );
    }
  }
  return { url: text, tls: scheme.toLowerCase() === 'rediss' ? {} : undefined };
}

/** Whether each "%" begins an encoded character. */
function isEncoded(text: string): boolean {
  try {
    return decodeURIComponent(text) !== undefined;
  } catch {
    return false;
  }
}

/** Whether the nodes' URLs ask for TLS, which ioredis would not see. */
function nodesWithTls(nodes: readonly unknown[]): boolean {
  const schemes = nodes.map((node) => {
    if (typeof node === 'string') {
      return resolveUrl('connection.cluster.nodes', node).tls !== undefined;
    }
    const { host, port } = (node ?? {}) as { host?: unknown; port?: unknown };
    if (typeof node !== 'object' || host === undefined) {
      reject('.cluster.nodes', node, 'nodes as URLs or as { host, port }');
    }
    checkHostAndPort('.cluster.nodes', host, port);
    return undefined;
  });
  if (schemes.includes(true) && schemes.includes(false)) {
    reject('.cluster.nodes', nodes, 'URLs that begin all with "rediss://" or all with "redis://"');
  }
  return schemes.includes(true);
}

function toNode(node: unknown): unknown {
  return typeof node === 'string' ? resolveUrl('connection.cluster.nodes', node).url : node;
}

/** All of a URL that is no secret. */
function withoutSecrets(url: string): string {
  const end = url.indexOf('://');
  return end < 0 || end > 20 ? '…' : `${url.slice(0, end)}://…`;
}

function reject(option: string, value: unknown, allowed: string): never {
  throw new InvalidOptionError(`connection${option}`, typeof value === 'string' && value !== '' ? {} : value, allowed);
}
