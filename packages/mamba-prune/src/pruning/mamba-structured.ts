// The functions of the original Python project under their names in camelCase, on our models and
// tensors: a way in for people who know those. The general ones are scoreUnits, pruneOneShot and
// pruneWithRefill.
//
// What differs: scores are over the channels that are really deleted (input channels of out_proj, its
// columns; the original took norms over dim 1, which are those of output channels); taylor without
// gradients is an error, not a silent l1; ranking by layer works for the MLP too; a new, smaller model is
// returned and the given one is left alone. What it calls `method` is `ranking` and `importance` here; `method` and
// `layerwise` are read as well.
import { type Tensor, noGrad, scope } from '@mamba-prune/libtorch';
import { UsageError } from '../errors.js';
import type { ImageModel } from '../models/image-model.js';
import { type OptionKinds, checkOptions } from '../option-checks.js';
import type { Calibration } from './calibration.js';
import { renamed, todaysValue } from './earlier-names.js';
import { type PruningResult, pruneOneShot } from './oneshot.js';
import { rowNorms } from './score-units.js';
import { type CutOptions, cutKinds } from './select-units.js';
import { computeStructuredRegularization } from './rsst/index.js';
import { type Ranking, checkChoice, rankings } from './selection.js';

/** A linear layer, or anything else with a weight of shape [out, in]. */
export interface HasWeight {
  readonly weight: Tensor;
}

/** The two functions that prune one kind of unit take these, and the ratio. */
export interface StructuredPruningOptions extends Omit<
  CutOptions,
  'rates' | 'ranking' | 'costBudget' | 'rankBy' | 'cost'
> {
  /** Whether units of all blocks are ranked together, or those of each block by themselves. Default `global`. */
  readonly ranking?: Ranking;
  /** Real images, for importances and scores that look at them: taylor, the default with images, is one. */
  readonly calibration?: Calibration;
}

export interface PruneKindOptions extends StructuredPruningOptions {
  /** Fraction of the units to remove, in [0, 1). Default `0.7`. */
  readonly pruneRatio?: number;
}

export interface PruneHybridOptions extends StructuredPruningOptions {
  /** Fraction of the SSM channels to remove, in [0, 1). Default `0.7`. */
  readonly ssmRatio?: number;
  /** Fraction of the MLP neurons to remove, in [0, 1). Default `0.7`. */
  readonly mlpRatio?: number;
}

/** Those that a weight and the gradient which it holds are enough for. */
const importancesOfLayers = ['l1', 'l2', 'taylor'] as const;
export type LayerImportance = (typeof importancesOfLayers)[number];

/**
 * `calculate_channel_importance(linear_layer, method)`: one score per *input* channel of a layer, so
 * for out_proj one per SSM channel.
 *
 * @param importance - l1 or l2: the norm of the channel's column of the weight; taylor: the sum of
 *   |w dL/dw| over it, with the gradient that `weight.grad` holds
 * @returns [in]
 * @throws UsageError for taylor without a gradient, or a weight that is no matrix
 */
export function calculateChannelImportance(
  layer: HasWeight,
  importance: LayerImportance = 'l1',
): Float64Array {
  return sliceNorms('calculateChannelImportance', layer, 1, importance);
}

/**
 * `calculate_neuron_importance(fc1, fc2)`: one score per hidden neuron of an MLP, the norm of its row
 * of fc1 plus the norm of its column of fc2; biases do not count.
 *
 * @param importance - as for `calculateChannelImportance`
 * @returns [hidden]
 * @throws UsageError for taylor without gradients, or layers that do not follow each other
 */
export function calculateNeuronImportance(
  fc1: HasWeight,
  fc2: HasWeight,
  importance: LayerImportance = 'l1',
): Float64Array {
  const where = 'calculateNeuronImportance';
  const rows = sliceNorms(where, fc1, 0, importance);
  const columns = sliceNorms(where, fc2, 1, importance);
  if (rows.length !== columns.length) {
    throw new UsageError(
      `${where}: got fc1 with ${rows.length} outputs and fc2 with ${columns.length} inputs, expected the same number of neurons`,
    );
  }
  return rows.map((value, unit) => value + (columns[unit] as number));
}

/**
 * `prune_mamba_ssm_structured(model, prune_ratio, method)`: cuts whole SSM channels (d_inner).
 * @param options - or the ratio, with the ranking after it, as in Python
 * @throws UsageError for a model without SSMs, a ratio outside [0, 1), an option that there is not, and what
 *   `pruneOneShot` refuses
 */
export async function pruneMambaSsmStructured(
  model: ImageModel,
  options: PruneKindOptions | number = {},
  ranking?: Ranking,
): Promise<PruningResult> {
  return pruneKind('pruneMambaSsmStructured', 'ssm', model, options, ranking);
}

/**
 * `prune_mamba_mlp_structured(model, prune_ratio, method)`: cuts whole hidden neurons of the MLPs.
 * @throws as `pruneMambaSsmStructured`
 */
export async function pruneMambaMlpStructured(
  model: ImageModel,
  options: PruneKindOptions | number = {},
  ranking?: Ranking,
): Promise<PruningResult> {
  return pruneKind('pruneMambaMlpStructured', 'mlp', model, options, ranking);
}

/**
 * `prune_mamba_hybrid(model, ssm_ratio, mlp_ratio)`: both at once, each ranked inside its own kind.
 * @param given - or the ratio of the SSM channels, with that of the neurons after it, as in Python
 * @throws as `pruneMambaSsmStructured`
 */
export async function pruneMambaHybrid(
  model: ImageModel,
  given: PruneHybridOptions | number = {},
  second?: number,
): Promise<PruningResult> {
  const where = 'pruneMambaHybrid';
  const all =
    typeof given === 'number'
      ? { ssmRatio: given, ...(second !== undefined && { mlpRatio: second }) }
      : renamed(given, earlierNames);
  if (typeof given !== 'number') refuseSecond(where, second);
  checkOptions(where, all, { ssmRatio: 'number', mlpRatio: 'number', ...structuredKinds });
  const { ssmRatio = 0.7, mlpRatio = 0.7, ...options } = all;
  const ratios = { ssm: ['ssmRatio', ssmRatio], mlp: ['mlpRatio', mlpRatio] } as const;
  return prune(where, model, ratios, options);
}

/** As in Python. */
const earlierNames = { method: 'ranking' } as const;

const structuredKinds: OptionKinds<StructuredPruningOptions> = {
  ranking: 'string',
  importance: cutKinds.importance,
  score: cutKinds.score,
  normalize: cutKinds.normalize,
  roundTo: cutKinds.roundTo,
  maxRate: cutKinds.maxRate,
  sizes: cutKinds.sizes,
  rateOf: cutKinds.rateOf,
  minWidth: cutKinds.minWidth,
  calibration: 'function',
};

/** One kind, told as an object or as in Python. */
function pruneKind(
  where: string,
  kind: 'ssm' | 'mlp',
  model: ImageModel,
  given: PruneKindOptions | number,
  ranking: Ranking | undefined,
): Promise<PruningResult> {
  const all =
    typeof given === 'number'
      ? { pruneRatio: given, ...(ranking !== undefined && { ranking }) }
      : renamed(given, earlierNames);
  if (typeof given !== 'number') refuseSecond(where, ranking);
  checkOptions(where, all, { pruneRatio: 'number', ...structuredKinds });
  const { pruneRatio = 0.7, ...options } = all;
  return prune(where, model, { [kind]: ['pruneRatio', pruneRatio] }, options);
}

/** What comes after an object would be passed over. */
function refuseSecond(where: string, second: unknown): void {
  if (second === undefined) return;
  throw new UsageError(
    `${where}: got ${JSON.stringify(second)} after the options, expected it among them, or numbers in place of the options.`,
  );
}

/** Per kind of group: what the caller calls the ratio, and the ratio. */
type Ratios = Readonly<Record<string, readonly [name: string, ratio: number]>>;

async function prune(
  where: string,
  model: ImageModel,
  ratios: Ratios,
  { ranking: given = 'global', calibration, ...selection }: StructuredPruningOptions,
): Promise<PruningResult> {
  const ranking = todaysValue('ranking', given) as Ranking;
  checkChoice(`${where}: ranking`, ranking, rankings);
  for (const [name, ratio] of Object.values(ratios)) {
    if (!(typeof ratio === 'number' && ratio >= 0 && ratio < 1)) {
      throw new UsageError(
        `${where}: got ${name} ${ratio}, expected the fraction to remove, from 0 up to but not including 1 (0.7 removes 70%)`,
      );
    }
  }
  if (!model.pruningGroups().some(({ kind }) => kind === 'ssm')) {
    throw new UsageError(
      `${where}: got ${model.config.arch}, expected a Mamba model. Use pruneOneShot for the others.`,
    );
  }
  const rates = Object.fromEntries(
    Object.entries(ratios).map(([kind, [, ratio]]) => [kind, ratio]),
  );
  return pruneOneShot(model, { ...selection, ranking, rates }, calibration);
}

/** Scores of the slices of a matrix at each index of `dim`. */
function sliceNorms(
  where: string,
  { weight }: HasWeight,
  dim: 0 | 1,
  importance: LayerImportance,
): Float64Array {
  checkChoice(`${where}: importance`, importance, importancesOfLayers);
  if (weight.ndim !== 2) {
    throw new UsageError(
      `${where}: got a weight of shape [${weight.shape.join(', ')}], expected that of a linear layer, [out, in]`,
    );
  }
  return scope(() =>
    noGrad(() => {
      const rows = (tensor: Tensor): Tensor => (dim === 0 ? tensor : tensor.t());
      if (importance !== 'taylor') return toArray(rowNorms(rows(weight.detach()), importance));
      const { grad } = weight;
      if (!grad) {
        throw new UsageError(
          `${where}: got importance taylor for a weight without a gradient, expected one. ` +
            'Call backward on the loss of real data first, or use scoreUnits, which gathers the gradients itself.',
        );
      }
      const product = weight.detach().to('float64').mul(grad);
      return toArray(rowNorms(rows(product), 'l1'));
    }),
  );
}

const toArray = (scores: Tensor): Float64Array => scores.toTypedArray() as Float64Array;

/**
 * `compute_mamba_structured_regularization`: `strength` times the l1 norms of out_proj's
 * columns (the *input* channels, which are what pruning removes) and of fc1's rows.
 * @returns 0-d
 * @throws UsageError for an unknown target, or a model without such groups
 */
export function computeMambaStructuredRegularization(
  model: ImageModel,
  strength = 1e-4,
  target: 'ssm' | 'mlp' | 'both' = 'both',
): Tensor {
  if (!(strength >= 0 && strength < Infinity)) {
    throw new UsageError(`strength: got ${strength}, expected a number of at least 0`);
  }
  const targets = target === 'both' ? ['ssm', 'mlp'] : [target];
  const options = { norm: 'l1', targets } as const;
  return computeStructuredRegularization(model, model.pruningGroups(), options).mul(strength);
}
