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
import { calibrationOf, evaluateModel, loadModel, openDataset } from 'mamba-prune';
import {
  chooseUnits,
  compensate,
  compensationJudges,
  compensationTargetNames,
  defaultKinds,
  importanceNames,
  pruneModel,
} from 'mamba-prune/pruning';
import {
  listOf,
  numbersOf,
  oneOf,
  readFlags,
  refuse,
  share,
  whole,
  wordsOf,
} from '../scripts/script-flags.mjs';
import { denseModels, hasBatchNorms, measureNormsAgain, trained } from './dense-models.mjs';
import { printedTable } from './printed-table.mjs';

const { values: args } = readFlags({
  out: { type: 'string', default: 'runs/compensation' },
  models: {
    type: 'string',
    default: 'mamba,deep,vit,resnet',
    value: listOf(oneOf(...Object.keys(denseModels))),
  },
  model: { type: 'string' },
  dataset: { type: 'string' },
  data: { type: 'string' },
  seed: { type: 'string', default: '0', value: whole(0) },
  rates: { type: 'string', default: '0.3,0.5,0.7', value: listOf(share) },
  importances: { type: 'string', default: 'l1,taylor', value: listOf(oneOf(...importanceNames())) },
  targets: {
    type: 'string',
    default: 'stream,asymmetric,fold',
    value: listOf(oneOf(...compensationTargetNames)),
  },
  judges: {
    type: 'string',
    default: 'default',
    value: listOf(oneOf('default', ...compensationJudges)),
  },
  calibration: { type: 'string', default: '1024', value: whole() },
  images: { type: 'string', default: '5000', value: whole() },
  'bn-batches': { type: 'string', default: '8', value: whole(0) },
  threads: { type: 'string', default: '2', value: whole() },
  json: { type: 'boolean', default: false },
});
if (args.model === undefined && args.dataset !== undefined)
  refuse('--dataset goes with --model: those of --models are of Fashion-MNIST');
setNumThreads(Number(args.threads));
const seed = Number(args.seed);

const name = args.dataset ?? 'fashion-mnist';
const dataset = await openDataset(name, args.data === undefined ? {} : { dir: args.data });
const scoring = calibrationOf(dataset, { batches: 8, seed, device: 'cpu' });
const batches = Math.ceil(Number(args.calibration) / 64);
const calibration = calibrationOf(dataset, {
  ...{ batches, seed, device: 'cpu', maxImages: Number(args.calibration) },
});
const ways = wordsOf(args.targets).flatMap((target) =>
  wordsOf(args.judges).map((judge) => ({ target, ...(judge !== 'default' && { judge }) })),
);
const nameOf = ({ target, judge }) => (judge === undefined ? target : `${target}, ${judge}`);

const rows = [];
for (const name of args.model === undefined ? wordsOf(args.models) : [args.model]) {
  const { model, norms } = await dense(name);
  const before = await accuracy(model, 0);
  for (const rate of numbersOf(args.rates)) {
    for (const importance of wordsOf(args.importances)) {
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
  const file =
    args.model ?? (await trained(name, { seed, out: join(args.out, `${name}-${seed}`) }));
  const { model } = loadModel(file);
  return { model, norms: hasBatchNorms(model) };
}

async function accuracy(model, bnBatches) {
  if (bnBatches > 0) await measureNormsAgain(model, dataset, { seed, batches: bnBatches });
  const result = await evaluateModel(model, dataset, { images: Number(args.images) });
  return result.accuracy;
}

function print() {
  const percent = (share) => (100 * share).toFixed(1);
  const columns = [
    {
      title: 'cut',
      cell: ({ model, rate, importance }) =>
        `${model}, ${Math.round(100 * rate)}% by ${importance}`,
      left: true,
    },
    { title: 'not cut', cell: ({ before }) => percent(before) },
    ...['none', ...ways.map(nameOf)].map((title) => ({
      title,
      cell: (row) => percent(row[title]),
    })),
  ];
  console.log(printedTable(columns, rows));
}
