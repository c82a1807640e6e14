// Runs the tests on a GPU, one file after the other, since they must not share one: a line a file, and totals.
//
//   node test/gpu/run.mjs [--out FOLDER] [--limit SECONDS] [FILE...]
//
// FILEs: by default all `*.test.mjs` beside this script; a name without a folder is looked for there too, with or without its
// ending. --out: where what each file prints goes, as it goes; by default a new folder under the system's temporary one.
// --limit: seconds that a file may take, for all of them alike. Files that need more GPUs than there are are left out.
// A file has failed if a test of it failed, if it was not done within its limit, or if it ended otherwise than a test file does.
// One whose process does not end by itself is ended, and judged by its tests.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { aboveZero, readFlags, refuse } from '../../scripts/script-flags.mjs';
import { endRunning, runFile } from './runner/run-file.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const ending = '.test.mjs';

/** Seconds: kernels are compiled at first use, some seconds for each, and what takes longer than this hangs. */
const usualLimit = 120;
const needs = {
  [`distributed${ending}`]: { limit: 240 },
  [`models${ending}`]: { limit: 180 },
  [`sockets${ending}`]: { limit: 180, gpus: 2 },
  [`vim${ending}`]: { limit: 180 },
};

function settings() {
  const { values, positionals } = readFlags(
    {
      out: { type: 'string' },
      limit: { type: 'string', value: { ...aboveZero, expected: 'seconds above 0' } },
    },
    { most: Infinity },
  );
  const limit = values.limit === undefined ? undefined : Number(values.limit);
  const files = positionals.length > 0 ? positionals.map(found) : all();
  const out = values.out ?? mkdtempSync(join(tmpdir(), 'gpu-tests-'));
  mkdirSync(out, { recursive: true });
  return { files, limit, out: resolve(out) };
}

const all = () =>
  readdirSync(here)
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => join(here, name));

function found(name) {
  const places = [resolve(name), join(here, name), join(here, `${name}${ending}`)];
  const isThere = (path) => path.endsWith(ending) && existsSync(path);
  return (
    places.find(isThere) ??
    refuse(`got '${name}', expected a file that ends in ${ending}, or the name of one in ${here}.`)
  );
}

/** Asked for in a process of its own: whoever asks the driver keeps its threads and handlers. */
function countGpus() {
  const module = import.meta.resolve('@mamba-prune/libtorch');
  const script = `import { cudaDeviceCount } from '${module}'; console.log(cudaDeviceCount());`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  if (/^\d+$/.test(stdout.trim())) return Number(stdout);
  return refuse(`GPUs could not be counted:\n${stderr}`);
}

const seconds = (ms) => `${(ms / 1e3).toFixed(1)} s`;
const counted = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed, ${skipped} skipped`;

async function main() {
  const { files, limit, out } = settings();
  const gpus = countGpus();
  console.log(`GPUs: ${gpus}. Output of each file: ${out}`);
  const width = Math.max(...files.map((file) => basename(file, ending).length));
  const totals = { passed: 0, failed: 0, skipped: 0 };
  const bad = [];
  let count = 0;
  const started = performance.now();
  const conclude = () => {
    console.log(
      `${count} files: ${counted(totals)}; ${seconds(performance.now() - started)}` +
        (bad.length > 0 ? `. Files that failed: ${bad.join(', ')}` : ''),
    );
    return bad.length > 0 ? 1 : 0;
  };
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ]) {
    process.on(signal, () => {
      endRunning();
      conclude();
      process.exit(status);
    });
  }
  for (const file of files) {
    const name = basename(file, ending);
    const own = needs[basename(file)] ?? {};
    if ((own.gpus ?? 0) > gpus) {
      console.log(`${name.padEnd(width)}  left out: needs ${own.gpus} GPUs, found ${gpus}`);
      continue;
    }
    const result = await runFile(file, {
      limitMs: 1e3 * (limit ?? own.limit ?? usualLimit),
      log: join(out, `${name}.log`),
    });
    count++;
    for (const key of Object.keys(totals)) totals[key] += result[key];
    if (result.problems.length > 0) bad.push(name);
    console.log(
      `${name.padEnd(width)}  ${result.problems.length > 0 ? 'FAILED' : 'passed'}  ${counted(result)}  ${seconds(result.ms)}`,
    );
    for (const line of [...result.problems, ...result.notes]) console.log(`  ${line}`);
  }
  return conclude();
}

// Node's own runner takes every script of a folder for a test, and this one would start it all again.
if (process.env.NODE_TEST_CONTEXT === undefined) process.exit(await main());
