import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

const script = fileURLToPath(new URL('../../scripts/release-changelog.mjs', import.meta.url));
const own = fileURLToPath(new URL('../../CHANGELOG.md', import.meta.url));
let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'changelog-'));
  file = join(folder, 'CHANGELOG.md');
});
afterEach(() => rmSync(folder, { recursive: true }));

function release(version: string): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, [script, version, file], { encoding: 'utf8' });
  return { status, stderr };
}

describe('the changelog', () => {
  test('gives what is unreleased the version and the date, keeps every line of it, and begins anew', () => {
    const before = readFileSync(own, 'utf8');
    writeFileSync(file, before);
    expect(release('98.0.0')).toEqual({ status: 0, stderr: '' });
    const after = readFileSync(file, 'utf8');
    expect(after).toMatch(/## Unreleased\n\n## 98\.0\.0 - \d{4}-\d\d-\d\d\n\n### /);
    const entries = (text: string): string[] => text.split('\n').filter((line) => /^(- | {2}\S|### )/.test(line));
    expect(entries(after)).toEqual(entries(before));
  });

  test('is not released when there is nothing to say, or twice with a version', () => {
    writeFileSync(file, readFileSync(own, 'utf8'));
    release('98.0.0');
    expect(release('98.0.1')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('nothing under "Unreleased"'),
    });
    const again = readFileSync(file, 'utf8').replace('## Unreleased\n', '## Unreleased\n\n### Fixed\n\n- A fault.\n');
    writeFileSync(file, again);
    expect(release('98.0.0')).toMatchObject({ status: 1, stderr: expect.stringContaining('has a version 98.0.0') });
    expect(release('98.0.1').status).toBe(0);
  });
});
