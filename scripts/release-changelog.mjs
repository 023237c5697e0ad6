// Gives the unreleased part of the changelog the version that `npm version` makes, and begins a new one:
//   node scripts/release-changelog.mjs 1.2.0 [CHANGELOG.md]
import { readFileSync, writeFileSync } from 'node:fs';
import { parser, Release } from 'keep-a-changelog';
import { format, resolveConfig } from 'prettier';

const [version, file = 'CHANGELOG.md'] = process.argv.slice(2);
try {
  const changelog = parser(readFileSync(file, 'utf8'));
  const unreleased = changelog.releases.find((release) => release.version === undefined);
  if (unreleased === undefined || unreleased.isEmpty()) {
    throw new Error(`${file} has nothing under "Unreleased": a release needs a line for each change that users notice`);
  }
  if (changelog.findRelease(version)) throw new Error(`${file} has a version ${version} already`);
  unreleased.setVersion(version);
  unreleased.setDate(new Date());
  changelog.addRelease(new Release());
  const options = { ...(await resolveConfig(file)), filepath: file };
  writeFileSync(file, await format(changelog.toString(), options));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
