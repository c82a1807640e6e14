// Command lines in one built tree, in this process: node perform.mjs TREE CASES.json, in the folder to work in.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [, , tree, file] = process.argv;
const cli = join(tree, 'packages', 'mamba-prune', 'dist', 'cli');
const { run } = await import(pathToFileURL(join(cli, 'program.js')).href);
const cases = JSON.parse(readFileSync(file, 'utf8'));

for (const [i, { name, argv }] of cases.entries()) {
  const [out, err] = [[], []];
  const stream = (texts) => ({
    isTTY: false,
    columns: 80,
    write: (text) => {
      texts.push(text);
    },
  });
  // From which a training with several workers starts the others.
  process.argv = [process.execPath, join(cli, 'main.js'), ...argv];
  const status = await run(argv, { stdout: stream(out), stderr: stream(err), env: process.env });
  const printed = { argv, status, stdout: out.join(''), stderr: withoutTimes(err.join('')) };
  writeFileSync(join('printed', `${name}.json`), JSON.stringify(printed));
  console.error(`${i + 1}/${cases.length} ${name}: ${status}`);
}

/** Lines of progress tell how long something took. */
function withoutTimes(text) {
  const lines = text.split('\n').filter((line) => !/\d:\d\d\b|\d m?s\b|images\/s/.test(line));
  return lines.join('\n');
}
