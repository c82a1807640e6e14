// Whether two built trees of the repository compute the same, bit for bit:
//
//     node scripts/compare-versions.mjs OLD NEW [--out FOLDER] [--only REGEXP] [--file 'CHECKPOINT FLAGS']...
//         [--renamed OLD=NEW]...
//
// The command lines of compare-versions/cases.mjs run in both trees, one after the other in a folder of the same path, on
// images that the script makes. Then their exit states, what they print (--json) and every file that they write are
// compared; times, versions and the names of folders aside. Every difference is printed; the exit status is 1 if there are
// any. --out keeps the results: those of a tree that are there already are used again. --file names a checkpoint of another
// program that both import, with the flags that say what its shapes do not, such as '/a/net.pth --arch resnet20'. --renamed
// names a word that the new version writes otherwise.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readFlags } from './script-flags.mjs';
import { casesFor } from './compare-versions/cases.mjs';
import { differencesOf } from './compare-versions/differences.mjs';
import { writeImages } from './compare-versions/images.mjs';

const pattern = {
  accepts(text) {
    try {
      new RegExp(text);
      return true;
    } catch {
      return false;
    }
  },
  expected: 'a regular expression',
};
const change = { accepts: (text) => /^[^=]+=[^=]+$/.test(text), expected: 'OLD=NEW' };
const { values, positionals } = readFlags(
  {
    out: { type: 'string' },
    only: { type: 'string', default: '', value: pattern },
    file: { type: 'string', multiple: true, default: [] },
    renamed: { type: 'string', multiple: true, default: [], value: change },
  },
  { least: 2, most: 2, what: 'two built trees of the repository, the old one first' },
);
const out = resolve(values.out ?? mkdtempSync(join(tmpdir(), 'compare-versions-')));
mkdirSync(out, { recursive: true });
const chosen = new RegExp(values.only);
const cases = casesFor(values.file).filter(({ name }) => chosen.test(name));

const sides = [];
for (const [side, tree] of [
  ['old', resolve(positionals[0])],
  ['new', resolve(positionals[1])],
]) {
  const folder = join(out, side);
  if (!existsSync(folder)) carryOut(tree, folder);
  sides.push(folder);
}
const found = differencesOf(...sides, values.renamed);
for (const line of found.lines) console.log(line);
console.log(
  `${cases.length} command lines, ${found.files} files compared, ${found.lines.length} kinds of differences (${out})`,
);
process.exitCode = found.lines.length === 0 ? 0 : 1;

/** Every command line in one tree; only a side that is whole gets its name. */
function carryOut(tree, folder) {
  const main = join(tree, 'packages', 'mamba-prune', 'dist', 'cli', 'main.js');
  if (!existsSync(main)) {
    console.error(
      `compare-versions: ${main} does not exist, expected a built tree (npm run build)`,
    );
    process.exit(2);
  }
  // The same path for both: runs hold the paths of the models that they begin with.
  const work = join(out, 'work');
  if (existsSync(work)) {
    console.error(
      `compare-versions: ${work} exists, expected nothing there. If it is of a comparison that was stopped, remove it.`,
    );
    process.exit(2);
  }
  mkdirSync(work);
  writeImages(join(work, 'images'));
  mkdirSync(join(work, 'printed'));
  const list = join(out, 'cases.json');
  writeFileSync(list, JSON.stringify(cases));
  const script = fileURLToPath(new URL('compare-versions/perform.mjs', import.meta.url));
  const env = {
    ...process.env,
    // The bits depend on the number.
    ...{ OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1', NO_COLOR: '1' },
    XDG_CACHE_HOME: join(work, 'cache'),
  };
  console.error(`${basename(folder)}: ${tree}`);
  execFileSync(process.execPath, [script, tree, list], { cwd: work, env, stdio: 'inherit' });
  renameSync(work, folder);
}
