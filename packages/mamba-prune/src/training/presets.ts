/**
 * Recipes by name: how to train each data set, quickly, well, or as well as we know how. They are
 * starting points for models of up to some ten million parameters; what a run gives itself counts
 * more. Unless one was found for a data set they use AdamW with warm-up and cosine, as vision
 * transformers and vision Mambas are trained (Touvron et al. 2021, arXiv 2012.12877; Zhu et al. 2024,
 * arXiv 2401.09417).
 *
 *     fast      to see whether something works at all
 *     standard  what to report, where time is limited
 *     best      many epochs with mixup, cutmix, RandAugment and averaged weights
 *
 * Fine-tuning after a cut starts from good weights: a quarter of the learning rate or so, fewer
 * epochs, less augmentation.
 */
import { UsageError } from '../errors.js';
import { familyOf } from '../models/families.js';
import type { ModelOptions } from '../models/model-options.js';
import type { ScanMode } from '../models/mamba/scan-order.js';
import type { TrainOptions } from './types.js';

export const presetNames = ['fast', 'standard', 'best'] as const;
export type PresetName = (typeof presetNames)[number];

/** Training anew, or after a cut. */
export type TrainingPhase = 'train' | 'finetune';

type Decided = Pick<
  TrainOptions,
  | 'epochs'
  | 'batchSize'
  | 'optimizer'
  | 'lr'
  | 'weightDecay'
  | 'schedule'
  | 'warmupEpochs'
  | 'minLrFactor'
  | 'labelSmoothing'
  | 'clipGradNorm'
  | 'emaDecay'
>;

/** Part of the options of a training. */
export type PresetRecipe = {
  readonly [K in keyof Decided]-?: Exclude<Decided[K], undefined>;
} & {
  /** Name of an augmentation preset. */
  readonly augment: string;
  /** Alpha of mixup and of cutmix, in place of the augmentation preset's; 0 for none. */
  readonly mixup: number;
  readonly cutmix: number;
  /** Last epochs without either, where that was found to be good. */
  readonly plainEpochs?: number;
};

/** What differs between data sets. */
interface DatasetRecipe {
  readonly batchSize: number;
  /** Highest learning rate of a training anew. */
  readonly lr: number;
  readonly epochs: Readonly<Record<TrainingPhase, Readonly<Record<PresetName, number>>>>;
  /** Names of augmentation presets. */
  readonly augment: Readonly<Record<PresetName, string>>;
  /** How a vision Mamba scans, where a way was found to be better than its default. */
  readonly scan?: ScanMode;
  /** What was found by measurement, in place of what the rules below give. */
  readonly found?: Readonly<
    Partial<Record<PresetName, Readonly<Record<TrainingPhase, Partial<PresetRecipe>>>>>
  >;
}

/** At 32 px and 391 steps an epoch. */
const cifar: DatasetRecipe = {
  batchSize: 128,
  lr: 1e-3,
  epochs: {
    train: { fast: 20, standard: 100, best: 300 },
    finetune: { fast: 5, standard: 30, best: 100 },
  },
  augment: { fast: 'standard', standard: 'standard', best: 'strong' },
};

/**
 * mamba_small reaches 93.5% in 8.4 minutes of an H200 (docs/results.md). With Muon 15 epochs came to 85.0%,
 * with AdamW to 81.8%, scanning `uni`; full mixup and cutmix want more epochs than these.
 */
const foundForCifar10 = {
  train: {
    epochs: 176,
    batchSize: 512,
    optimizer: 'muon',
    lr: 4.5e-3,
    warmupEpochs: 5,
    minLrFactor: 0,
    emaDecay: 0.998,
    mixup: 0.2,
    cutmix: 0.5,
    plainEpochs: 15,
  },
  finetune: {
    epochs: 42,
    batchSize: 512,
    optimizer: 'muon',
    lr: 2e-3,
    warmupEpochs: 4.2,
    minLrFactor: 0,
    emaDecay: 0.998,
    augment: 'strong',
    mixup: 0,
    cutmix: 0,
  },
} as const;

/** One channel, and easy: a few epochs without augmentation leave nothing to overfit. */
const fashionMnist: DatasetRecipe = {
  batchSize: 128,
  lr: 1e-3,
  epochs: {
    train: { fast: 3, standard: 20, best: 100 },
    finetune: { fast: 1, standard: 8, best: 40 },
  },
  augment: { fast: 'none', standard: 'standard', best: 'standard' },
};

const datasets: Readonly<Record<string, DatasetRecipe>> = {
  'fashion-mnist': fashionMnist,
  // Digits in a mirror are none, and all that augments here mirrors.
  mnist: { ...fashionMnist, augment: { fast: 'none', standard: 'none', best: 'none' } },
  // Against `uni` in as many epochs: 86.6 for 85.0% after 15, 87.3 for 84.3% after 40 (docs/results.md).
  cifar10: { ...cifar, found: { best: foundForCifar10 }, scan: 'cross' },
  cifar100: cifar,
  'tiny-imagenet': {
    ...cifar,
    epochs: {
      train: { fast: 20, standard: 100, best: 200 },
      finetune: { fast: 5, standard: 30, best: 60 },
    },
  },
  // Steps are many, so batches are larger and epochs fewer.
  imagenet: {
    batchSize: 256,
    lr: 5e-4,
    epochs: {
      train: { fast: 30, standard: 100, best: 300 },
      finetune: { fast: 5, standard: 20, best: 60 },
    },
    augment: { fast: 'imagenet', standard: 'imagenet', best: 'imagenet' },
  },
  // Often few images: more epochs, and the crops that photographs of any framing need.
  folder: {
    batchSize: 64,
    lr: 5e-4,
    epochs: {
      train: { fast: 30, standard: 100, best: 300 },
      finetune: { fast: 10, standard: 40, best: 100 },
    },
    augment: { fast: 'standard', standard: 'imagenet', best: 'imagenet' },
  },
};

/** What differs between the presets. */
const strengths = {
  fast: { warmup: 0.1, labelSmoothing: 0.05, emaDecay: null, mixup: 0, cutmix: 0 },
  standard: { warmup: 0.05, labelSmoothing: 0.1, emaDecay: null, mixup: 0, cutmix: 0 },
  best: { warmup: 0.05, labelSmoothing: 0.1, emaDecay: 0.9995, mixup: 0.8, cutmix: 1 },
} as const;

/**
 * @param dataset - a name of `openDataset`
 * @throws UsageError for an unknown preset or data set
 */
export function presetRecipe(
  preset: PresetName,
  dataset: string,
  phase: TrainingPhase,
): PresetRecipe {
  const recipe = recipeFor(preset, dataset);
  const { warmup, mixup, cutmix, ...strength } = strengths[preset];
  const epochs = recipe.epochs[phase][preset];
  const finetune = phase === 'finetune';
  return {
    epochs,
    batchSize: recipe.batchSize,
    optimizer: 'adamw',
    lr: finetune ? recipe.lr / 4 : recipe.lr,
    weightDecay: 0.05,
    schedule: 'cosine',
    warmupEpochs: Math.min(20, warmup * epochs),
    minLrFactor: 0.01,
    ...strength,
    clipGradNorm: 1,
    augment: finetune && recipe.augment[preset] === 'strong' ? 'standard' : recipe.augment[preset],
    // A pruned model has less to overfit with.
    mixup: finetune ? mixup / 4 : mixup,
    cutmix: finetune ? cutmix / 4 : cutmix,
    ...recipe.found?.[preset]?.[phase],
  };
}

/**
 * Options of a model that is trained anew by a preset.
 * @param arch - an architecture's name; only vision Mambas have any
 * @throws as `presetRecipe`
 */
export function presetModelOptions(
  preset: PresetName,
  dataset: string,
  arch: string,
): Pick<ModelOptions, 'scan'> {
  const { scan } = recipeFor(preset, dataset);
  return scan && familyOf(arch).name === 'mamba' ? { scan } : {};
}

function recipeFor(preset: PresetName, dataset: string): DatasetRecipe {
  if (!presetNames.includes(preset)) {
    throw new UsageError(`preset: got '${preset}', expected one of ${presetNames.join(', ')}`);
  }
  const recipe = Object.hasOwn(datasets, dataset) ? datasets[dataset] : undefined;
  if (!recipe) {
    throw new UsageError(
      `preset: got the data set '${dataset}', expected one of ${Object.keys(datasets).join(', ')}. ` +
        'Give the options of the training themselves.',
    );
  }
  return recipe;
}
