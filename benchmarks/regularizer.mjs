// What RSST's regulariser costs per training step, told in two ways: steps with and without it in turn
// on one model (each pair gives a ratio, and the order within a pair alternates); and, within the steps
// that have it, its own time over that of the rest, which a busy machine disturbs less.
//
//   node benchmarks/regularizer.mjs [--arch mamba_small] [--batch 128] [--pairs 9] [--threads 2] [--json]
import {
  F,
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
import { doomedUnits, rsstHooks, unitsByNorm } from 'mamba-prune/pruning';
import { readFlags, whole } from '../scripts/script-flags.mjs';

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
const [images, labels] = [randn([batch, 3, 32, 32]), randint(0, 10, [batch])];

/** One step as the trainer does it: milliseconds in all, and in the regulariser. */
function step({ extraLosses = [], afterStep } = {}) {
  const context = { step: 50, totalSteps: 100, lr: 1e-5 };
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
  console.log(`${args.arch}, batch ${batch}, ${threads} threads`);
  const percent = (share) => `${(share * 100).toFixed(1)}%`;
  for (const { norm, apply, of, ratio, quartiles, ownShare, msWithout } of results) {
    const [low, high] = quartiles.map((value) => percent(value - 1));
    console.log(
      `${norm.padEnd(5)} ${apply.padEnd(8)} ${of.padEnd(6)}  with over without: ${percent(ratio - 1)} more ` +
        `(${low} to ${high}); its own time over the rest: ${percent(ownShare)} of ${msWithout.toFixed(0)} ms`,
    );
  }
}
