// What pruning gains in time: mamba_small against itself with 70% of its SSM channels and MLP neurons
// removed, in turn in one process, on random weights (the time does not depend on their values).
// The reference for each is the floor of its matrix products alone.
//
//   node benchmarks/pruned.mjs [--arch mamba_small] [--rate 0.7] [--round-to 1] [--batches 1,64] [--threads 2] [--rounds 9]
import { F, manualSeed, noGrad, randn, scope, setNumThreads } from '@mamba-prune/libtorch';
import { benchmarkModels, createModel, pruneOneShot } from 'mamba-prune';
import { listOf, readFlags, share, whole } from '../scripts/script-flags.mjs';

const { values: args } = readFlags({
  arch: { type: 'string', default: 'mamba_small' },
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
    const rows = images.shape[0] * 64;
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

const { channels, imageSize } = dense.config;
const models = [
  { name: 'dense', module: dense, forward: (x) => dense.forward(x) },
  { name: 'pruned', module: pruned, forward: (x) => pruned.forward(x) },
  { name: 'dense, products alone', forward: productsOf(dense) },
  { name: 'pruned, products alone', forward: productsOf(pruned) },
];
const results = await benchmarkModels(models, {
  batches: args.batches.split(',').map(Number),
  inputShape: [channels, imageSize, imageSize],
  rounds: Number(args.rounds),
});
const total = (model) => model.macs().reduce((sum, { macs }) => sum + macs, 0);
console.log(
  `${args.arch}: ${dense.numParameters()} -> ${pruned.numParameters()} parameters, ` +
    `${(total(dense) / 1e6).toFixed(0)} -> ${(total(pruned) / 1e6).toFixed(0)} M MACs`,
);
for (const { model, batch, medianMs, speedup } of results) {
  const spread = `${speedup.q1.toFixed(2)} to ${speedup.q3.toFixed(2)}`;
  console.log(
    `batch ${String(batch).padStart(3)}  ${model.padEnd(24)} ${medianMs.toFixed(1).padStart(8)} ms  ${speedup.median.toFixed(2)}x (${spread})`,
  );
}
