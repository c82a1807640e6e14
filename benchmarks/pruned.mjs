// What pruning gains in time: a Mamba against itself with 70% of its SSM channels and MLP neurons
// removed, in turn in one process, on random weights (the time does not depend on their values).
// The reference for each is the floor of its matrix products alone.
//
//   node benchmarks/pruned.mjs [--arch mamba_small] [--rate 0.7] [--round-to 1] [--batches 1,64] [--threads 2] [--rounds 9]
import {
  F,
  libtorchVersion,
  manualSeed,
  noGrad,
  randn,
  scope,
  setNumThreads,
} from '@mamba-prune/libtorch';
import { benchmarkModels, createModel, pruneOneShot } from 'mamba-prune';
import { listOf, numbersOf, readFlags, share, whole } from '../scripts/script-flags.mjs';
import { inMs } from './bench/table.mjs';
import { counted, factsOf } from './facts.mjs';
import { printedTable } from './printed-table.mjs';

/** Of others the matrices, and how many rows are multiplied by them, would have to be told apart otherwise. */
const mamba = {
  accepts: (text) => text.startsWith('mamba_'),
  expected: 'a Mamba, such as mamba_small',
};
const { values: args } = readFlags({
  arch: { type: 'string', default: 'mamba_small', value: mamba },
  rate: { type: 'string', default: '0.7', value: share },
  'round-to': { type: 'string', default: '1', value: whole() },
  batches: { type: 'string', default: '1,64', value: listOf(whole()) },
  threads: { type: 'string', default: '2', value: whole() },
  rounds: { type: 'string', default: '9', value: whole() },
});

setNumThreads(Number(args.threads));
manualSeed(0);
const rate = Number(args.rate);
const dense = createModel(args.arch);
const { model: pruned } = await pruneOneShot(dense, {
  rates: { ssm: rate, mlp: rate },
  importance: 'l2',
  ranking: 'layer',
  roundTo: Number(args['round-to']),
});

const { channels, imageSize, patchSize } = dense.config;
const patches = (imageSize / patchSize) ** 2;

/** The matrix products of one forward pass, alone: no way of writing the model goes below them. */
function productsOf(model) {
  const weights = [...model.namedParameters()]
    .filter(
      ([name, { shape }]) =>
        shape.length === 2 && name.startsWith('blocks') && !name.endsWith('A_log'),
    )
    .map(([, weight]) => weight);
  const inputs = new Map();
  return (images) => {
    const rows = images.shape[0] * patches;
    noGrad(() => {
      for (const weight of weights) {
        const key = `${rows}x${weight.shape[1]}`;
        if (!inputs.has(key)) inputs.set(key, randn([rows, weight.shape[1]]).keep());
        scope(() => void F.linear(inputs.get(key), weight));
      }
    });
    return images;
  };
}

const models = [
  { name: 'dense', module: dense, forward: (x) => dense.forward(x) },
  { name: 'pruned', module: pruned, forward: (x) => pruned.forward(x) },
  { name: 'dense, products alone', forward: productsOf(dense) },
  { name: 'pruned, products alone', forward: productsOf(pruned) },
];
const results = await benchmarkModels(models, {
  batches: numbersOf(args.batches),
  inputShape: [channels, imageSize, imageSize],
  rounds: Number(args.rounds),
});
const macs = (model) => model.macs().reduce((sum, each) => sum + each.macs, 0);
const change = (of, digits) =>
  [dense, pruned].map((model) => (of(model) / 1e6).toFixed(digits)).join(' -> ');
const more = [`libtorch ${libtorchVersion()}`, counted(args.rounds, 'round')];
console.log(`${factsOf({ threads: args.threads, more })}.`);
console.log(
  `${args.arch}: ${change((model) => model.numParameters(), 2)} M parameters, ${change(macs, 0)} M MACs.\n`,
);
const columns = [
  { title: 'what', cell: ({ model, batch }) => `${model}, batch ${batch}`, left: true },
  { title: 'time', cell: ({ medianMs }) => inMs(medianMs) },
  {
    title: 'times as fast as dense (quartiles)',
    cell: ({ speedup: { median, q1, q3 } }) =>
      `${median.toFixed(2)}x (${q1.toFixed(2)} to ${q3.toFixed(2)})`,
  },
];
console.log(printedTable(columns, results));
