// Says how many tests passed and failed in all, from the JSON files that jest has written:
//   node scripts/count-tests.mjs results.json more-results.json
import { existsSync, readFileSync } from 'node:fs';

let passed = 0;
let failed = 0;
for (const file of process.argv.slice(2)) {
  // A run that ended before it wrote its results has failed.
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const results = text === '' ? { numRuntimeErrorTestSuites: 1 } : JSON.parse(text);
  const { numPassedTests = 0, numFailedTests = 0, numRuntimeErrorTestSuites = 0 } = results;
  const notRun = (results.numPendingTests ?? 0) + (results.numTodoTests ?? 0);
  if (notRun > 0) console.log(`${notRun} tests were skipped, which counts as failed`);
  // A file that could not be run has failed, whatever tests it holds; and a test that was left out has not passed.
  failed += numFailedTests + numRuntimeErrorTestSuites + notRun;
  if (numPassedTests === 0 && numFailedTests + numRuntimeErrorTestSuites + notRun === 0) failed++;
  passed += numPassedTests;
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
