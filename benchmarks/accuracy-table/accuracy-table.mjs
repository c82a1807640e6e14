// The accuracy after pruning by set, rate, method and seed, from the logs and summaries of the runs:
//
//   node benchmarks/accuracy-table/accuracy-table.mjs [FOLDER]     prints the tables of FOLDER (docs/results)
//   node benchmarks/accuracy-table/accuracy-table.mjs --write      writes them into docs/results/all-runs.md, the short table
//                                                                  into docs/results.md, and the picture
//                                                                  docs/images/accuracy-macs.png and .svg
//
// The README of the benchmarks says what FOLDER holds.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readFlags } from '../../scripts/script-flags.mjs';
import { overviewOf } from './overview.mjs';
import { withBlock } from './page.mjs';
import { pictureOf, pngOf } from './picture.mjs';
import { readSummaries } from './summaries.mjs';
import { tablesOf } from './tables.mjs';

const docs = new URL('../../docs/', import.meta.url);
const { values, positionals } = readFlags(
  { write: { type: 'boolean', default: false } },
  { most: 1, what: 'one folder at most' },
);
const [folder = fileURLToPath(new URL('results', docs))] = positionals;

try {
  const runs = readSummaries(folder);
  const tables = tablesOf(runs);
  console.log(tables);
  if (values.write) {
    writeBlock('results.md', overviewOf(runs));
    writeBlock('results/all-runs.md', tables);
    const svg = await pictureOf(runs);
    writeFileSync(new URL('images/accuracy-macs.svg', docs), svg);
    writeFileSync(new URL('images/accuracy-macs.png', docs), await pngOf(svg));
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

function writeBlock(name, block) {
  const page = new URL(name, docs);
  writeFileSync(page, withBlock(readFileSync(page, 'utf8'), block));
}
