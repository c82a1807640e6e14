// What rates for single groups gain over one ranking of all units, at the same multiply-accumulates: the accuracy on the
// test images right after the cut and after a short training, the same for all. Rates are chosen on held-out training
// images only. A run that was stopped goes on: measurements and finished runs in --out are kept.
//
//   node benchmarks/sensitivity.mjs MODEL.safetensors --dataset fashion-mnist [--data DIR] --target 0.3x
//        [--out runs/sensitivity] [--images 2000] [--rates 0.3,0.5,0.7,0.9] [--search greedy,evolutionary] [--minutes 10]
//        [--importance NAME] [--bn-batches 0] [--epochs 1] [--train-images 20000] [--test-images 10000] [--seed 0] [--threads 2]
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { setNumThreads } from '@mamba-prune/libtorch';
import { RunFolder, pruneRun } from 'mamba-prune';
import { percent } from 'mamba-prune/format';
import { readPruningRecord, searchMethods, sensitivityRun } from 'mamba-prune/workflows';
import {
  aboveZero,
  listOf,
  numbersOf,
  oneOf,
  readFlags,
  share,
  whole,
  wordsOf,
} from '../scripts/script-flags.mjs';
import { counted } from './facts.mjs';
import { printedTable } from './printed-table.mjs';

const { values: args, positionals } = readFlags(
  {
    dataset: { type: 'string', default: 'fashion-mnist' },
    data: { type: 'string' },
    target: { type: 'string', default: '0.3x' },
    out: { type: 'string', default: 'runs/sensitivity' },
    images: { type: 'string', default: '2000', value: whole() },
    rates: { type: 'string', default: '0.3,0.5,0.7,0.9', value: listOf(share) },
    search: {
      type: 'string',
      default: 'greedy,evolutionary',
      value: listOf(oneOf(...searchMethods)),
    },
    minutes: { type: 'string', default: '10', value: aboveZero },
    importance: { type: 'string' },
    'bn-batches': { type: 'string', default: '0', value: whole(0) },
    epochs: { type: 'string', default: '1', value: whole() },
    'train-images': { type: 'string', default: '20000', value: whole() },
    'test-images': { type: 'string', default: '10000', value: whole() },
    seed: { type: 'string', default: '0', value: whole(0) },
    threads: { type: 'string', default: '2', value: whole() },
  },
  { least: 1, most: 1, what: 'the file of a model' },
);
const [model] = positionals;
setNumThreads(Number(args.threads));
const seed = Number(args.seed);
const images = { dataset: args.dataset, ...(args.data && { data: args.data }) };

const found = new Map();
let measured;
let earlier;
for (const method of wordsOf(args.search)) {
  const out = join(args.out, `${method}.json`);
  // Every search begins from the same measurement.
  if (earlier && !existsSync(out)) copyFileSync(earlier, out);
  earlier = out;
  const end = performance.now() + Number(args.minutes) * 60_000;
  const { file } = await sensitivityRun(
    {
      model,
      ...images,
      images: Number(args.images),
      ...(args.importance && { importance: args.importance }),
      rates: numbersOf(args.rates),
      seed,
      bnBatches: Number(args['bn-batches']),
      search: { method, target: { metric: 'macs', amount: args.target } },
    },
    { out, resume: existsSync(out), isOver: () => performance.now() >= end },
  );
  if (file.search.best === undefined)
    throw new Error(
      `the search '${method}' came to no rates within ${args.minutes} minutes. The same command goes on, and --minutes gives it more.`,
    );
  measured = file;
  for (const candidate of [
    ...file.search.candidates,
    { ...file.search.best, name: `best of ${method}` },
  ]) {
    const isKnown = [...found.values()].some(
      ({ rates }) => JSON.stringify(rates) === JSON.stringify(candidate.rates),
    );
    if (!isKnown) found.set(candidate.name, candidate);
  }
}

const { kinds, dense } = measured;
const rows = [];
for (const [name, { rates: rateOf, loss, macs }] of found) {
  const out = join(args.out, name.replaceAll(' ', '-'));
  if (!isFinished(out)) {
    const { model: pruned } = await pruneRun(
      {
        model,
        ...images,
        method: 'oneshot',
        // Every group has a rate of its own.
        rates: Object.fromEntries(kinds.map((kind) => [kind, 0])),
        rateOf,
        importance: measured.importance,
        score: measured.score,
        scoreBatches: measured.scoreBatches,
        ranking: 'global',
        normalize: 'mean',
        roundTo: 1,
        maxRate: 1,
        bnBatches: Number(args['bn-batches']),
        recipe: {
          epochs: Number(args.epochs),
          batchSize: 64,
          lr: 1e-3,
          warmupEpochs: Number(args.epochs) / 10,
          labelSmoothing: 0.05,
          clipGradNorm: 1,
          augment: 'none',
          maxTrainImages: Number(args['train-images']),
          maxTestImages: Number(args['test-images']),
          seed,
        },
      },
      { out, overwrite: true },
    );
    pruned.dispose();
  }
  const { accuracy, parameters } = readPruningRecord(out);
  rows.push({ name, loss, macs, parameters: parameters.after, ...accuracy });
  console.error(`${name}: done`);
}

console.log(
  `${model}: ${args.target} of ${count(dense.macs)} MACs; loss on ${args.images} held-out training images (dense ` +
    `${dense.loss.toFixed(4)}), accuracy on ${args['test-images']} test images (dense ${percent(rows[0].before)}), ` +
    `${counted(args.epochs, 'epoch')} on ${args['train-images']} images after the cut, seed ${seed}.\n`,
);
const columns = [
  { title: 'rates', cell: ({ name }) => name, left: true },
  { title: 'MACs', cell: ({ macs }) => count(macs) },
  { title: 'parameters', cell: ({ parameters }) => count(parameters) },
  { title: 'held-out loss', cell: ({ loss }) => loss.toFixed(4) },
  { title: 'after the cut', cell: ({ afterCut }) => percent(afterCut) },
  { title: 'after training', cell: ({ after }) => percent(after) },
];
console.log(printedTable(columns, rows));

function isFinished(out) {
  return RunFolder.isRun(out) && readPruningRecord(out)?.rounds.at(-1)?.finished === true;
}

function count(value) {
  return value >= 1e6 ? `${(value / 1e6).toFixed(2)} M` : `${(value / 1e3).toFixed(1)} K`;
}
