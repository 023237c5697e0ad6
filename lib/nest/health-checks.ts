import { InvalidOptionError } from '../cluster/options.js';

/**
 * The bounds of a health check, with those that are left out.
 *
 * @throws InvalidOptionError
 */
export function resolveChecks<Checks extends object>(checks: Partial<Checks>, defaults: Checks, least: number): Checks {
  if (typeof checks !== 'object' || checks === null) {
    throw new InvalidOptionError('checks', checks, `an object with ${Object.keys(defaults).join(', ')}`);
  }
  const resolved = { ...defaults };
  for (const [name, value] of Object.entries(checks) as [keyof Checks & string, unknown][]) {
    if (!Object.hasOwn(defaults, name)) {
      const elsewhere = name === 'minNodes' ? '; how many nodes there are is for isClusterHealthy()' : '';
      const known = `one of the checks ${Object.keys(defaults).join(', ')}${elsewhere}`;
      throw new InvalidOptionError(`checks.${name}`, value, known);
    }
    if (value === undefined) {
      continue;
    }
    if (typeof value !== 'number' || !(value >= least)) {
      throw new InvalidOptionError(`checks.${name}`, value, `a number from ${least}`);
    }
    resolved[name] = value as Checks[typeof name];
  }
  return resolved;
}
