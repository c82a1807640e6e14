// How much a unit matters. Linear weights are [out, in].
import { type Tensor, noGrad, scope, zeros } from '@mamba-prune/libtorch';
import { UsageError } from '../errors.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import type { ImageModel } from '../models/image-model.js';
import { type Calibration, free } from './calibration.js';
import {
  type GroupMember,
  type PruningGroup,
  memberOffset,
  memberUnitSize,
} from '../models/groups.js';
import { meanGradients, meanOutputs } from './measure.js';
import { checkChoice } from './selection.js';

export type { Calibration, CalibrationBatch } from './calibration.js';

/**
 * The norm of a unit's slice w of one parameter.
 * l1: sum of |w|; l2: square root of the sum of w²; taylor: sum of |w dL/dw|, the first-order change
 * of the loss if each weight went (Molchanov et al. 2019, arXiv 1906.10771, section 3.1, absolute
 * values in place of squares).
 */
export const importanceNorms = ['l1', 'l2', 'taylor'] as const;
export type ImportanceNorm = (typeof importanceNorms)[number];

/**
 * Which slices count.
 * out_proj: the members that the model marks `scored`, their norms added up. Of an SSM channel that
 *   is the column of out_proj, of a neuron the row of fc1 and the column of fc2.
 * group: every parameter of the group, each member's norms divided by their mean over the units, so
 *   that no member drowns the others. (Buffers, such as batch statistics, are no weights.)
 * activation: mean |output| of the unit on real data times the norm of the weights that read it: what
 *   the unit really adds to the next layer.
 */
export const unitScores = ['out_proj', 'group', 'activation'] as const;
export type UnitScore = (typeof unitScores)[number];

export interface ScoreOptions {
  /** By default that of `defaultImportance`: taylor where there are images. */
  readonly importance?: ImportanceNorm | undefined;
  /** Default `out_proj`. */
  readonly score?: UnitScore | undefined;
}

export const scoreKinds: OptionKinds<ScoreOptions> = { importance: 'string', score: 'string' };

/**
 * The importance that is taken where none is given, by what is left of a Mamba right after a cut
 * (docs/methods.md, "Which importance", has the measurement and where others do better). `taylor` looks at real
 * images; without them `l1` is the best of those that see the weights alone. The score `activation` multiplies
 * by a norm of weights, and takes `l1`.
 *
 * @param hasImages - whether there are real images to measure on
 */
export function defaultImportance(
  hasImages: boolean,
  score: UnitScore = 'out_proj',
): ImportanceNorm {
  return hasImages && score !== 'activation' ? 'taylor' : 'l1';
}

/** A tensor per parameter whose slices are summed up, and how. */
interface Weighing {
  readonly values: ReadonlyMap<string, Tensor>;
  readonly norm: 'l1' | 'l2';
}

/**
 * One score per unit and group; larger is better. The model is left exactly as it was.
 *
 * @param calibration - needed for importance taylor and score activation; one pass over it. Where it
 *   is given and no importance is, that is taylor
 * @returns per group name, `size` scores
 * @throws UsageError if there is no calibration where it is needed, or a group cannot be scored so;
 *   before any pass over the data
 */
export async function scoreUnits(
  model: ImageModel,
  groups: readonly PruningGroup[],
  options: ScoreOptions,
  calibration?: Calibration,
): Promise<Map<string, Float64Array>> {
  requireOptions('scoreUnits', options, scoreKinds);
  checkScoring(groups, options, calibration);
  const { score = 'out_proj' } = options;
  const { importance = defaultImportance(calibration !== undefined, score) } = options;
  const members = membersThatCount(model, groups, score);
  if (importance === 'taylor') {
    const saliency = await weightTimesGradient(model, members, calibration as Calibration);
    try {
      return sumUp(groups, members, { values: saliency, norm: 'l1' }, score);
    } finally {
      free(saliency);
    }
  }
  const weights = { values: model.namedParameters(), norm: importance };
  const scores = sumUp(groups, members, weights, score);
  if (score === 'activation') {
    const outputs = await meanOutputs(model, groups, calibration as Calibration);
    for (const [name, values] of scores) multiply(values, name, outputs);
  }
  return scores;
}

/**
 * Finds what is wrong with a choice of scores without computing any.
 * @throws UsageError
 */
export function checkScoring(
  groups: readonly PruningGroup[],
  { importance: given, score = 'out_proj' }: ScoreOptions,
  calibration: Calibration | undefined,
): void {
  const importance = given ?? defaultImportance(calibration !== undefined, score);
  checkChoice('importance', importance, importanceNorms);
  checkChoice('score', score, unitScores);
  if (score === 'activation') {
    if (importance === 'taylor') {
      throw new UsageError(
        'score activation: got importance taylor, expected l1 or l2, the norm that the outputs are multiplied by.',
      );
    }
    requireProbe('score activation', groups, 'Use the score out_proj or group');
  }
  if ((importance === 'taylor' || score === 'activation') && !calibration) {
    throw new UsageError(
      `${importance === 'taylor' ? 'importance taylor' : 'score activation'}: got no images, expected batches of real data. ` +
        'Give a data set, or use importance l1 or l2 with the score out_proj or group.',
    );
  }
}

/** @throws UsageError if the model does not show the units of every group to a probe */
export function requireProbe(what: string, groups: readonly PruningGroup[], advice: string): void {
  const hidden = groups.find(({ members }) => !members.some(({ consumer }) => consumer));
  if (hidden) {
    throw new UsageError(
      `${what}: got group '${hidden.name}' of kind ${hidden.kind}, whose units pass through no one place where they could be measured. ` +
        `${advice}, or leave the kind ${hidden.kind} out.`,
    );
  }
}

/** The member's values as [units, values of the unit]. */
export function unitRows(member: GroupMember, group: PruningGroup, tensor: Tensor): Tensor {
  return tensor
    .detach()
    .narrow(member.dim, memberOffset(member), group.size * memberUnitSize(member))
    .transpose(0, member.dim)
    .reshape(group.size, -1);
}

/** l1 or l2 norm of each row, float64 [units] on the CPU. */
export function rowNorms(rows: Tensor, norm: 'l1' | 'l2'): Tensor {
  // In double precision: the order of units must not hang on how a sum was split over threads.
  const values = rows.to('cpu').to('float64');
  return norm === 'l1' ? values.abs().sum(1) : values.square().sum(1).sqrt();
}

type MembersByGroup = ReadonlyMap<string, readonly GroupMember[]>;

function membersThatCount(
  model: ImageModel,
  groups: readonly PruningGroup[],
  score: UnitScore,
): MembersByGroup {
  const parameters = model.namedParameters();
  const state = model.stateDict();
  return new Map(
    groups.map((group) => {
      const missing = group.members.find(({ parameter }) => !state.has(parameter));
      if (missing) {
        throw new UsageError(
          `group '${group.name}': names the parameter '${missing.parameter}', which the model does not have`,
        );
      }
      const counting = group.members.filter(
        ({ parameter, scored, consumer }) =>
          parameters.has(parameter) &&
          (score === 'group' || (score === 'activation' ? consumer : scored)),
      );
      if (counting.length === 0) {
        throw new UsageError(
          `group '${group.name}': got no member marked as scored, expected one. Use the score group.`,
        );
      }
      return [group.name, counting];
    }),
  );
}

/** w dL/dw for every parameter that counts. */
async function weightTimesGradient(
  model: ImageModel,
  members: MembersByGroup,
  calibration: Calibration,
): Promise<Map<string, Tensor>> {
  const names = Array.from(members.values()).flatMap((list) =>
    list.map(({ parameter }) => parameter),
  );
  const gradients = await meanGradients(model, [...new Set(names)], calibration);
  const parameters = model.namedParameters();
  noGrad(() => {
    for (const [name, gradient] of gradients) gradient.mul_(parameters.get(name) as Tensor);
  });
  return gradients;
}

function sumUp(
  groups: readonly PruningGroup[],
  members: MembersByGroup,
  { values, norm }: Weighing,
  score: UnitScore,
): Map<string, Float64Array> {
  const scoresOf = (group: PruningGroup): Float64Array =>
    scope(() =>
      noGrad(() => {
        const total = zeros([group.size], { dtype: 'float64' });
        for (const member of members.get(group.name) ?? []) {
          const tensor = values.get(member.parameter) as Tensor;
          const norms = rowNorms(unitRows(member, group, tensor), norm);
          const mean = score === 'group' ? norms.mean().item() : 1;
          // A member of zeros tells no unit from another.
          if (mean !== 0) total.add_(norms.div(mean));
        }
        return total.toTypedArray() as Float64Array;
      }),
    );
  return new Map(groups.map((group) => [group.name, scoresOf(group)]));
}

function multiply(
  scores: Float64Array,
  name: string,
  outputs: ReadonlyMap<string, Float64Array>,
): void {
  outputs.get(name)?.forEach((value, unit) => {
    scores[unit] = (scores[unit] as number) * value;
  });
}
