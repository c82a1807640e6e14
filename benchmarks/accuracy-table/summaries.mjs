// Reads what a campaign left: FOLDER/SET/RATE/METHOD-seed-N.summary.json, each beside its log METHOD-seed-N.jsonl.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { basename, dirname, join, relative, sep } from 'node:path';
import { compareMethods } from 'mamba-prune/internal';

const ending = '.summary.json';
/** Fewer than five of 10,000 images: a log's evaluation may have been in another precision than the last one. */
const tolerance = 5e-4;

const isShare = (value) => typeof value === 'number' && value >= 0 && value <= 1;
const isCount = (value) => Number.isSafeInteger(value) && value > 0;

/** What a summary must have, and in words what each is. */
const fields = {
  set: [(value) => typeof value === 'string' && value !== '', 'the name of a data set'],
  rate: [(value) => typeof value === 'number' && value >= 0 && value < 100, 'a share or a percentage below 100'], // prettier-ignore
  seed: [(value) => Number.isSafeInteger(value) && value >= 0, 'a whole number'],
  denseAccuracy: [isShare, 'a share of 1'],
  afterCut: [(value) => value === null || isShare(value), 'a share of 1, or null'],
  accuracy: [isShare, 'a share of 1'],
  params: [isCount, 'a whole number above 0'],
  macs: [isCount, 'a whole number above 0'],
  denseParams: [isCount, 'a whole number above 0'],
  denseMacs: [isCount, 'a whole number above 0'],
  learningRate: [(value) => typeof value === 'number' && value > 0, 'a number above 0'],
  epochs: [isCount, 'a whole number above 0'],
  // Several dense models of one set have a name each: that of its log. Runs are pairs if they began with one model.
  dense: [(value) => value === undefined || (typeof value === 'string' && value !== ''), 'left out, or the name of the dense model'], // prettier-ignore
  // Where the images are not those that the name of the set stands for.
  images: [(value) => value === undefined || typeof value === 'string', 'left out, or words such as "JPEG copy"'], // prettier-ignore
};

/**
 * @param {string} folder
 * @returns the runs of the table, rate as a share; a dense model has the rate 0. Logs without a summary are none of them:
 *   tunings and variants lie in the same folders.
 * @throws Error for a file that is damaged, in another place than its content says, or at odds with its log
 */
export function readSummaries(folder) {
  if (!existsSync(folder)) {
    throw new Error(
      `accuracy-table: ${folder} does not exist, expected a folder of results such as docs/results.`,
    );
  }
  const runs = readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => readSummary(folder, name));
  checkCells(runs);
  return runs;
}

function readSummary(folder, name) {
  const path = join(folder, name);
  const content = parsed(path);
  const summary = {
    ...content,
    method: content.method === 'one-shot' ? 'oneshot' : content.method,
  };
  if (!compareMethods.includes(summary.method)) {
    throw new Error(
      `accuracy-table: ${path} has the method ${JSON.stringify(content.method)}, expected one of ${compareMethods.join(', ')}.`,
    );
  }
  for (const [field, [isRight, what]] of Object.entries(fields)) {
    if (!isRight(summary[field])) {
      throw new Error(
        `accuracy-table: ${path} has ${field} ${JSON.stringify(summary[field])}, expected ${what}.`,
      );
    }
  }
  const isDense = summary.method === 'dense';
  const rate = isDense ? 0 : summary.rate < 1 ? summary.rate : summary.rate / 100;
  const run = {
    ...{ ...summary, rate, parameters: summary.params },
    run: relative(folder, path).slice(0, -ending.length),
  };
  checkPlace(path, folder, run, content.method);
  checkLog(path.slice(0, -ending.length), run);
  return run;
}

function parsed(path) {
  try {
    const content = JSON.parse(readFileSync(path, 'utf8'));
    if (typeof content === 'object' && content !== null) return content;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new Error(`accuracy-table: ${path} is no JSON object, expected the summary of a run.`);
}

/** A copy in the wrong folder would be counted as another run. */
function checkPlace(path, folder, { set, rate, method, seed }, written) {
  const [inSet] = relative(folder, path).split(sep);
  const names = [method, written].map((name) => `${name}-seed-${seed}${ending}`);
  const expected = `${set}/${method === 'dense' ? 'RATE' : Math.round(100 * rate)}/${names[0]}`;
  const isRatePlace =
    method === 'dense' || basename(dirname(path)) === String(Math.round(100 * rate));
  if (inSet === set && names.includes(basename(path)) && isRatePlace) return;
  throw new Error(
    `accuracy-table: ${path} is of ${set}, ${method}, ${Math.round(100 * rate)}%, seed ${seed}, ` +
      `expected it to lie at ${expected}. Move it, or mend what it says.`,
  );
}

/** The accuracy of a summary is that of the last evaluation of its log. */
function checkLog(stem, { accuracy }) {
  const log = `${stem}.jsonl`;
  if (!existsSync(log)) {
    throw new Error(
      `accuracy-table: ${stem}${ending} has no log, expected ${log}. Copy metrics.jsonl of the run there.`,
    );
  }
  const evaluated = readFileSync(log, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
    .findLast(({ valAccuracy }) => typeof valAccuracy === 'number');
  const found = [evaluated?.valAccuracy, evaluated?.emaAccuracy].filter(
    (value) => typeof value === 'number',
  );
  if (found.some((value) => Math.abs(value - accuracy) <= tolerance)) return;
  throw new Error(
    `accuracy-table: ${stem}${ending} has the accuracy ${accuracy}, but the last evaluation in ${log} is ` +
      `${found.length === 0 ? 'missing' : found.join(' or ')}. One of the two is of another run.`,
  );
}

/**
 * Seeds of one method at one rate are repetitions, and methods at one rate are compared: what else differs would hide in a mean
 * or a difference.
 */
function checkCells(runs) {
  const twin = firstPair(runs, cellKey, (a, b) => a.seed === b.seed);
  if (twin) {
    const [a, b] = twin;
    throw new Error(`accuracy-table: ${a.run} and ${b.run} are of the same seed, expected one.`);
  }
  for (const field of ['learningRate', 'epochs', 'fillback']) {
    checkEqual(runs, field, cellKey, 'all seeds of a method at one rate');
  }
  checkEqual(runs, 'images', ({ set, rate }) => `${set} ${rate}`, 'all runs at one rate');
}

function checkEqual(runs, field, keyOf, where) {
  const pair = firstPair(runs, keyOf, (a, b) => a[field] !== b[field]);
  if (!pair) return;
  const [a, b] = pair;
  throw new Error(
    `accuracy-table: ${a.run} has ${field} ${a[field]}, and ${b.run} ${b[field]}, expected the same for ${where}.`,
  );
}

/** Of two runs with one key. */
function firstPair(runs, keyOf, isWanted) {
  const groups = new Map();
  for (const run of runs) {
    const earlier = groups.get(keyOf(run)) ?? [];
    const other = earlier.find((one) => isWanted(one, run));
    if (other) return [other, run];
    groups.set(keyOf(run), [...earlier, run]);
  }
  return undefined;
}

const cellKey = ({ set, rate, method }) => `${set} ${rate} ${method}`;
