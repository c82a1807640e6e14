// What the comparison runs: models, recipes, rows, and the options of the command line.
import {
  aboveZero,
  listOf,
  numbersOf,
  oneOf,
  readFlags,
  refuse,
  share,
  whole,
  wordsOf,
} from '../../scripts/script-flags.mjs';

/** SGD as it is usual for ResNets on CIFAR (He et al. 2016, with a cosine), AdamW for transformers. */
const sgd = { optimizer: 'sgd', lr: 0.1, weightDecay: 5e-4, batchSize: 128, augment: 'standard' };
const adamw = { optimizer: 'adamw', lr: 1e-3, weightDecay: 0.05, batchSize: 128 };
const resnet = {
  model: { stem: 'cifar' },
  dense: { ...sgd, epochs: 160, warmupEpochs: 5 },
  finetune: { ...sgd, lr: 0.02, epochs: 60, warmupEpochs: 1 },
};

/** After a cut the highest learning rate is a fifth (resnet) or a half (ViT) of the first, for all rows alike. */
export const models = {
  resnet20: resnet,
  resnet56: resnet,
  resnet18: resnet,
  vit_tiny: {
    model: { patchSize: 4 },
    dense: { ...adamw, epochs: 160, warmupEpochs: 10, augment: 'strong', plainEpochs: 10 },
    finetune: { ...adamw, lr: 5e-4, epochs: 60, warmupEpochs: 3, augment: 'standard' },
  },
};

/**
 * Who cuts, by what. `stream`: the residual stream is cut too, which our models do not have, so that only their loop
 * can train it; `loop: 'theirs'` trains in PyTorch (ResNets only). `compensate` runs where `prune` knows the flag.
 */
export const rows = [
  { id: 'ours-l1', by: 'ours', importance: 'l1', score: 'consumer' },
  { id: 'ours-l2', by: 'ours', importance: 'l2', score: 'consumer' },
  { id: 'ours-l2-group', by: 'ours', importance: 'l2', score: 'group' },
  // Under `group` an importance is shown every weight of a unit.
  { id: 'ours-squares', by: 'ours', importance: 'group-magnitude', score: 'group' },
  { id: 'ours-taylor', by: 'ours', importance: 'taylor', score: 'consumer' },
  { id: 'ours-taylor-group', by: 'ours', importance: 'taylor', score: 'group' },
  { id: 'ours-l2-compensate', by: 'ours', importance: 'l2', score: 'consumer', compensate: true },
  {
    id: 'ours-taylor-compensate',
    ...{ by: 'ours', importance: 'taylor', score: 'consumer', compensate: true },
  },
  { id: 'theirs-l1', by: 'theirs', importance: 'l1' },
  { id: 'theirs-l2', by: 'theirs', importance: 'l2' },
  { id: 'theirs-taylor', by: 'theirs', importance: 'taylor' },
  { id: 'theirs-l2-loop', by: 'theirs', importance: 'l2', loop: 'theirs' },
  { id: 'theirs-l2-stream', by: 'theirs', importance: 'l2', stream: true, loop: 'theirs' },
];

const rowIds = rows.map(({ id }) => id);

/** Few images and epochs: shows that everything runs, and nothing else. */
const quick = { epochs: 1, trainImages: 512, testImages: 500, denseEpochs: 1 };

export function settings() {
  const { values: args, positionals } = readFlags(
    {
      out: { type: 'string', default: 'runs/torch-pruning' },
      data: { type: 'string', default: 'data' },
      models: { type: 'string', value: listOf(oneOf(...Object.keys(models))) },
      rows: { type: 'string', default: rowIds.join(','), value: listOf(oneOf(...rowIds)) },
      rates: { type: 'string', default: '0.5,0.7', value: listOf(share) },
      seeds: { type: 'string', default: '3', value: whole() },
      'first-seed': { type: 'string', default: '0', value: whole(0) },
      epochs: { type: 'string', value: whole() },
      'dense-epochs': { type: 'string', value: whole() },
      'train-images': { type: 'string', value: whole() },
      'test-images': { type: 'string', value: whole() },
      'batch-size': { type: 'string', value: whole() },
      dense: { type: 'string' },
      'bn-batches': { type: 'string', default: '8', value: whole(0) },
      device: { type: 'string', default: 'cpu' },
      python: { type: 'string', default: 'python3' },
      threads: { type: 'string', default: '0', value: whole(0) },
      minutes: { type: 'string', value: aboveZero },
      'cut-only': { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      table: { type: 'boolean', default: false },
    },
    { most: Infinity },
  );
  const number = (name, otherwise) => (args[name] === undefined ? otherwise : Number(args[name]));
  const fast = args.quick ? quick : {};
  if (positionals.length > 0 && !args.table) {
    refuse(`got '${positionals[0]}', expected options alone; folders go with --table`);
  }
  return {
    ...args,
    folders: positionals.length > 0 ? positionals : [args.out],
    models: listed(args.models ?? (args.quick ? 'resnet20,vit_tiny' : 'resnet56,vit_tiny'), models),
    rows: listed(args.rows, Object.fromEntries(rows.map((row) => [row.id, row]))),
    rates: numbersOf(args.rates),
    seeds: Array.from(
      { length: args.quick ? 1 : Number(args.seeds) },
      (_, i) => Number(args['first-seed']) + i,
    ),
    epochs: number('epochs', fast.epochs),
    denseEpochs: number('dense-epochs', fast.denseEpochs),
    trainImages: number('train-images', fast.trainImages),
    testImages: number('test-images', fast.testImages),
    batchSize: number('batch-size'),
    bnBatches: Number(args['bn-batches']),
    threads: Number(args.threads),
    minutes: number('minutes'),
  };
}

/** The values under the names of a list with commas. */
const listed = (names, known) => wordsOf(names).map((id) => ({ id, ...known[id] }));

/** A recipe with what the command line changes of it. */
export function recipeOf(recipe, { batchSize, trainImages, testImages }, epochs, seed) {
  const total = epochs ?? recipe.epochs;
  const share = total / recipe.epochs;
  return {
    ...recipe,
    ...{ epochs: total, seed },
    // With another batch the learning rate of SGD goes with it, that of AdamW with its root.
    ...(batchSize !== undefined && {
      batchSize,
      lr: recipe.lr * (batchSize / recipe.batchSize) ** (recipe.optimizer === 'sgd' ? 1 : 0.5),
    }),
    warmupEpochs: Math.min(recipe.warmupEpochs, recipe.warmupEpochs * share),
    ...(recipe.plainEpochs && { plainEpochs: Math.floor(recipe.plainEpochs * Math.min(1, share)) }),
    ...(trainImages !== undefined && { maxTrainImages: trainImages }),
    ...(testImages !== undefined && { maxTestImages: testImages }),
  };
}
