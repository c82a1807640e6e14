// What the flags of the original training script ask for, in our own settings.
import { join, resolve } from 'node:path';
import { needsFolder } from '../data/datasets.js';
import { defined } from '../defined.js';
import { UsageError } from '../errors.js';
import { isPublishedName } from '../hub-names.js';
import { familyOf } from '../models/families.js';
import type { ImpPlan } from '../workflows/imp.js';
import { densePath } from '../workflows/prune/files.js';
import type { RecipeSettings, TrainSettings } from '../workflows/settings.js';
import { compensateOf } from './options/compensation.js';
import {
  type FilledImpFlags,
  amountOf,
  methodOf,
  rankingOf,
  ratesOf,
  rewindOf,
} from './options/imp-cuts.js';
import {
  type ScriptFamily,
  checkRefused,
  familyFlags,
  importanceOf,
  pretrainedOf,
  scriptArchitectures,
  scriptDefaults,
  scriptFamilies,
} from './options/imp-script.js';
import { type ImpFlags, otherSizes } from './options/imp.js';
import { typedOfWeights, weightsOptionsOf } from './options/import.js';
import { typed } from './options/model.js';

export interface PlannedImp extends ImpPlan {
  /** Folder of the run. */
  readonly out: string;
  /** What the user should know of how the flags were read. */
  readonly notes: readonly string[];
}

/**
 * @param given - what was typed
 * @throws UsageError for a flag that is not offered, or goes with another model or method
 */
export async function planImp(given: ImpFlags, seed: number): Promise<PlannedImp> {
  checkRefused(given);
  const flags: FilledImpFlags = { ...scriptDefaults, ...given };
  const arch = scriptArchitectures[flags.arch] ?? flags.arch;
  const family = scriptFamily(arch);
  checkStructured(given, flags.arch, family);
  const out = folderOf(given);
  const notes: string[] = [];
  const recipe = recipeOf(flags, given, seed, notes);
  const data = {
    dataset: flags.dataset,
    // The scripts' own folder is not meant for a data set that needs none.
    ...defined({
      data: needsFolder(flags.dataset) ? flags.data : given.data,
      cachedSize: given.cached_size,
    }),
  };
  const { d_model: dModel, depth, d_state: dState, patch: patchSize, heads, scan } = given;
  const model = {
    ...defined({ dModel, depth, dState, patchSize, heads, scan }),
    ...typed(given, otherSizes()),
  };
  const pretrained = pretrainedOf(given);
  const reading = await weightsOptionsOf(given, '_');
  const dense: TrainSettings | undefined =
    pretrained === undefined
      ? {
          arch,
          ...data,
          ...defined({
            imageSize: given.image_size,
            init: given.init === undefined ? undefined : pathOf(given.init),
          }),
          ...(Object.keys(reading).length > 0 && { import: reading }),
          model,
          recipe,
          ...(given.prune_type === 'rewind_lt' &&
            flags.rewind_epoch > 0 && { keepEpochs: [flags.rewind_epoch] }),
        }
      : undefined;
  checkOneFile(given.init, pretrained);
  refuseWithoutFile(given, pretrained);
  const said = defined({
    ...reading,
    mean: given.mean,
    std: given.std,
    imageSize: given.image_size,
  });
  return {
    out,
    notes,
    arch,
    model,
    dense,
    prune: {
      model:
        pretrained === undefined
          ? resolve(densePath(out), 'model.safetensors')
          : pathOf(pretrained),
      ...(pretrained !== undefined && Object.keys(said).length > 0 && { import: said }),
      ...data,
      ...methodOf(given, flags),
      ...amountOf(given, ratesOf(flags, arch, family)),
      rounds: flags.pruning_times,
      rewind: rewindOf(given, flags, pretrained === undefined),
      ...compensateOf({
        compensate: given.compensate,
        compensateImages: given.compensate_images,
      }),
      ...defined({
        importance: importanceOf(given.criteria),
        minWidth: given.min_width,
        rankBy: given.rank_by,
      }),
      ranking: rankingOf(given, family),
      normalize: 'mean',
      roundTo: 1,
      maxRate: 1,
      recipe,
    },
  };
}

/** @throws UsageError for weights to begin with where nothing is trained */
export function checkOneFile(init: string | undefined, pretrained: string | undefined): void {
  if (init === undefined || pretrained === undefined) return;
  throw new UsageError(
    'got --init with --pretrained, but the dense model is not trained then. Leave one of them out.',
  );
}

/** @throws UsageError for a flag about a file that is not given */
function refuseWithoutFile(given: ImpFlags, pretrained: string | undefined): void {
  const flags = ['mean', 'std'] as const;
  const foreign =
    pretrained === undefined ? flags.find((name) => given[name] !== undefined) : undefined;
  if (foreign !== undefined) {
    throw new UsageError(
      `got --${foreign} without --pretrained: what is trained here is normalised as the data are. Leave it out.`,
    );
  }
  if (pretrained !== undefined || given.init !== undefined) return;
  const about = typedOfWeights(given, '_');
  if (about === undefined) return;
  const { flag, value } = about;
  throw new UsageError(
    `got ${flag}${value === undefined ? '' : ` '${value}'`} without --pretrained or --init, the file that it is about. Leave it out.`,
  );
}

/** SGD with momentum, the rate falling to a tenth at the milestones, as the script has it. */
function recipeOf(
  flags: FilledImpFlags,
  given: ImpFlags,
  seed: number,
  notes: string[],
): RecipeSettings {
  const { epochs, batch_size, lr, momentum, weight_decay, warmup, decreasing_lr } = flags;
  if (warmup > epochs) {
    notes.push(`The warm-up of ${warmup} epochs is cut to the ${epochs} that there are.`);
  }
  return {
    epochs,
    batchSize: batch_size,
    optimizer: 'sgd',
    lr,
    momentum,
    seed,
    weightDecay: weight_decay,
    schedule: 'multistep',
    milestones: decreasing_lr,
    gamma: 0.1,
    warmupEpochs: Math.min(warmup, epochs),
    augment: given.augment ?? 'standard',
    ...defined({
      maxTrainImages: given.train_images,
      maxTestImages: given.test_images,
      logEverySteps: given.print_freq,
      precision: given.precision,
    }),
  };
}

function folderOf({ exp_name: name, save_dir: folder }: ImpFlags): string {
  if (name === undefined && folder === undefined) {
    throw new UsageError('--exp_name is missing, expected the name of the run, or --save_dir.');
  }
  if (name === undefined) return folder ?? '';
  if (/[/\\]|^\.+$|^$/.test(name)) {
    throw new UsageError(`--exp_name: got '${name}', expected the name of a folder, not a path.`);
  }
  return join(folder ?? 'runs', name);
}

/** @throws UsageError for an architecture that the script has no flags for */
function scriptFamily(arch: string): ScriptFamily {
  const { name } = familyOf(arch);
  const known = Object.hasOwn(scriptFamilies, name) ? scriptFamilies[name] : undefined;
  if (known !== undefined) return known;
  throw new UsageError(
    `--arch ${arch}: the original script has no flags for its family, ${name}. Use 'mamba-prune train' and 'mamba-prune prune'.`,
  );
}

/** Absolute; published weights that are still to be downloaded have no path, only a name. */
const pathOf = (model: string): string => (isPublishedName(model) ? model : resolve(model));

/** Single weights set to zero leave every matrix as large as it was. */
function checkStructured(given: ImpFlags, arch: string, family: ScriptFamily): void {
  for (const [owner, flags] of Object.entries(familyFlags)) {
    const foreign = owner === family ? undefined : flags.find((name) => given[name] !== undefined);
    if (foreign === undefined) continue;
    throw new UsageError(
      `got --${foreign}, which is for ${owner} models, but ${arch} is a ${family}. Leave it out.`,
    );
  }
  const [structured] = familyFlags[family];
  if (structured === undefined || given[structured] === true) return;
  throw new UsageError(
    `got ${arch} without --${structured}: the script would set single weights to zero, which leaves every ` +
      'matrix as large as it was and gains no speed, so it is not offered. ' +
      `Add --${structured} to remove whole ${family === 'vit' ? 'heads and neurons' : 'channels and neurons'}.`,
  );
}
