// What the flags of the original training script mean here: its names and defaults, what of it is not offered, and the dense
// model that they name.
import { boxedArgument, boxedModelsIfAny, boxedPackage } from '../../boxed-models.js';
import { UsageError } from '../../errors.js';
import { publishedArgument } from '../../hub-names.js';
import { publishedOf, publishedWeights } from '../../models/published.js';
import { type ImportanceName, importanceNames } from '../../pruning/importances.js';
import type { ImpFlags } from './imp.js';

/** Architectures by the script's names; those of ours are known too. */
export const scriptArchitectures: Readonly<Record<string, string>> = {
  res20s: 'resnet20',
  res56s: 'resnet56',
  res18: 'resnet18',
  res50: 'resnet50',
};

/** Values that flags have in the script when they are not typed. */
export const scriptDefaults = {
  data: 'data',
  dataset: 'cifar100',
  arch: 'res20s',
  batch_size: 128,
  lr: 0.01,
  momentum: 0.9,
  weight_decay: 1e-4,
  epochs: 120,
  warmup: 20,
  decreasing_lr: [91, 136],
  pruning_times: 20,
  rate: 0.2,
  rewind_epoch: 24,
  fillback_rate: 0,
  reg_granularity_prune: 1,
  RST_schedule: 'exp_custom_exponents',
  exponents: 4,
  mamba_prune_target: 'both',
  mamba_mlp_prune_ratio: 0.7,
  vit_prune_target: 'head',
} as const satisfies ImpFlags;

/** Flags that only one family of models has; ResNets are always pruned by channels. */
export const familyFlags = {
  mamba: ['mamba_structured', 'mamba_prune_target', 'mamba_mlp_prune_ratio'],
  vit: ['vit_structured', 'vit_prune_target', 'mlp_prune_ratio'],
  resnet: [],
} as const satisfies Record<string, readonly (keyof ImpFlags)[]>;

/** A family that the script knows. */
export type ScriptFamily = keyof typeof familyFlags;

/** Whose flags a family of ours has: those of the script's Mambas are for all that scan. */
export const scriptFamilies: Readonly<Record<string, ScriptFamily>> = {
  mamba: 'mamba',
  vim: 'mamba',
  vmamba: 'mamba',
  vit: 'vit',
  resnet: 'resnet',
};

/** Flags of the script that mean something which is not done here, and why not. */
export const refusedFlags: Readonly<Record<string, { flags: string; why: string }>> = {
  file_name: {
    flags: '--file_name <file>',
    why: 'index files belong to splits that only the script makes: choose how many images with --train_images',
  },
  checkpoint: {
    flags: '--checkpoint <file>',
    why: 'the folder of the run knows its checkpoints: --resume alone goes on from the last one',
  },
  conv1: {
    flags: '--conv1',
    why: 'the first convolution makes the residual stream, which keeps its width; it is rewound with all the rest',
  },
  fc: {
    flags: '--fc',
    why: 'rewinding takes all weights back, those of the classifier too: choose the time with --prune_type',
  },
  block_loss_grad: {
    flags: '--block_loss_grad [value]',
    why: "the loss is heard by every unit here: what comes nearest is 'mamba-prune prune --method rsst --reg-units doomed', which drives only the units that go to zero",
  },
};

/** Values of --criteria that the script has, in our own names; undefined for what is not offered. */
const scriptCriteria: Readonly<Record<string, ImportanceName>> = { magnitude: 'l1' };

/** Values of --criteria that the script has and that are not offered, and why not. */
export const refusedCriteria: Readonly<Record<string, string>> = {
  remain:
    'it counts the single weights that an unstructured mask left in each channel, and there is no such mask here; the nearest is --criteria l1',
  saliency:
    'the script computes it otherwise; the nearest is --criteria taylor, which sums |weight x gradient| over real images',
};

/** The values of --criteria that are offered. */
export const criteria = (): string[] => [...Object.keys(scriptCriteria), ...importanceNames()];

/**
 * @returns undefined where none is asked for, so that the run takes its default
 * @throws UsageError for a criterion that is not offered, naming the nearest
 */
export function importanceOf(criterion: string | undefined): ImportanceName | undefined {
  if (criterion === undefined) return undefined;
  const why = refusedCriteria[criterion];
  if (why === undefined) return scriptCriteria[criterion] ?? criterion;
  throw new UsageError(`--criteria ${criterion} is not offered: ${why}.`);
}

/** @throws UsageError naming a flag that is not offered, with the reason */
export function checkRefused(given: object): void {
  for (const [name, { why }] of Object.entries(refusedFlags)) {
    if (name in given) throw new UsageError(`--${name} is not offered: ${why}.`);
  }
}

const pretrainedFlags = ['pretrained', 'mamba_pretrained', 'vit_pretrained'] as const;

/** The first of the script's flags by which a dense model was given; `--pretrained` where none was. */
export const pretrainedFlag = (given: ImpFlags): string =>
  `--${pretrainedFlags.find((name) => given[name] !== undefined) ?? 'pretrained'}`;

/**
 * The dense model, by whichever of the script's flags.
 * @throws UsageError if one is given without a model and no trained one fits, or several are
 */
export function pretrainedOf(given: ImpFlags): string | undefined {
  const typed = pretrainedFlags.filter((name) => given[name] !== undefined);
  const [first, second] = typed;
  if (first === undefined) return undefined;
  if (second !== undefined) {
    throw new UsageError(
      `got --${first} and --${second}, expected one dense model. Leave one of them out.`,
    );
  }
  const model = given[first];
  return typeof model === 'string' ? model : trainedModel(`--${first}`, given);
}

/**
 * The dense model of the package of trained ones that is of the architecture and the data, else the published weights of
 * the architecture, and of its stride where it has one.
 * @throws UsageError if there are neither
 */
function trainedModel(flag: string, given: ImpFlags): string {
  const { arch: name = scriptDefaults.arch, dataset = scriptDefaults.dataset } = given;
  const arch = scriptArchitectures[name] ?? name;
  const trained = boxedModelsIfAny();
  const dense = trained.filter(({ pruning }) => pruning === null);
  const found = dense.find((model) => model.arch === arch && model.dataset === dataset);
  if (found) return boxedArgument(found);
  const published = publishedOf(arch, { stride: given.stride });
  if (published) return publishedArgument(published);
  const known = [...new Set(publishedWeights().map((weights) => weights.arch))];
  const names = dense.map(boxedArgument).join(', ');
  const without =
    trained.length === 0 ? 'is not installed' : 'has no dense models, only pruned ones';
  const there =
    names === ''
      ? `${boxedPackage} ${without}`
      : `the dense models of ${boxedPackage} are ${names}`;
  throw new UsageError(
    `got ${flag} without a model, expected one: there is no trained ${arch} for ${dataset} (${there}), and no published weights of ` +
      `${arch} are known, only of ${known.join(', ')}. Give a file, run, ` +
      `hf:owner/name or models:NAME with ${flag} or --pretrained (to be pruned as it is), or with --init (to be trained on first).`,
  );
}
