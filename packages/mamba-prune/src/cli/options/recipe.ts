// How to train: the flags of train, and of the fine-tuning of prune.
import { type Command, Option } from 'commander';
import { augmentPresetNames } from '../../data/augment/options.js';
import { usualAugment } from '../../data/datasets.js';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { trainLimits } from '../../limits.js';
import type { Precision } from '../../precision.js';
import {
  type PresetName,
  type TrainingPhase,
  presetNames,
  presetRecipe,
} from '../../training/presets.js';
import { type OptimizerName, optimizerNames } from '../../training/train-options.js';
import { overEpochs } from '../../workflows/over-epochs.js';
import type { RecipeSettings } from '../../workflows/settings.js';
import { addOptions, choiceOption, integerOption, integersOption, numberOption } from './parse.js';

/** Nothing here has a default of commander's: what was not typed may come from a run's config.json. */
export interface RecipeOptions {
  readonly preset?: PresetName;
  readonly recipeFrom?: string;
  readonly epochs?: number;
  readonly batchSize?: number;
  readonly lr?: number;
  readonly weightDecay?: number;
  readonly optimizer?: OptimizerName;
  readonly momentum?: number;
  readonly schedule?: 'cosine' | 'constant' | 'multistep';
  readonly milestones?: readonly number[];
  readonly gamma?: number;
  readonly warmupEpochs?: number;
  readonly labelSmoothing?: number;
  readonly clipGrad?: number;
  readonly ema?: number;
  readonly augment?: string;
  readonly mixup?: number;
  readonly cutmix?: number;
  readonly plainEpochs?: number;
  readonly plainAugment?: string;
  readonly trainImages?: number;
  readonly testImages?: number;
  readonly evalEvery?: number;
  readonly checkpointEvery?: number;
  /** One of the common options. */
  readonly precision?: Precision;
}

export function addRecipeOptions(
  command: Command,
  heading: string,
  defaults: Pick<RecipeDefaults, 'epochs' | 'lr'>,
): void {
  const { epochs, lr } = defaults;
  command.optionsGroup(heading);
  addOptions(command, [
    choiceOption('--preset <name>', 'training recipe made for the data set', presetNames, 'none'),
    integerOption(
      '--epochs <n>',
      `number of passes over the training images (default: ${epochsText(epochs)})`,
      {
        min: epochs === 0 ? 0 : 1,
        max: trainLimits.epochs,
      },
    ),
    integerOption('--batch-size <n>', 'number of images per step (default: 128)', {
      min: 1,
      max: trainLimits.batchSize,
    }),
    choiceOption('--optimizer <name>', 'optimizer', optimizerNames, 'adamw'),
    numberOption('--lr <rate>', `highest learning rate (default: ${lr}; sgd ${lr * 100})`, {
      above: 0,
      max: trainLimits.lr,
    }),
    numberOption(
      '--weight-decay <x>',
      'weight decay, without biases, norms, embeddings and A_log (default: 0.05; sgd 5e-4)',
      { min: 0, max: trainLimits.strength },
    ),
    numberOption('--momentum <x>', 'momentum of sgd (default: 0.9)', { min: 0, below: 1 }),
    choiceOption(
      '--schedule <name>',
      'how the learning rate falls',
      ['cosine', 'constant', 'multistep'],
      'cosine',
    ),
    integersOption(
      '--milestones <e,e,...>',
      'multistep: epochs after which the learning rate falls',
      {
        min: 1,
        max: trainLimits.epochs,
        rises: true,
      },
    ),
    numberOption(
      '--gamma <x>',
      'multistep: factor of the learning rate at each milestone (default: 0.1)',
      {
        above: 0,
        max: 1,
      },
    ),
    numberOption(
      '--warmup-epochs <n>',
      'number of first epochs in which the learning rate rises (default: a tenth of the epochs)',
      {
        min: 0,
        max: trainLimits.epochs,
      },
    ),
    numberOption(
      '--label-smoothing <x>',
      'share of the target that is spread over all classes (default: 0.1)',
      {
        min: 0,
        below: 1,
      },
    ),
    numberOption('--clip-grad <norm>', 'largest norm of the gradients; 0 allows any (default: 1)', {
      min: 0,
      max: trainLimits.strength,
    }),
    numberOption(
      '--ema <decay>',
      'average the weights with this decay, such as 0.999 (default: no average)',
      {
        min: 0,
        below: 1,
      },
    ),
    choiceOption(
      '--augment <name>',
      'how strongly images are augmented',
      augmentPresetNames(),
      'standard',
    ),
    numberOption('--mixup <alpha>', 'strength of mixing pairs of images (default: as --augment)', {
      min: 0,
      max: 1000,
    }),
    numberOption(
      '--cutmix <alpha>',
      'strength of pasting parts of other images (default: as --augment)',
      {
        min: 0,
        max: 1000,
      },
    ),
    integerOption(
      '--plain-epochs <n>',
      'number of last epochs without mixup and cutmix (default: 0)',
      {
        min: 0,
        max: trainLimits.epochs,
      },
    ),
    choiceOption(
      '--plain-augment <name>',
      'augmentation in the plain epochs',
      augmentPresetNames(),
      'as --augment',
    ),
    integerOption('--train-images <n>', 'train on this many images only (default: all)', {
      min: 1,
      max: trainLimits.images,
    }),
    integerOption('--test-images <n>', 'evaluate on this many images only (default: all)', {
      min: 1,
      max: trainLimits.images,
    }),
    integerOption('--eval-every <epochs>', 'number of epochs between evaluations (default: 1)', {
      min: 1,
      max: trainLimits.epochs,
    }),
  ]);
}

/** Of the commands that train one model: another run has one recipe. */
export const recipeFromOption = (): Option =>
  new Option(
    '--recipe-from <run>',
    'train by the recipe of this run of train or prune, such as the one that the model comes from; what is typed beside it counts more',
  ).conflicts('preset');

const epochsText = (epochs: number): string =>
  epochs === 0 ? '0, which only cuts' : String(epochs);

/** What flags that were not typed mean, without a preset. */
export interface RecipeDefaults {
  readonly epochs: number;
  /** Of AdamW; SGD has a hundred times as much. */
  readonly lr: number;
  /** Which of a preset's recipes. */
  readonly phase: TrainingPhase;
  /** That of --recipe-from. */
  readonly recipe?: RecipeSettings | undefined;
}

/**
 * The typed flags over the recipe of the preset or of --recipe-from, or over the defaults.
 * @param dataset - its name; empty where nothing is trained
 * @throws UsageError for a momentum that the optimizer does not have
 */
export function recipeOf(
  options: RecipeOptions,
  seed: number,
  defaults: RecipeDefaults,
  dataset: string,
): RecipeSettings {
  const { preset } = options;
  const found =
    preset === undefined ? defaults.recipe : presetRecipe(preset, dataset, defaults.phase);
  const base = found ? fitted(found, options) : plainRecipe(options, defaults, dataset);
  const recipe = { ...base, seed, ...typedRecipe(options) };
  checkMomentum(options, recipe);
  return recipe;
}

/** @throws UsageError for a typed momentum that the optimizer does not have */
export function checkMomentum({ momentum }: RecipeOptions, { optimizer }: RecipeSettings): void {
  if (momentum === undefined || optimizer === 'sgd') return;
  throw new UsageError(
    `got --momentum, which belongs to --optimizer sgd, not ${optimizer ?? 'adamw'}. Leave it out.`,
  );
}

/** @throws UsageError for a recipe that is not the one of the run that goes on: it would change nothing */
export function refuseOtherRecipe(
  { preset, recipeFrom }: RecipeOptions,
  stored: string | undefined,
): void {
  if (recipeFrom !== undefined) {
    throw new UsageError(
      'got --recipe-from with --resume: the run keeps the recipe that it began with. Leave it out.',
    );
  }
  if (preset === undefined || preset === stored) return;
  throw new UsageError(
    `got --preset ${preset} with --resume: the run keeps the recipe that it began with` +
      `${stored === undefined ? '' : `, that of the preset ${stored}`}. Leave it out.`,
  );
}

function plainRecipe(
  { epochs: typed, optimizer }: RecipeOptions,
  { epochs: usual, lr }: RecipeDefaults,
  dataset: string,
): RecipeSettings {
  const epochs = typed ?? usual;
  return {
    batchSize: 128,
    optimizer: 'adamw',
    lr: optimizer === 'sgd' ? lr * 100 : lr,
    warmupEpochs: epochs / 10,
    labelSmoothing: 0.1,
    clipGradNorm: 1,
    augment: usualAugment(dataset),
    epochs,
  };
}

/** What belongs to one optimizer, and to the schedule multistep. */
const ofOptimizer = ['lr', 'weightDecay', 'momentum', 'nesterov', 'betas'] as const;
const ofMilestones = ['milestones', 'gamma'] as const;

/**
 * A recipe for the epochs that were typed, without what means nothing beside what else was typed: another optimizer has
 * its own rate, decays and momentum, another schedule no milestones, and no plain epochs need no augmentation.
 */
function fitted(
  recipe: RecipeSettings,
  { epochs = recipe.epochs, optimizer, schedule, milestones, plainEpochs }: RecipeOptions,
): RecipeSettings {
  const { optimizer: before = 'adamw' } = recipe;
  const leftOut: readonly string[] = [
    ...(optimizer === undefined || optimizer === before ? [] : ofOptimizer),
    ...(schedule === undefined || schedule === 'multistep' || milestones ? [] : ofMilestones),
    ...(plainEpochs === 0 ? ['plainAugment'] : []),
  ];
  const kept = Object.entries(overEpochs(recipe, epochs)).filter(
    ([name]) => !leftOut.includes(name),
  );
  return { ...Object.fromEntries(kept), epochs };
}

/**
 * The recipe that --recipe-from asks for.
 * @throws UsageError for a run that has none
 */
export async function readRecipeFrom({
  recipeFrom,
}: RecipeOptions): Promise<RecipeSettings | undefined> {
  if (recipeFrom === undefined) return undefined;
  const { recipeOfRun } = await import('../../workflows/recipe-of-run.js');
  try {
    return recipeOfRun(recipeFrom);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`--recipe-from: ${error.message}`, { cause: error });
  }
}

/** Only what was typed. */
export function typedRecipe(options: RecipeOptions): Partial<RecipeSettings> {
  const { clipGrad, ema, trainImages, testImages, checkpointEvery } = options;
  return defined({
    epochs: options.epochs,
    batchSize: options.batchSize,
    optimizer: options.optimizer,
    lr: options.lr,
    weightDecay: options.weightDecay,
    momentum: options.momentum,
    schedule: options.schedule ?? (options.milestones ? 'multistep' : undefined),
    milestones: options.milestones,
    gamma: options.gamma,
    warmupEpochs: options.warmupEpochs,
    labelSmoothing: options.labelSmoothing,
    clipGradNorm: clipGrad === 0 ? null : clipGrad,
    emaDecay: ema === 0 ? null : ema,
    augment: options.augment,
    mixup: options.mixup,
    cutmix: options.cutmix,
    plainEpochs: options.plainEpochs,
    plainAugment: options.plainAugment,
    maxTrainImages: trainImages,
    maxTestImages: testImages,
    evalEvery: options.evalEvery,
    precision: options.precision,
    checkpointEvery: checkpointEvery === undefined ? undefined : { minutes: checkpointEvery },
  });
}
