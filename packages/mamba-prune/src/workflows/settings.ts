// What the commands train and prune know of a run before it begins; plain JSON, kept in its
// config.json, so that --resume needs nothing but the folder.
import { join } from 'node:path';
import type { distributed } from '@mamba-prune/libtorch';
import { z } from 'zod';
import { augmentPreset, type AugmentOptions } from '../data/augment/options.js';
import { requireRecordedDataset } from '../data/datasets.js';
import type { DatasetInfo } from '../data/types.js';
import { UsageError } from '../errors.js';
import { familyNamed } from '../models/families.js';
import type { ImportOptions } from '../models/import/model.js';
import type { ModelOptions } from '../models/model-options.js';
import type { OpenedModelFile } from './open-model-file.js';
import type { OptionKinds } from '../option-checks.js';
import { RunFolderError } from '../training/errors.js';
import type { TrainHooks } from '../training/hooks.js';
import type { RunConfig } from '../training/run-config.js';
import { RunFolder } from '../training/run-folder.js';
import type { TrainOptions } from '../training/train-options.js';
import type { DataHooks, DataSettings, PreparationSettings } from './fit.js';
import { todaysSettings } from './prune/earlier-names.js';
import type { LatencyTimer } from './prune/latency-table.js';
import type { PruneSettings } from './prune/settings.js';
import { settingChanges } from './setting-changes.js';
import type { TeacherSettings } from './teacher.js';

/** How to train: as the library's TrainOptions, with the augmentation by name. */
export interface RecipeSettings extends Omit<TrainOptions, 'augment' | 'plainAugment'> {
  /** Name of a preset. */
  readonly augment?: string | undefined;
  /** Alpha of mixup, in place of the preset's. */
  readonly mixup?: number | undefined;
  /** Alpha of cutmix, in place of the preset's. */
  readonly cutmix?: number | undefined;
  /** Name of a preset, whose mixing is left out. */
  readonly plainAugment?: string | undefined;
}

export interface TrainSettings extends DataSettings, PreparationSettings {
  readonly arch: string;
  /** What differs from the architecture; channels, classes and image size come from the data. */
  readonly model: ModelOptions;
  /** Widths of groups in place of the architecture's: a fresh model of the shape of a pruned one. */
  readonly widths?: Readonly<Record<string, number>> | undefined;
  readonly recipe: RecipeSettings;
  /** Epochs after which the weights are kept, to rewind to; those of the start always are. */
  readonly keepEpochs?: readonly number[] | undefined;
  /** Model whose weights it begins with, in place of random ones: anything that `openModel` takes. */
  readonly init?: string | undefined;
  /** What that file does not tell of its model, if another program wrote it. */
  readonly import?: ImportOptions | undefined;
  /** Another model that teaches. */
  readonly distill?: TeacherSettings | undefined;
  /** Name of the preset that the recipe came from. */
  readonly preset?: string | undefined;
}

/** Settings as a run is told them. */
export type TrainRequest = Omit<TrainSettings, 'model'> & {
  /** By default nothing differs from the architecture. */
  readonly model?: ModelOptions | undefined;
};

/** Where a run goes and how it is carried out; nothing here changes its result. */
export interface RunControl {
  /** The run's folder. */
  readonly out: string;
  /** Go on with the run in `out`; 'previous' from the checkpoint before the last. */
  readonly resume?: boolean | 'previous' | undefined;
  /**
   * With `resume`: begin a training anew of which no checkpoint can be read, and a pruning whose model to
   * go on with is missing or damaged.
   */
  readonly restart?: boolean | undefined;
  /** Replace a run in `out`, and only a run. */
  readonly overwrite?: boolean | undefined;
  /** Default `cpu`. */
  readonly device?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The command line, for config.json. */
  readonly args?: readonly string[] | undefined;
  /**
   * Halves the batch size of a new run, and the learning rate with it, until a step fits into the
   * device's memory (`fitBatchSize`): in its settings, so that a resumed run goes on with what was found.
   */
  readonly autoBatch?: boolean | undefined;
  /** Threads that prepare batches. Default `0`. */
  readonly dataThreads?: number | undefined;
  /** Other workers to train with; rank 0 alone writes. */
  readonly group?: distributed.ProcessGroup | undefined;
  /** Keeps event files for TensorBoard in the run's folder. */
  readonly tensorboard?: boolean | undefined;
  readonly hooks?: Omit<TrainHooks, 'saveModel'> | undefined;
  readonly data?: DataHooks | undefined;
  /**
   * @internal The model of a new pruning, where whoever asks for it has opened it already: a large one takes seconds. From here
   * on it is the run's.
   */
  readonly opened?: Pick<OpenedModelFile, 'model' | 'info'> | undefined;
  /** @internal Times models in place of the clock: for tests. */
  readonly latencyTimer?: LatencyTimer | undefined;
}

export const trainSettingsKinds: OptionKinds<TrainSettings> = {
  arch: 'string',
  model: 'object',
  widths: 'object',
  recipe: 'object',
  dataset: 'string',
  data: 'string',
  imageSize: 'number',
  interpolation: 'string',
  cropShare: 'number',
  cachedSize: 'number',
  keepEpochs: 'array',
  init: 'string',
  import: 'object',
  distill: 'object',
  preset: 'string',
};

/**
 * @param where - as the message begins
 * @throws UsageError where the batch size of a run that has begun is to be found
 */
export function checkAutoBatch(
  where: string,
  { autoBatch, resume }: Pick<RunControl, 'autoBatch' | 'resume'>,
): void {
  if (autoBatch !== true || resume === undefined || resume === false) return;
  throw new UsageError(
    `${where}: got \`autoBatch\` with \`resume\`, expected one of the two: a run keeps the batch size that it began with. ` +
      'Leave `autoBatch` out, or start a new run.',
  );
}

export const controlKinds: OptionKinds<RunControl> = {
  out: 'string',
  resume: ['boolean', 'string'],
  restart: 'boolean',
  overwrite: 'boolean',
  device: 'string',
  signal: 'object',
  args: 'array',
  autoBatch: 'boolean',
  dataThreads: 'number',
  group: 'object',
  tensorboard: 'boolean',
  hooks: 'object',
  data: 'object',
  opened: 'object',
  latencyTimer: 'function',
};

/** @throws DataError for an unknown preset or strengths out of range */
export function trainOptionsOf(recipe: RecipeSettings, info: DatasetInfo): TrainOptions {
  const { augment = 'none', mixup, cutmix, ...rest } = recipe;
  const options: AugmentOptions = {
    ...augmentPreset(augment, info),
    ...(mixup !== undefined && { mixup }),
    ...(cutmix !== undefined && { cutmix }),
  };
  return { ...rest, augment: options };
}

interface SettingsOf {
  readonly train: TrainSettings;
  readonly prune: PruneSettings;
}

const object = z.looseObject({});
const recipe = z.looseObject({ epochs: z.number() });

/** What is used of them before they are checked as those of a new run are. */
const storedSchemas = {
  train: z.looseObject({ arch: z.string(), dataset: z.string(), model: object.optional(), recipe }),
  prune: z.looseObject({ model: z.string(), rates: z.record(z.string(), z.number()), recipe }),
} as const;

/** What a run says of its model. */
const recordedModel = z.looseObject({
  model: z.looseObject({ family: z.string() }),
  module: z.string().optional(),
});

/** @throws UsageError naming what has to be loaded for the family of a run's model */
function requireFamily(path: string, config: RunConfig): void {
  const { data } = recordedModel.safeParse(config);
  if (!data) return;
  try {
    familyNamed({ family: data.model.family, module: data.module });
  } catch (error) {
    throw new UsageError(`resume: ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * The settings that a run's config.json holds; of a training that has grown, with the epochs that it has now.
 * @throws UsageError if the run is of another command, or the family of its model is not registered; RunFolderError if
 *   it is none; DataError if its data set is registered by a module that is not loaded
 */
export function storedSettings<C extends keyof SettingsOf>(
  path: string,
  command: C,
): SettingsOf[C] {
  const { config } = RunFolder.open(path);
  if (config.command !== command || typeof config['settings'] !== 'object') {
    throw new UsageError(
      `resume: ${path} is a run of '${config.command}', expected one of '${command}'. ` +
        `Resume it with mamba-prune ${config.command} --resume --out ${path}.`,
    );
  }
  requireFamily(path, config);
  requireRecordedDataset('resume', config.dataset);
  const parsed = storedSchemas[command].safeParse(config['settings']);
  if (!parsed.success) {
    throw new RunFolderError(
      path,
      `resume: the settings in ${join(path, 'config.json')} are damaged: ${z.prettifyError(parsed.error)}. ` +
        'Put the file back, or start a new run.',
    );
  }
  const settings = todaysSettings(config['settings'] as SettingsOf[C]);
  // A pruning writes anew what it was asked for last; a training that grows writes the options alone.
  const epochs = command === 'train' ? config.train?.epochs : undefined;
  if (epochs === undefined || epochs <= settings.recipe.epochs) return settings;
  return { ...settings, recipe: { ...settings.recipe, epochs } };
}

/** @throws UsageError naming what differs from the run's config.json */
export function checkSame(what: string, now: object, before: unknown): void {
  const changed = settingChanges(
    now as Readonly<Record<string, unknown>>,
    (before ?? {}) as Readonly<Record<string, unknown>>,
    Object.keys(now),
  );
  if (changed.length === 0) return;
  throw new UsageError(
    `resume: the ${what} is not the one that the run began with: ${changed.join('; ')}. ` +
      'Give what the run began with, or start a new run.',
  );
}
