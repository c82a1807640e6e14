// What a comparison is told, and the runs that follow from it.
import { join } from 'node:path';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { plural } from '../../format.js';
import { todaysSettings } from '../prune/earlier-names.js';
import { lrThroughDefault } from '../prune/lr-through.js';
import type { DistillSettings, PruneSettings } from '../prune/settings.js';
import type { RecipeSettings, TrainSettings } from '../settings.js';
import { type CompareSizes, amountText, askedAt, checkBudget, costBudgetAt } from './budget.js';
import { checkChoices } from './check-choices.js';
import { type CompareCut, cutAt } from './cut.js';
import { type CompareRefill, fillbackOf } from './fillback.js';
import type { GivenDense } from './given-dense.js';
import { type CompareMethod, type PrunedMethod, methodsOf } from './methods.js';
import { scratchRecipe } from './scratch.js';
import { type RateSeeds, allSeeds, seedsOf } from './seeds.js';

/**
 * A comparison at equal size and equal training: for each seed one dense training, and from its model
 * every method with the same number of further epochs.
 */
export interface CompareSettings extends CompareSizes {
  /** Of the dense models; the seed stands in `seeds`. */
  readonly train: TrainSettings;
  /** Of everything that follows. Its epochs are those of each method, RSST's regularised ones included. */
  readonly finetune: RecipeSettings;
  readonly seeds: readonly number[];
  /** Shares to remove of every kind, or of `budget`; each is compared on its own. */
  readonly rates: readonly number[];
  /** Kinds of groups to cut. */
  readonly targets: readonly string[];
  readonly cut: CompareCut;
  readonly refill: CompareRefill;
  /** `epochs` of the fine-tuning's epochs are regularised, before the cut. */
  readonly rsst: NonNullable<PruneSettings['rsst']> & { readonly epochs: number };
  /** Of every run; results are the same bit for bit only with the same number. */
  readonly threads: number;
  /** Default `usualMethods`: all but scratch. */
  readonly methods?: readonly CompareMethod[] | undefined;
  /** Highest learning rate of a method, in place of that of `finetune`, or for scratch of that of `train`. */
  readonly lrOf?: Readonly<Partial<Record<CompareMethod, number>>> | undefined;
  /** Seeds of some of the rates, in place of `seeds`. */
  readonly seedsAt?: readonly RateSeeds[] | undefined;
  /** Dense models in place of those that would be trained: one for all seeds, or one for each in their order. */
  readonly dense?: readonly GivenDense[] | undefined;
  /**
   * Names of the classes of `dense`: of a file of another program that does not tell them, or has others than the data for
   * the same classes. By default those that the file tells.
   */
  readonly classes?: readonly string[] | undefined;
  /** The dense model teaches after the cut, and where the dense model is trained on. It does not teach scratch. */
  readonly distill?: DistillSettings | undefined;
  /** Of a tuning: every method is trained with each of these as its highest learning rate. */
  readonly lrs?: readonly number[] | undefined;
}

/** With today's names of what earlier versions called otherwise. */
export const todaysComparison = <T extends Pick<CompareSettings, 'cut'>>(settings: T): T => ({
  ...todaysSettings(settings),
  cut: todaysSettings(settings.cut),
});

export interface RunBase {
  /** Path in the folder of the comparison, which is also the run's name: `seed-0/refill-70`. */
  readonly name: string;
  readonly seed: number;
  /** Over all its phases. */
  readonly epochs: number;
}

/** A run of `train`: the dense model that the methods begin with. */
export interface BaseRun extends RunBase {
  readonly command: 'train';
  readonly method?: undefined;
  readonly settings: TrainSettings;
}

/** A run of `train`: a fresh model of the widths that the one-shot cut of its seed and rate leaves. */
export interface ScratchRun extends RunBase {
  readonly command: 'train';
  readonly method: 'scratch';
  readonly rate: number;
  /** Name of the one-shot run. */
  readonly after: string;
  /** Without the widths, which that run decides. */
  readonly settings: TrainSettings;
}

/** A run of `prune`. */
export interface MethodRun extends RunBase {
  readonly command: 'prune';
  readonly method: PrunedMethod;
  /** 0 for dense. */
  readonly rate: number;
  /** Name of the run whose model it prunes; none for a given model. */
  readonly after?: string;
  /** SHA-256 of a given model. */
  readonly source?: string;
  readonly settings: PruneSettings;
}

export type CompareRun = BaseRun | ScratchRun | MethodRun;

/**
 * The runs of a comparison, seed by seed, so that whole seeds are done first.
 *
 * The dense model is trained on as a pruning that removes nothing, by the same code with the same
 * recipe as the others.
 *
 * @param out - absolute path of the comparison's folder
 */
export function planRuns(settings: CompareSettings, out: string): CompareRun[] {
  return allSeeds(settings).flatMap((seed, index): CompareRun[] => {
    const { train, lrOf = {}, dense } = settings;
    const base: BaseRun = {
      command: 'train',
      name: `seed-${seed}/base`,
      seed,
      epochs: train.recipe.epochs,
      settings: { ...train, recipe: { ...train.recipe, seed } },
    };
    const given = dense?.[dense.length === 1 ? 0 : index];
    const nameOf = (method: CompareMethod, rate: number): string =>
      `seed-${seed}/${method}${rate === 0 ? '' : `-${sizeName(settings, rate)}`}`;
    const pruned = (method: PrunedMethod, rate: number): MethodRun => ({
      command: 'prune',
      name: nameOf(method, rate),
      seed,
      epochs: settings.finetune.epochs,
      method,
      rate,
      ...(given ? { source: given.sha256 } : { after: base.name }),
      settings: pruneSettings(settings, {
        seed,
        method,
        rate,
        model: given?.path ?? join(out, base.name, 'model.safetensors'),
      }),
    });
    const scratch = (rate: number): ScratchRun => {
      const recipe = scratchRecipe(train.recipe, settings.finetune.epochs, lrOf.scratch);
      return {
        command: 'train',
        name: nameOf('scratch', rate),
        seed,
        epochs: recipe.epochs,
        method: 'scratch',
        rate,
        after: nameOf('oneshot', rate),
        settings: { ...train, recipe: { ...recipe, seed } },
      };
    };
    const rates = settings.rates.filter((rate) => seedsOf(settings, rate).includes(seed));
    const methods = methodsOf(settings);
    const cut = rates.flatMap((rate) =>
      methods
        .filter((method) => method !== 'dense')
        .map((method) => (method === 'scratch' ? scratch(rate) : pruned(method, rate))),
    );
    return [
      ...(given ? [] : [base]),
      ...(methods.includes('dense') ? [pruned('dense', 0)] : []),
      ...cut,
    ];
  });
}

/** `70`, or under a budget `macs-0.3x` or `macs-3M`. */
const sizeName = (sizes: CompareSizes, rate: number): string =>
  sizes.budget === undefined
    ? percentName(rate)
    : `${sizes.budget}-${amountText(sizes.budget, askedAt(sizes, rate))}`;

/** 0.7 is 70, 0.125 is 12.5: as people say it, and free of rounding. */
export const percentName = (rate: number): string => String(Number((100 * rate).toFixed(6)));

/** Only RSST has epochs before the cut. */
function distillOf(method: PrunedMethod, distill: DistillSettings): DistillSettings {
  const { through, ...everywhere } = distill;
  return method === 'rsst' && through !== undefined ? { ...everywhere, through } : everywhere;
}

/** With the fillback of a rate. */
const refillAt = (refill: CompareRefill, rate: number): NonNullable<PruneSettings['refill']> => ({
  ...defined({ score: refill.score, budget: refill.budget }),
  fillback: fillbackOf(refill, rate),
});

function pruneSettings(
  settings: CompareSettings,
  {
    seed,
    method,
    rate,
    model,
  }: { seed: number; method: PrunedMethod; rate: number; model: string },
): PruneSettings {
  const { train, finetune, targets, cut, refill, rsst, lrOf = {}, distill, budget } = settings;
  const { dataset, data, cachedSize } = train;
  const regularized = method === 'rsst' ? rsst.epochs : 0;
  const epochs = finetune.epochs - regularized;
  const { warmupEpochs, plainEpochs } = finetune;
  // One training through the cut is as long as that of the other methods.
  const isThrough = method === 'rsst' && rsst.lrThrough === true;
  const trained = isThrough ? finetune.epochs : epochs;
  return {
    model,
    dataset,
    ...(data !== undefined && { data }),
    ...(cachedSize !== undefined && { cachedSize }),
    ...(settings.classes && { import: { classes: settings.classes } }),
    method: method === 'dense' ? 'oneshot' : method,
    // Under a budget they name the kinds.
    rates: Object.fromEntries(targets.map((kind) => [kind, budget === undefined ? rate : 0])),
    ...(budget !== undefined && rate > 0 && { costBudget: costBudgetAt(budget, rate, settings) }),
    ...cutAt(cut, rate),
    ...(method === 'refill' && { refill: refillAt(refill, rate) }),
    // Said where it would be taken by default: a comparison keeps what it began with.
    ...(method === 'rsst' && { rsst: lrThroughDefault ? { lrThrough: false, ...rsst } : rsst }),
    ...(distill && { distill: distillOf(method, distill) }),
    recipe: {
      ...finetune,
      ...(lrOf[method] !== undefined && { lr: lrOf[method] }),
      epochs,
      // The same share of each training.
      ...(warmupEpochs !== undefined && {
        warmupEpochs: (warmupEpochs * trained) / finetune.epochs,
      }),
      // As many for every method, but where RSST has fewer epochs left.
      ...(plainEpochs !== undefined && { plainEpochs: Math.min(plainEpochs, trained) }),
      seed,
    },
  };
}

/** @throws UsageError for settings that do not make a comparison */
export function checkCompareSettings(settings: CompareSettings): void {
  const { seeds, rates, targets, train, finetune, rsst } = settings;
  if (seeds.length === 0 || new Set(seeds).size < seeds.length) {
    throw new UsageError(`compare: got the seeds ${seeds.join(', ')}, expected different ones.`);
  }
  const bad = rates.find((rate) => !(rate > 0 && rate < 1));
  if (rates.length === 0 || bad !== undefined || new Set(rates).size < rates.length) {
    throw new UsageError(
      `compare: got the rates ${rates.join(', ')}, expected different ones above 0 and below 1, such as 0.7.`,
    );
  }
  checkBudget(settings.budget);
  if (targets.length === 0) {
    throw new UsageError('compare: got nothing to cut, expected at least one kind of group.');
  }
  const hasRsst = methodsOf(settings).includes('rsst');
  const least = hasRsst ? 2 : 1;
  if (finetune.epochs < least) {
    throw new UsageError(
      `compare: got ${plural(finetune.epochs, 'epoch')} after the dense training, expected at least ${least}` +
        (hasRsst ? ': RSST divides them between regularised training and fine-tuning. ' : '. ') +
        `Raise \`finetune.epochs\`${hasRsst ? ', or leave rsst out of `methods`' : ''}.`,
    );
  }
  for (const { epochs, plainEpochs = 0 } of [train.recipe, finetune]) {
    if (plainEpochs <= epochs) continue;
    throw new UsageError(
      `compare: got ${plural(plainEpochs, 'plain epoch')}, expected at most ${epochs}, the epochs of that training. ` +
        'Lower `plainEpochs`.',
    );
  }
  if (hasRsst && (rsst.epochs < 1 || rsst.epochs >= finetune.epochs)) {
    throw new UsageError(
      `compare: got ${rsst.epochs} regularised of ${finetune.epochs} epochs, expected from 1 to ${finetune.epochs - 1}. ` +
        'Change `rsst.epochs`.',
    );
  }
  if (rsst.nearZero != null) {
    throw new UsageError(
      'compare: got `rsst.nearZero`, expected none: it deletes as many units as there are, and all methods are compared at the ' +
        'same size. Leave it out.',
    );
  }
  checkChoices(settings);
}
