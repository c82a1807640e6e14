// Which importance leaves most right after a cut, before any training: a vision Mamba (the
// quickstart's), a small ViT and a small ResNet on Fashion-MNIST, several seeds each. Trains the dense
// models that are not there (a few minutes each), then cuts every one by every importance and score at
// every rate, and prints the accuracy as the mean over the seeds with its lowest and highest. Batch normalisation
// is measured again after a cut, for otherwise its old statistics decide more than the units. The defaults
// of `prune` come from here.
//
//   node benchmarks/importance.mjs [--out runs/importance] [--models mamba,vit,resnet] [--seeds 3]
//                                  [--rates 0.3,0.5,0.7] [--images 5000] [--threads 2] [--json]
import { join } from 'node:path';
import { setNumThreads } from '@mamba-prune/libtorch';
import { calibrationOf, evaluateModel, loadModel, openDataset, pruneOneShot } from 'mamba-prune';
import { defaultKinds } from 'mamba-prune/pruning';
import {
  listOf,
  numbersOf,
  oneOf,
  readFlags,
  share,
  whole,
  wordsOf,
} from '../scripts/script-flags.mjs';
import { hasBatchNorms, measureNormsAgain, trained } from './dense-models.mjs';
import { printedTable } from './printed-table.mjs';

const { values: args } = readFlags({
  out: { type: 'string', default: 'runs/importance' },
  models: {
    type: 'string',
    default: 'mamba,vit,resnet',
    value: listOf(oneOf('mamba', 'vit', 'resnet')),
  },
  seeds: { type: 'string', default: '3', value: whole() },
  rates: { type: 'string', default: '0.3,0.5,0.7', value: listOf(share) },
  images: { type: 'string', default: '5000', value: whole() },
  threads: { type: 'string', default: '2', value: whole() },
  json: { type: 'boolean', default: false },
});
setNumThreads(Number(args.threads));
const rates = numbersOf(args.rates);

/** What tells units apart: norms of weights alone, then those that look at images. */
const ways = [
  ['l1', 'consumer'],
  ['l2', 'consumer'],
  ['l1', 'group'],
  ['l2', 'group'],
  ['taylor', 'consumer'],
  ['taylor', 'group'],
  ['fisher', 'consumer'],
  ['fisher', 'group'],
  ['obd', 'consumer'],
  ['obd', 'group'],
  ['l1', 'activation'],
  ['l2', 'activation'],
];

const dataset = await openDataset('fashion-mnist');
const rows = [];
for (const name of wordsOf(args.models)) {
  for (let seed = 0; seed < Number(args.seeds); seed++) {
    const { model, before } = await dense(name, seed);
    const kinds = defaultKinds(model);
    const calibration = calibrationOf(dataset, { batches: 8, seed, device: 'cpu' });
    for (const rate of rates) {
      for (const [importance, score] of ways) {
        const cut = await pruneOneShot(
          model,
          {
            rates: Object.fromEntries(kinds.map((kind) => [kind, rate])),
            ...{ importance, score, ranking: 'global' },
          },
          calibration,
        );
        const after = await accuracy(cut.model);
        const measured = hasBatchNorms(model) ? await withNorms(cut.model, seed) : after;
        cut.model.dispose();
        rows.push({ model: name, seed, rate, importance, score, before, after, measured });
      }
    }
    model.dispose();
    console.error(`${name}, seed ${seed}: cut`);
  }
}
if (args.json) console.log(JSON.stringify(rows, null, 1));
else print();

async function dense(name, seed) {
  const { model } = loadModel(
    await trained(name, { seed, out: join(args.out, `${name}-${seed}`) }),
  );
  return { model, before: await accuracy(model) };
}

/** Accuracy when batch normalisation is measured again, as by --bn-batches 8. */
async function withNorms(model, seed) {
  await measureNormsAgain(model, dataset, { seed, batches: 8 });
  return accuracy(model);
}

async function accuracy(model) {
  const result = await evaluateModel(model, dataset, { images: Number(args.images) });
  return result.accuracy;
}

/** One row for each way, one column for each model and rate. */
function print() {
  const names = [...new Set(rows.map(({ model }) => model))];
  const cells = names.flatMap((model) => rates.map((rate) => ({ model, rate })));
  const spread = (values) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    // One seed has no spread.
    if (values.length === 1) return percent(mean);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return `${percent(mean)} (${percent(low)} to ${percent(high)})`;
  };
  const [first] = ways;
  const lines = [
    { title: 'not cut', way: first, value: 'before' },
    ...ways.map((way) => ({ title: way.join(', '), way, value: 'measured' })),
  ];
  const columns = [
    { title: 'importance, score', cell: ({ title }) => title, left: true },
    ...cells.map(({ model, rate }) => ({
      title: `${model} ${Math.round(100 * rate)}%`,
      cell: ({ way: [importance, score], value }) =>
        spread(
          rows
            .filter((row) => row.model === model && row.rate === rate)
            .filter((row) => row.importance === importance && row.score === score)
            .map((row) => row[value]),
        ),
    })),
  ];
  console.log(printedTable(columns, lines));
}

function percent(share) {
  return (100 * share).toFixed(1);
}
