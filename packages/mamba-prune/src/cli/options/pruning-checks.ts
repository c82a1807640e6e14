// Flags of prune that would change nothing beside others, and are refused.
import { UsageError } from '../../errors.js';
import { importanceNames, needForImages, unitScores } from '../../pruning/importances.js';
import { type RefillScore, refillScores } from '../../pruning/refill-choices.js';
import { defaultSchedule } from '../../pruning/rsst/schedule.js';
import type { RefillRequest } from '../../workflows/compare/fillback.js';
import type { PruneSettings } from '../../workflows/prune/settings.js';
import { flagOf } from './flag-name.js';
import { methodFlags, ofFillback } from './method-flags.js';
import { type PruningFlags, budgetFlags } from './pruning.js';
import type { RecipeOptions } from './recipe.js';
import { rateFlagNames } from './rates.js';

type Flags = PruningFlags & RecipeOptions;
type Flag = keyof Flags;
/** Flags of one name may have values of another kind in another command. */
type Typed = Readonly<Partial<Record<Flag, unknown>>>;

/** What only a training uses; batch size and numbers of images are those of other work too. */
const ofTraining: readonly Flag[] = [
  ...(['lr', 'optimizer', 'weightDecay', 'momentum', 'schedule', 'milestones', 'gamma'] as const),
  ...(['warmupEpochs', 'labelSmoothing', 'clipGrad', 'ema', 'augment', 'mixup', 'cutmix'] as const),
  ...(['plainEpochs', 'plainAugment', 'evalEvery', 'checkpointEvery'] as const),
];

/**
 * Refuses flags that would change nothing.
 * @param given - what was typed
 * @param settings - what became of it
 * @throws UsageError naming the flag, and where it belongs
 */
export function checkPruningFlags(given: Flags, settings: PruneSettings): void {
  const { method, rsst } = settings;
  for (const [owner, flags] of Object.entries(methodFlags)) {
    if (owner !== method) refuse(given, flags, `belongs to --method ${owner}, not ${method}`);
  }
  const { nearZero = null, units = 'all' } = rsst ?? {};
  if (method === 'rsst' && units === 'all') {
    const why = 'belongs to --reg-units doomed: otherwise the cut goes by --reg-norm';
    refuse(given, ['importance', 'score', 'scoreBatches'], why);
  }
  if (nearZero !== null) {
    const why = 'has no effect under --near-zero, which deletes as many units as there are';
    refuse(
      given,
      [
        ...(['rate', ...rateFlagNames(), 'ranking', 'normalize', 'roundTo', 'maxRate'] as const),
        ...(['perRound', ...budgetFlags, 'rateOf', 'minWidth', 'rankBy'] as const),
      ],
      why,
    );
  }
  checkCutFlags(given, settings);
  if (settings.recipe.epochs === 0 && method !== 'rsst') {
    refuse(given, ofTraining, 'is of a training, and without --epochs there is none after the cut');
  }
  if (settings.costBudget) {
    const why =
      'decides how much is cut, as --target-macs and its like do: expected one of the two';
    refuse(given, ['rate', ...rateFlagNames(), 'perRound'], why);
  }
  if ((rsst?.cuts ?? 1) > 1 && given.rounds !== 1)
    refuse(given, ['rounds'], 'has no say beside --cuts: every cut is a round');
  if ((settings.rounds ?? 1) === 1) refuse(given, ['perRound'], 'belongs to several --rounds');
  if (!settings.distill) refuse(given, ['temperature', 'distillThrough'], 'belongs to --distill');
}

/** What `prune` and `compare` cut by. */
interface CutChoices extends Pick<PruneSettings, 'importance' | 'score' | 'ranking' | 'rsst'> {
  readonly refill?: Pick<RefillRequest, 'fillback' | 'score'> | undefined;
}

/**
 * Of flags of both commands those that would change nothing.
 * @throws UsageError naming the flag, and where it belongs
 */
export function checkCutFlags(
  given: Typed,
  { importance, score, ranking, refill, rsst }: CutChoices,
): void {
  if (refill?.fillback === 0) refuse(given, ['refillScore', 'refillBudget'], ofFillback);
  const { schedule = defaultSchedule(rsst?.apply ?? 'loss') } = rsst ?? {};
  if (schedule !== 'exp' && schedule !== 'exp_custom_exponents') {
    refuse(given, ['exponents'], `has no effect under --reg-schedule ${schedule}`);
  }
  if (needForImages({ importance, score, refillScore: refill?.score }) === undefined) {
    refuse(given, ['scoreBatches'], `belongs to ${choicesWithImages()}`);
  }
  if (ranking === 'layer') {
    refuse(given, ['normalize', 'maxRate', 'rankBy'], 'belongs to --ranking global');
  }
}

/**
 * As `checkCutFlags`, for a measurement, which gives no units back.
 * @throws UsageError
 */
export function checkMeasurementFlags(
  given: Typed,
  { importance, score }: Pick<PruneSettings, 'importance' | 'score'>,
): void {
  // Left out it is one that looks at images.
  if (importance === undefined || needForImages({ importance, score }) !== undefined) return;
  refuse(given, ['scoreBatches'], `belongs to ${choicesWithImages([])}`);
}

/** Every choice that looks at images: `--importance taylor or --score activation`. */
function choicesWithImages(refills: readonly RefillScore[] = refillScores): string {
  const choices = [
    ...importanceNames()
      .filter((importance) => needForImages({ importance }) !== undefined)
      .map((name) => `--importance ${name}`),
    ...unitScores
      .filter((score) => needForImages({ score }) !== undefined)
      .map((name) => `--score ${name}`),
    ...refills
      .filter((refillScore) => needForImages({ refillScore }) !== undefined)
      .map((name) => `--refill-score ${name}`),
  ];
  return `${choices.slice(0, -1).join(', ')} or ${choices.at(-1) ?? ''}`;
}

function refuse(given: Typed, flags: readonly Flag[], why: string): void {
  const typed = flags.find((flag) => given[flag] !== undefined);
  if (typed === undefined) return;
  const flag = flagOf(typed);
  const name = given[typed] === false ? flag.replace('--', '--no-') : flag;
  throw new UsageError(`got ${name}, which ${why}. Leave it out.`);
}
