// Whether RSST with `--reg-units doomed` drives the units that are to go to zero, on real images: the
// quickstart's model on Fashion-MNIST. Trains the dense model if there is none (a minute or two), then
// prints, epoch by epoch, what share of all units' norm the doomed units have, and what the cut costs.
//
//   node benchmarks/doomed.mjs [--out runs/doomed-units] [--norm group|l1] [--apply proximal|loss]
//                              [--strength 1000] [--lr-schedule cosine|constant] [--threads 2]
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setNumThreads } from '@mamba-prune/libtorch';
import { RunFolder, loadModel, openDataset, pruneModel, trainModel } from 'mamba-prune';
import {
  chooseUnits,
  doomedUnits,
  readUnitNorms,
  regNorms,
  rsstDefaults,
  rsstHooks,
} from 'mamba-prune/pruning';
import { evaluate } from 'mamba-prune/training';
import { percent } from 'mamba-prune/format';
import { BatchLoader } from 'mamba-prune/data';
import { aboveZero, oneOf, readFlags, whole } from '../scripts/script-flags.mjs';
import { trained } from './dense-models.mjs';

const { values: args } = readFlags({
  out: { type: 'string', default: 'runs/doomed-units' },
  norm: { type: 'string', default: 'group', value: oneOf(...regNorms) },
  apply: { type: 'string', value: oneOf('proximal', 'loss') },
  strength: { type: 'string', value: aboveZero },
  'lr-schedule': { type: 'string', default: 'cosine', value: oneOf('cosine', 'constant') },
  threads: { type: 'string', default: '2', value: whole() },
});
setNumThreads(Number(args.threads));

const rsst = join(args.out, 'rsst');
const description = { command: 'benchmark', args: ['doomed'], seed: 0 };
/** What this script wrote before makes room for a new run; another's does not. */
const overwrite = isOwn(rsst);
RunFolder.checkNew(rsst, { overwrite });

const { model } = loadModel(await trained('mamba', { seed: 0, out: join(args.out, 'dense') }));
const dataset = await openDataset('fashion-mnist');
const test = new BatchLoader(dataset.test, dataset.info, { batchSize: 500 });
const accuracy = async (of) => (await evaluate(of, test, dataset.info)).accuracy;

const rates = { ssm: 0.7, mlp: 0.7 };
const kept = await chooseUnits(model, { rates, importance: 'l1', ranking: 'global' });
const groups = model.pruningGroups();
const { apply, strength } = rsstDefaults(true, args.norm, args.apply);
const options = {
  schedule: 'exp_custom_exponents',
  strength: args.strength === undefined ? strength : Number(args.strength),
  norm: args.norm,
  apply,
  targets: Object.keys(rates),
  units: doomedUnits(groups, kept),
};
console.log(`dense: ${percent(await accuracy(model))}`);
console.log(`${options.norm} norm, ${apply}, strength ${options.strength}`);
console.log(`one-shot cut of the dense model: ${percent(await accuracy(pruneModel(model, kept)))}`);

const hooks = {
  ...rsstHooks(model, groups, options),
  onEpoch: (line) => {
    const shares = Object.entries(readUnitNorms(line).kinds).map(
      ([kind, { doomed, doomedShare, kept: stay }]) =>
        `${kind} ${percent(doomedShare)} (median ${doomed.quantiles[3]}, kept ${stay.quantiles[3]})`,
    );
    console.log(`epoch ${line.epoch}: doomed units' share of the norm: ${shares.join(', ')}`);
  },
};
const run = RunFolder.create(rsst, description, { overwrite });
const { valAccuracy, seconds } = await trainModel(
  model,
  dataset,
  {
    epochs: 2,
    maxTrainImages: 20_000,
    batchSize: 64,
    lr: 1e-3,
    schedule: args['lr-schedule'],
    warmupEpochs: 0.1,
    labelSmoothing: 0.05,
    clipGradNorm: 1,
    evalEvery: 2,
  },
  run,
  hooks,
);
run.release();
console.log(`before the cut: ${percent(valAccuracy)}  (${seconds.toFixed(0)} s)`);
console.log(`after the cut:  ${percent(await accuracy(pruneModel(model, kept)))}`);

function isOwn(folder) {
  if (!RunFolder.isRun(folder)) return false;
  const { command } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  return command === description.command;
}
