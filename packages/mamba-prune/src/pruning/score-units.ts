// How much a unit matters: an importance over the slices that a score picks. Linear weights are [out, in].
import { Tensor, noGrad, scope, zeros } from '@mamba-prune/libtorch';
import { shown } from '../checks.js';
import { UsageError } from '../errors.js';
import {
  type GroupMember,
  type PruningGroup,
  memberOffset,
  memberUnitSize,
} from '../models/groups.js';
import type { ImageModel } from '../models/image-model.js';
import { requireModel } from '../models/require-model.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import type { Calibration } from './calibration.js';
import { todaysCut } from './earlier-names.js';
import {
  type ImportanceContext,
  type ImportanceFunction,
  type ImportanceName,
  type UnitScore,
  checkImportance,
  defaultImportance,
  defaultScore,
  importancesOfWeights,
  isBuiltIn,
  needForImages,
  registeredFunction,
  unitScores,
} from './importances.js';
import { importanceFunctions } from './importances/index.js';
import { sliceRules } from './scores/index.js';
import type { SliceRule } from './scores/slice-rule.js';
import { checkChoice, checkScores } from './selection.js';

export interface ScoreOptions {
  /**
   * The name of one, or a function of one's own. By default that of `defaultImportance`: taylor where there are
   * images.
   */
  readonly importance?: ImportanceName | ImportanceFunction | undefined;
  /** Default `consumer`. */
  readonly score?: UnitScore | undefined;
}

export const scoreKinds: OptionKinds<ScoreOptions> = {
  importance: ['string', 'function'],
  score: 'string',
};

/**
 * One score per unit and group; larger is better. The model is left exactly as it was.
 *
 * @param calibration - needed for importances and scores that look at images; a pass over it for each that does.
 *   Where it is given and no importance is, that is taylor
 * @returns per group name, `size` scores
 * @throws UsageError if there is no calibration where it is needed, or a group cannot be scored so, before any pass
 *   over the data; and if a function of one's own gives other than a finite number per unit
 */
export async function scoreUnits(
  model: ImageModel,
  groups: readonly PruningGroup[],
  given: ScoreOptions,
  calibration?: Calibration,
): Promise<Map<string, Float64Array>> {
  requireModel('scoreUnits', model);
  if (!Array.isArray(groups)) {
    throw new UsageError(
      `scoreUnits: got ${shown(groups)} in place of the groups, expected an array, such as model.pruningGroups().`,
    );
  }
  const options = todaysCut(given);
  requireOptions('scoreUnits', options, scoreKinds);
  if (calibration !== undefined && typeof calibration !== 'function') {
    throw new UsageError(
      `scoreUnits: got ${shown(calibration)} in place of the calibration, expected a function that gives batches.`,
    );
  }
  checkScoring(groups, options, calibration);
  const { score = defaultScore } = options;
  const { importance = defaultImportance(calibration !== undefined, score) } = options;
  const rule = sliceRules[score];
  const members = membersThatCount(model, groups, rule);
  const scores = await computed(importance, {
    model,
    groups,
    members,
    calibration,
    sumOf: (values, norm) => sumUp(groups, members, { values, norm }, rule),
  });
  if (rule.factorsOf && calibration) {
    const factors = await rule.factorsOf(model, groups, calibration);
    for (const [name, values] of scores) multiply(values, name, factors);
  }
  return scores;
}

async function computed(
  importance: ImportanceName | ImportanceFunction,
  context: ImportanceContext,
): Promise<Map<string, Float64Array>> {
  if (typeof importance !== 'function' && isBuiltIn(importance)) {
    return checked(await importanceFunctions[importance](context), context);
  }
  const own = typeof importance === 'function' ? importance : registeredFunction(importance);
  const scores = checked(await own?.(context), context);
  for (const [name, values] of scores) checkScores(name, values);
  return scores;
}

/** The scores of the groups asked for. @throws UsageError for what a function of one's own may have got wrong */
function checked(scores: unknown, { groups }: ImportanceContext): Map<string, Float64Array> {
  if (!(scores instanceof Map)) {
    const got = scores === null ? 'null' : Array.isArray(scores) ? 'an array' : typeof scores;
    throw new UsageError(
      `importance: the function gave ${got}, expected a Map of the scores by group name.`,
    );
  }
  return new Map(
    groups.map(({ name, size }) => {
      const values: unknown = scores.get(name);
      if (!isList(values) || values.length !== size) {
        const got = values === undefined ? 'no scores' : isList(values) ? values.length : 'no list';
        throw new UsageError(
          `importance: the function gave ${got} for the group '${name}', expected ${size} numbers, one per unit.`,
        );
      }
      if (!Array.from(values).every((value) => typeof value === 'number')) {
        throw new UsageError(
          `importance: the function gave values that are no numbers for the group '${name}', expected ${size} numbers, one per unit.`,
        );
      }
      return [name, Float64Array.from(values)];
    }),
  );
}

const isList = (values: unknown): values is ArrayLike<number> =>
  Array.isArray(values) || (ArrayBuffer.isView(values) && 'length' in values);

/**
 * Finds what is wrong with a choice of scores without computing any.
 * @throws UsageError
 */
export function checkScoring(
  groups: readonly PruningGroup[],
  given: ScoreOptions,
  calibration: Calibration | undefined,
): void {
  const { score = defaultScore, importance: chosen } = todaysCut(given);
  const importance = chosen ?? defaultImportance(calibration !== undefined, score);
  if (typeof importance !== 'function') checkImportance(importance);
  checkChoice('score', score, unitScores);
  const named = typeof importance === 'function' ? undefined : importance;
  if (score === 'activation') {
    const ofWeights = importancesOfWeights();
    if (named !== undefined && !ofWeights.includes(named)) {
      throw new UsageError(
        `\`score\` activation: got \`importance\` ${named}, expected ${ofWeights.join(' or ')}, the norm that the outputs are multiplied by.`,
      );
    }
    requireProbe('`score` activation', groups, 'Use `score` consumer or group');
  }
  const need = needForImages({ importance: named, score });
  if (need === undefined || calibration) return;
  throw new UsageError(
    `${need}: got no images, expected batches of real data. ` +
      `Give a data set, or use \`importance\` ${importancesOfWeights().join(' or ')} with \`score\` consumer or group.`,
  );
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
function unitRows(member: GroupMember, group: PruningGroup, tensor: Tensor): Tensor {
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

function membersThatCount(
  model: ImageModel,
  groups: readonly PruningGroup[],
  { counts }: SliceRule,
): ImportanceContext['members'] {
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
        (member) => parameters.has(member.parameter) && counts(member),
      );
      if (counting.length === 0) {
        throw new UsageError(
          `group '${group.name}': got no member marked as scored, expected one. Use \`score\` group.`,
        );
      }
      return [group.name, counting];
    }),
  );
}

/** A tensor per parameter whose slices are summed up, and how. */
interface Weighing {
  readonly values: ReadonlyMap<string, Tensor>;
  readonly norm: 'l1' | 'l2';
}

function sumUp(
  groups: readonly PruningGroup[],
  members: ImportanceContext['members'],
  { values, norm }: Weighing,
  { divisorOf }: SliceRule,
): Map<string, Float64Array> {
  const scoresOf = (group: PruningGroup): Float64Array =>
    scope(() =>
      noGrad(() => {
        const total = zeros([group.size], { dtype: 'float64' });
        for (const member of members.get(group.name) ?? []) {
          const norms = rowNorms(unitRows(member, group, valuesOf(values, member)), norm);
          const divisor = divisorOf?.(norms) ?? 1;
          // A member of zeros tells no unit from another.
          if (divisor !== 0) total.add_(norms.div(divisor));
        }
        return total.toTypedArray() as Float64Array;
      }),
    );
  return new Map(groups.map((group) => [group.name, scoresOf(group)]));
}

function valuesOf(values: ReadonlyMap<string, Tensor>, { parameter }: GroupMember): Tensor {
  const found = (values as unknown) instanceof Map ? values.get(parameter) : undefined;
  if (found instanceof Tensor) return found;
  throw new UsageError(
    `sumOf: got no values for '${parameter}', expected a tensor of its shape for every parameter of the members.`,
  );
}

function multiply(
  scores: Float64Array,
  name: string,
  factors: ReadonlyMap<string, Float64Array>,
): void {
  factors.get(name)?.forEach((value, unit) => {
    scores[unit] = (scores[unit] as number) * value;
  });
}
