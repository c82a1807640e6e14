// What compensation leaves of the accuracy right after a cut, before any training: a vision Mamba (the quickstart's), one of
// more blocks, a small ViT and a small ResNet on Fashion-MNIST. Trains the dense models that are not there (some minutes
// each), then cuts every one by each importance at each rate, and prints the accuracy without compensation and with each
// target. Batch normalisation is measured again after a cut, with and without compensation alike. The defaults of `prune
// --compensate` come from here.
//
//   node benchmarks/compensation.mjs [--out runs/compensation] [--models mamba,deep,vit,resnet] [--seed 0]
//                                    [--rates 0.3,0.5,0.7] [--importances l1,taylor] [--targets stream,asymmetric,fold]
//                                    [--judges default,error,divergence] [--calibration 1024] [--images 5000]
//                                    [--bn-batches 8] [--threads 2] [--json]
//
// A model of one's own: --model FILE --dataset NAME --data DIR in place of --models.
import { join } from 'node:path';
import { setNumThreads } from '@mamba-prune/libtorch';
import {
  RunFolder,
  calibrationOf,
  evaluateModel,
  loadModel,
  openDataset,
  trainRun,
} from 'mamba-prune';
import { chooseUnits, compensate, defaultKinds, pruneModel } from 'mamba-prune/pruning';
import { reestimateBatchNorm } from 'mamba-prune/training';
import { BatchLoader } from 'mamba-prune/data';
import { quickstartPreset } from 'mamba-prune/workflows';
import { listOf, oneOf, readFlags, share, whole } from '../scripts/script-flags.mjs';

const { values: args } = readFlags({
  out: { type: 'string', default: 'runs/compensation' },
  models: {
    type: 'string',
    default: 'mamba,deep,vit,resnet',
    value: listOf(oneOf('mamba', 'deep', 'vit', 'resnet')),
  },
  model: { type: 'string' },
  dataset: { type: 'string', default: 'fashion-mnist' },
  data: { type: 'string' },
  seed: { type: 'string', default: '0', value: whole(0) },
  rates: { type: 'string', default: '0.3,0.5,0.7', value: listOf(share) },
  importances: { type: 'string', default: 'l1,taylor' },
  targets: { type: 'string', default: 'stream,asymmetric,fold' },
  judges: { type: 'string', default: 'default' },
  calibration: { type: 'string', default: '1024', value: whole() },
  images: { type: 'string', default: '5000', value: whole() },
  'bn-batches': { type: 'string', default: '8', value: whole(0) },
  threads: { type: 'string', default: '2', value: whole() },
  json: { type: 'boolean', default: false },
});
setNumThreads(Number(args.threads));
const list = (text) => text.split(',');
const seed = Number(args.seed);

const { train } = quickstartPreset;
const smaller = { ...train, recipe: { ...train.recipe, maxTrainImages: 20_000 } };
const recipes = {
  mamba: train,
  deep: { ...smaller, model: { depth: 12 } },
  vit: {
    ...smaller,
    arch: 'vit_tiny',
    model: { patchSize: 7, dModel: 96, depth: 4, heads: 6 },
  },
  resnet: { ...smaller, arch: 'resnet20', model: { baseWidth: 16, blocks: [2, 2, 2] } },
};

const dataset = await openDataset(args.dataset, args.data === undefined ? {} : { dir: args.data });
const scoring = calibrationOf(dataset, { batches: 8, seed, device: 'cpu' });
const batches = Math.ceil(Number(args.calibration) / 64);
const calibration = calibrationOf(dataset, {
  ...{ batches, seed, device: 'cpu', maxImages: Number(args.calibration) },
});
const ways = list(args.targets).flatMap((target) =>
  list(args.judges).map((judge) => ({ target, ...(judge !== 'default' && { judge }) })),
);
const nameOf = ({ target, judge }) => (judge === undefined ? target : `${target}, ${judge}`);

const rows = [];
for (const name of args.model === undefined ? list(args.models) : [args.model]) {
  const { model, norms } = await dense(name);
  const before = await accuracy(model, 0);
  for (const rate of list(args.rates).map(Number)) {
    for (const importance of list(args.importances)) {
      const kinds = defaultKinds(model).map((kind) => [kind, rate]);
      const cutting = { rates: Object.fromEntries(kinds), importance, ranking: 'global' };
      const kept = await chooseUnits(model, cutting, scoring);
      const row = { model: name, rate, importance, before };
      row.none = await after(model, kept, norms);
      for (const way of ways) row[nameOf(way)] = await after(model, kept, norms, way);
      rows.push(row);
      console.error(JSON.stringify(row));
    }
  }
  model.dispose();
}
if (args.json) console.log(JSON.stringify(rows, null, 1));
else print();

/** Accuracy after a cut, compensated if there is a way. */
async function after(model, kept, norms, way) {
  const cut = pruneModel(model, kept);
  try {
    if (way) await compensate(model, cut, kept, calibration, way);
    return await accuracy(cut, norms ? Number(args['bn-batches']) : 0);
  } finally {
    cut.dispose();
  }
}

async function dense(name) {
  const file = args.model ?? (await trained(name));
  const { model } = loadModel(file);
  const buffers = [...model.namedBuffers().keys()];
  return { model, norms: buffers.some((buffer) => buffer.endsWith('running_mean')) };
}

/** Nothing is done where it has ended, and the rest of it where it was stopped. */
async function trained(name) {
  const out = join(args.out, `${name}-${seed}`);
  const resume = RunFolder.isRun(out);
  if (!resume) console.error(`${name}: training ...`);
  const settings = { ...recipes[name], recipe: { ...recipes[name].recipe, seed } };
  (await trainRun(settings, { out, resume })).model.dispose();
  return join(out, 'model.safetensors');
}

async function accuracy(model, bnBatches) {
  if (bnBatches > 0) {
    const source = new BatchLoader(dataset.train, dataset.info, {
      ...{ batchSize: 128, shuffle: true, seed },
    });
    await reestimateBatchNorm(model, source, dataset.info, { batches: bnBatches });
  }
  const result = await evaluateModel(model, dataset, { images: Number(args.images) });
  return result.accuracy;
}

function print() {
  const columns = ['none', ...ways.map(nameOf)];
  const percent = (share) => (100 * share).toFixed(1);
  console.log(`| model | not cut | cut | by | ${columns.join(' | ')} |`);
  console.log(`| --- | ---: | ---: | --- |${columns.map(() => ' ---: |').join('')}`);
  for (const row of rows) {
    const values = columns.map((column) => percent(row[column])).join(' | ');
    const what = `${row.model} | ${percent(row.before)} | ${100 * row.rate}%`;
    console.log(`| ${what} | ${row.importance} | ${values} |`);
  }
}
