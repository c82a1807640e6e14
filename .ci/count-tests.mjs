// Counts what vitest's JSON report holds: `node count-tests.mjs REPORT FAILURES SUITE` prints "passed failed", and
// appends to the file FAILURES the name of each test that failed, and of the suite, with the beginning of its message.
import { appendFileSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

const [report, failures, suite] = process.argv.slice(2);
const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));

const isFailed = ({ status }) => status === 'failed';
// A file that does not load has failed, though none of its tests ran.
const broken = testResults.filter(
  (file) => isFailed(file) && !file.assertionResults.some(isFailed),
);

function note(file, test, message) {
  const lines = stripVTControlCharacters(message)
    .split('\n')
    .filter((line) => !line.includes('/node_modules/'))
    .slice(0, 12);
  const name = [suite, relative(process.cwd(), file.name), test].filter(Boolean).join(' > ');
  appendFileSync(failures, [`- ${name}`, ...lines.map((line) => `    ${line}`), ''].join('\n'));
}

for (const file of testResults) {
  for (const test of file.assertionResults.filter(isFailed)) {
    note(file, test.fullName, test.failureMessages.join('\n'));
  }
}
for (const file of broken) note(file, '', file.message);

console.log(numPassedTests, numFailedTests + broken.length);
