// What RSST's regulariser costs per training step, told in two ways: steps with and without it in turn
// on one model (each pair gives a ratio, and the order within a pair alternates); and, within the steps
// that have it, its own time over that of the rest, which a busy machine disturbs less.
//
//   node benchmarks/regularizer.mjs [--arch mamba_small] [--batch 128] [--pairs 9] [--threads 2] [--json]
import {
  F,
  full,
  libtorchVersion,
  manualSeed,
  noGrad,
  optim,
  randint,
  randn,
  scope,
  setNumThreads,
} from '@mamba-prune/libtorch';
import { createModel } from 'mamba-prune';
import { percent } from 'mamba-prune/format';
import { doomedUnits, rsstHooks, unitsByNorm } from 'mamba-prune/pruning';
import { readFlags, whole } from '../scripts/script-flags.mjs';
import { counted, factsOf } from './facts.mjs';
import { printedTable } from './printed-table.mjs';

const { values: args } = readFlags({
  arch: { type: 'string', default: 'mamba_small' },
  batch: { type: 'string', default: '128', value: whole() },
  pairs: { type: 'string', default: '9', value: whole() },
  threads: { type: 'string', default: '2', value: whole() },
  json: { type: 'boolean', default: false },
});
const [batch, pairs, threads] = [args.batch, args.pairs, args.threads].map(Number);
setNumThreads(threads);
manualSeed(0);

const model = createModel(args.arch);
const parameters = model.parameters();
const groups = model.pruningGroups();
const optimizer = new optim.AdamW(parameters, { lr: 1e-5 });
const { channels, imageSize, numClasses } = model.config;
const images = randn([batch, channels, imageSize, imageSize]);
const labels = randint(0, numClasses, [batch]);
/** Of a step in the middle of a training. */
const numbers = {
  ...{ epoch: 5, step: 50, totalSteps: 100, stepsPerEpoch: 10, progress: 5, lr: 1e-5 },
};

/** One step as the trainer does it: milliseconds in all, and in the regulariser. */
function step({ extraLosses = [], afterStep } = {}) {
  const context = { ...numbers, scalar: (value) => full([], value(numbers)) };
  let own = 0;
  const timed = (body) => {
    const begin = performance.now();
    const result = body();
    own += performance.now() - begin;
    return result;
  };
  const begin = performance.now();
  scope(() => {
    optimizer.zeroGrad();
    let loss = F.crossEntropy(model.forward(images), labels);
    for (const term of extraLosses) loss = loss.add(timed(() => term.compute(context)));
    loss.backward();
    optim.clipGradNorm(parameters, 1);
    for (const term of extraLosses) timed(() => term.addGradient(context));
    optimizer.step();
    if (afterStep) noGrad(() => timed(() => afterStep(context)));
  });
  return { all: performance.now() - begin, own };
}

const rates = { ssm: 0.7, mlp: 0.7 };
const kept = unitsByNorm(model, groups, { norm: 'l1', rates, ranking: 'global' });
const units = doomedUnits(groups, kept);
const targets = Object.keys(rates);
const cases = [
  { norm: 'l1', apply: 'loss', of: 'all' },
  { norm: 'group', apply: 'loss', of: 'all' },
  { norm: 'l1', apply: 'proximal', of: 'doomed' },
  { norm: 'group', apply: 'proximal', of: 'doomed' },
].map((c) => {
  // A pull so weak that the weights stay what they are: zeros might be faster.
  const options = { schedule: 'x', strength: 1e-9, norm: c.norm, apply: c.apply, targets };
  const hooks = rsstHooks(model, groups, { ...options, ...(c.of === 'doomed' && { units }) });
  return { ...c, hooks, ratios: [], shares: [], without: [] };
});

const quantile = (list, q) => {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[Math.round(q * (sorted.length - 1))];
};

for (let i = 0; i < 2; i++) step();
for (const c of cases) step(c.hooks);
for (let pair = 0; pair < pairs; pair++) {
  for (const c of cases) {
    const order = pair % 2 === 0 ? [undefined, c.hooks] : [c.hooks, undefined];
    const [first, second] = order.map((hooks) => step(hooks));
    const [without, withIt] = order[0] ? [second, first] : [first, second];
    c.without.push(without.all);
    c.ratios.push(withIt.all / without.all);
    c.shares.push(withIt.own / (withIt.all - withIt.own));
  }
}

const results = cases.map(({ norm, apply, of, ratios, shares, without }) => ({
  norm,
  apply,
  of,
  ratio: quantile(ratios, 0.5),
  quartiles: [quantile(ratios, 0.25), quantile(ratios, 0.75)],
  ownShare: quantile(shares, 0.5),
  msWithout: quantile(without, 0.5),
}));
if (args.json) {
  const { arch } = args;
  console.log(JSON.stringify({ arch, batch, threads, libtorch: libtorchVersion(), results }));
} else {
  const columns = [
    {
      title: 'regulariser',
      cell: ({ norm, apply, of }) => `${norm}, ${apply}, ${of}`,
      left: true,
    },
    { title: 'step without it', cell: ({ msWithout }) => `${msWithout.toFixed(0)} ms` },
    { title: 'its own time over the rest', cell: ({ ownShare }) => percent(ownShare, 1) },
    {
      title: 'whole steps longer by (quartiles)',
      cell: ({ ratio, quartiles }) =>
        `${percent(ratio - 1, 1)} (${quartiles.map((value) => percent(value - 1, 1)).join(' to ')})`,
    },
  ];
  const more = [`libtorch ${libtorchVersion()}`, `${args.arch}, batch ${batch}`];
  more.push(`medians of ${counted(pairs, 'pair')} of steps`);
  console.log(`${factsOf({ threads, more })}.\n`);
  console.log(printedTable(columns, results));
}
