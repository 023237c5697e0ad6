import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const ROOT = new URL('../../', import.meta.url);

const sources = (readdirSync(new URL('lib/', ROOT), { recursive: true }) as string[])
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(fileURLToPath(new URL(`lib/${file}`, ROOT)), 'utf8'));
/** Each class of an error, from its first line to its last. */
const classes = sources.flatMap((source) => source.match(/^export class \w+ extends \w*Error \{$.*?^\}$/gms) ?? []);
const codes = classes.flatMap((text) => /readonly code(?: = '|: `)(\w+)(?:\$\{([^}]*)\})?/.exec(text)?.slice(1) ?? []);

describe('errors of this package', () => {
  test('have a code and a name each', () => {
    const namesOf = (text: string): (string | undefined)[] => [
      /class (\w+)/.exec(text)?.[1],
      /override readonly name = '(\w+)'/.exec(text)?.[1],
    ];
    expect(classes.map(namesOf).filter(([name, own]) => name !== own)).toEqual([]);
    expect(classes.filter((text) => !/readonly code(?: = '|: `)REDIS_STREAMS_/.test(text))).toEqual([]);
    expect(classes.length).toBeGreaterThan(6);
    expect(sources.join('\n').match(/class \w+ extends \w*Error\b/g)).toHaveLength(classes.length);
  });

  test('are documented, each code', () => {
    const documented = readFileSync(fileURLToPath(new URL('docs/events.md', ROOT)), 'utf8');
    const listed = [...documented.matchAll(/^\| `(REDIS_STREAMS_\w+)` *\| `(\w+)`/gm)].map(([, code]) => code);
    const expected: string[] = [];
    for (let i = 0; i < codes.length; i += 2) {
      const endings = codes[i + 1]?.match(/\w+/g) ?? [''];
      expected.push(...endings.map((ending) => codes[i]! + ending));
    }
    expect([...listed].sort()).toEqual(expected.sort());
  });
});
