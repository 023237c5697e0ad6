// Says how many tests passed and failed, from the JSON that jest has written:
//   node scripts/count-tests.mjs results.json
import { readFileSync } from 'node:fs';

const text = readFileSync(process.argv[2], 'utf8');
const results = text === '' ? { numRuntimeErrorTestSuites: 1 } : JSON.parse(text);
const { numPassedTests = 0, numFailedTests = 0, numRuntimeErrorTestSuites = 0 } = results;
const notRun = (results.numPendingTests ?? 0) + (results.numTodoTests ?? 0);

// A file that could not be run has failed, whatever tests it holds; and a test that was left out has not passed.
const failed = numFailedTests + numRuntimeErrorTestSuites + notRun;
if (notRun > 0) console.log(`${notRun} tests were skipped, which counts as failed`);
console.log(`${numPassedTests} passed, ${failed} failed`);
process.exit(failed === 0 && numPassedTests > 0 ? 0 : 1);
