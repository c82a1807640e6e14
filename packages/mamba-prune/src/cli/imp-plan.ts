// What the flags of the original training script ask for, in our own settings.
import { join, resolve } from 'node:path';
import { needsFolder } from '../data/datasets.js';
import { defined } from '../defined.js';
import { UsageError } from '../errors.js';
import { isPublishedName } from '../hub-names.js';
import { familyOf } from '../models/families.js';
import type { ImpPlan } from '../workflows/imp.js';
import { densePath } from '../workflows/prune/files.js';
import type { Rewind } from '../workflows/prune/rewind-time.js';
import type { PruneSettings } from '../workflows/prune/settings.js';
import type { RecipeSettings, TrainSettings } from '../workflows/settings.js';
import { compensateOf } from './options/compensation.js';
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
export function planImp(given: ImpFlags, seed: number): PlannedImp {
  checkRefused(given);
  const flags: Flags = { ...scriptDefaults, ...given };
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
  const reading = defined({
    key: given.weights,
    classifier: given.classifier,
    resamplePositions: given.resample_positions,
  });
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
  if (given.resample_positions !== undefined) {
    throw new UsageError(
      'got --resample_positions without --pretrained or --init, the file that it is about. Leave it out.',
    );
  }
  const about = (['weights', 'classifier'] as const).find((name) => given[name] !== undefined);
  if (about === undefined) return;
  throw new UsageError(
    `got --${about} '${given[about]}' without --pretrained or --init, the file that it is about. Leave it out.`,
  );
}

/** With the script's defaults. */
type Flags = ImpFlags & Required<Pick<ImpFlags, keyof typeof scriptDefaults>>;

/** SGD with momentum, the rate falling to a tenth at the milestones, as the script has it. */
function recipeOf(flags: Flags, given: ImpFlags, seed: number, notes: string[]): RecipeSettings {
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

/** How much is cut: by rates, or by a budget for which the rates only name the kinds. */
function amountOf(
  given: ImpFlags,
  rates: Record<string, number>,
): Pick<PruneSettings, 'rates' | 'costBudget'> {
  const { target_macs: macs, target_params: params, target_file: file } = given;
  const costBudget = defined({ macs, params, file, latency: given.target_latency });
  if (Object.keys(costBudget).length === 0) return { rates };
  const typed = (['rate', 'mamba_mlp_prune_ratio', 'mlp_prune_ratio'] as const).find(
    (flag) => given[flag] !== undefined,
  );
  if (typed !== undefined) {
    throw new UsageError(
      `got --${typed} with a budget (--target_macs and its like), expected one of the two. Leave one out.`,
    );
  }
  return { costBudget, rates: Object.fromEntries(Object.keys(rates).map((kind) => [kind, 0])) };
}

/** @throws UsageError for a target of which the architecture has nothing */
function ratesOf(flags: Flags, arch: string, family: ScriptFamily): Record<string, number> {
  const { rate } = flags;
  const hasMlp = Object.hasOwn(familyOf(arch).kinds, 'mlp');
  if (family === 'resnet') return { channels: rate };
  if (family === 'mamba') {
    const target = flags.mamba_prune_target;
    if (target === 'mlp' && !hasMlp) {
      throw new UsageError(
        `--mamba_prune_target: got mlp, but the blocks of ${arch} have no MLP. Give ssm, or leave it out.`,
      );
    }
    return {
      ...(target !== 'mlp' && { ssm: rate }),
      ...(target !== 'ssm' && hasMlp && { mlp: flags.mamba_mlp_prune_ratio }),
    };
  }
  const target = flags.vit_prune_target;
  return {
    ...(target !== 'mlp' && { heads: rate }),
    ...(target !== 'head' && { mlp: flags.mlp_prune_ratio ?? rate }),
  };
}

/** The script's flags of RSST mean RSST; without any it is Refill. */
function methodOf(
  given: ImpFlags,
  flags: Flags,
): Pick<PruneSettings, 'method' | 'refill' | 'rsst'> {
  const { RST_schedule, reg_granularity_prune, exponents, reg_epochs, fillback_rate } = given;
  const regularizing = { RST_schedule, reg_granularity_prune, exponents, reg_epochs };
  const [typed] = Object.keys(defined(regularizing));
  const method = given.struct ?? (typed === undefined ? 'refill' : 'rsst');
  if (method === 'refill') {
    if (typed !== undefined) {
      throw new UsageError(
        `got --${typed} with --struct refill, but it belongs to rsst. Leave one out.`,
      );
    }
    return { method, refill: { fillback: flags.fillback_rate } };
  }
  if (fillback_rate !== undefined && fillback_rate > 0) {
    throw new UsageError(
      `got --fillback_rate with ${given.struct === undefined ? `--${typed ?? ''}, a flag of rsst` : '--struct rsst'}, but it belongs to refill. Leave one out.`,
    );
  }
  return {
    method,
    rsst: {
      schedule: flags.RST_schedule,
      strength: flags.reg_granularity_prune,
      exponent: flags.exponents,
      norm: 'l1',
      units: 'all',
      epochs: reg_epochs ?? flags.epochs,
    },
  };
}

/** @param isTrained - whether the dense model is still to be trained */
function rewindOf(
  { prune_type, rewind_epoch }: ImpFlags,
  flags: Flags,
  isTrained: boolean,
): Rewind {
  if (rewind_epoch !== undefined && prune_type !== 'rewind_lt') {
    throw new UsageError(
      `got --rewind_epoch with ${prune_type === undefined ? 'no --prune_type' : `--prune_type ${prune_type}`}, expected rewind_lt. Leave it out, or give --prune_type rewind_lt.`,
    );
  }
  if (prune_type === 'rewind_lt' && isTrained && flags.rewind_epoch > flags.epochs) {
    throw new UsageError(
      `got ${rewind_epoch === undefined ? `--prune_type rewind_lt, whose --rewind_epoch is ${flags.rewind_epoch},` : `--rewind_epoch ${rewind_epoch}`} ` +
        `with --epochs ${flags.epochs}, expected an epoch of the dense training: 0 to ${flags.epochs}. Give --rewind_epoch.`,
    );
  }
  if (prune_type === undefined) return 'none';
  if (prune_type === 'lt') return 'init';
  if (prune_type === 'pt') return 'source';
  return flags.rewind_epoch === 0 ? 'init' : `epoch:${flags.rewind_epoch}`;
}

function rankingOf(
  { sorting_mode: mode }: ImpFlags,
  family: ScriptFamily,
): PruneSettings['ranking'] {
  if (mode === undefined) return family === 'vit' ? 'layer' : 'global';
  return mode === 'global' ? 'global' : 'layer';
}
