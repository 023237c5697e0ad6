// Compares what the package exports with its reports in etc/, so that no public name changes unseen. With --update, the
// reports are written.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor';

const root = fileURLToPath(new URL('..', import.meta.url));
const isUpdate = process.argv.includes('--update');
const SUBPATHS = ['adapter', 'driver', 'emitter', 'opentelemetry'];
const ENTRIES = { index: 'index', ...Object.fromEntries(SUBPATHS.map((name) => [name, `${name}/index`])) };

if (!existsSync(join(root, 'dist/esm/index.d.ts'))) {
  console.error('There is no build: run "npm run build"');
  process.exit(1);
}
const changed = Object.entries(ENTRIES).filter(([name, entry]) => !isUnchanged(name, entry));
for (const [name] of changed) console.error(`etc/${name}.api.md is not what the package exports`);
if (changed.length > 0) {
  console.error(
    'If the change is meant, run "npm run build && npm run check:api -- --update", and say it in CHANGELOG.md.',
  );
  process.exit(1);
}
console.log(`${Object.keys(ENTRIES).length} API reports are ${isUpdate ? 'written' : 'as they should be'}`);

function isUnchanged(name, entry) {
  const config = ExtractorConfig.prepare({
    configObjectFullPath: join(root, 'api-extractor.json'),
    packageJsonFullPath: join(root, 'package.json'),
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: join(root, `dist/esm/${entry}.d.ts`),
      compiler: { tsconfigFilePath: join(root, 'tsconfig.build.json') },
      apiReport: {
        enabled: true,
        reportFileName: `${name}.api.md`,
        reportFolder: join(root, 'etc'),
        reportTempFolder: join(root, 'node_modules/.cache/api'),
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      newlineKind: 'lf',
      messages: {
        compilerMessageReporting: { default: { logLevel: 'error' } },
        // The doc comments are for readers of the code, in its own tags.
        extractorMessageReporting: { default: { logLevel: 'none' } },
        tsdocMessageReporting: { default: { logLevel: 'none' } },
      },
    },
  });
  const result = Extractor.invoke(config, {
    localBuild: isUpdate,
    showVerboseMessages: false,
    messageCallback: (message) => (message.handled = message.logLevel !== 'error'),
  });
  return isUpdate ? result.succeeded : result.succeeded && !result.apiReportChanged;
}
