import { findChromium, findRedis, findValkey } from '../../scripts/servers.mjs';

/** Paths of the programs that the tests run against; `node scripts/servers.mjs` installs those that are missing. */
export const servers = {
  redis: (): string => findRedis() ?? missing('Redis'),
  valkey: (): string => findValkey() ?? missing('Valkey'),
  chromium: (): string => findChromium() ?? missing('Chromium'),
};

function missing(what: string): never {
  throw new Error(`${what} was not found: run "node scripts/servers.mjs"`);
}
