// What a comparison is told, and the runs that follow from it.
import { join } from 'node:path';
import { UsageError } from '../../errors.js';
import { todaysSettings } from '../prune/earlier-names.js';
import { lrThroughDefault } from '../prune/lr-through.js';
import type { PruneSettings } from '../prune/settings.js';
import type { RecipeSettings, TrainSettings } from '../settings.js';

export const compareMethods = ['dense', 'oneshot', 'refill', 'rsst'] as const;
export type CompareMethod = (typeof compareMethods)[number];

/** What all methods have in common when they cut. */
export type CompareCut = Pick<
  PruneSettings,
  | 'importance'
  | 'importanceReason'
  | 'score'
  | 'scoreBatches'
  | 'ranking'
  | 'normalize'
  | 'roundTo'
  | 'maxRate'
>;

/**
 * A comparison at equal size and equal training: for each seed one dense training, and from its model
 * every method with the same number of further epochs.
 */
export interface CompareSettings {
  /** Of the dense models; the seed stands in `seeds`. */
  readonly train: TrainSettings;
  /** Of everything that follows. Its epochs are those of each method, RSST's regularised ones included. */
  readonly finetune: RecipeSettings;
  readonly seeds: readonly number[];
  /** Shares to remove of every kind; each is compared on its own. */
  readonly rates: readonly number[];
  /** Kinds of groups to cut. */
  readonly targets: readonly string[];
  readonly cut: CompareCut;
  readonly refill: NonNullable<PruneSettings['refill']>;
  /** `epochs` of the fine-tuning's epochs are regularised, before the cut. */
  readonly rsst: NonNullable<PruneSettings['rsst']> & { readonly epochs: number };
  /** Of every run; results are the same bit for bit only with the same number. */
  readonly threads: number;
}

/** With today's names of what earlier versions called otherwise. */
export const todaysComparison = <T extends Pick<CompareSettings, 'cut'>>(settings: T): T => ({
  ...todaysSettings(settings),
  cut: todaysSettings(settings.cut),
});

interface RunBase {
  /** Path in the folder of the comparison, which is also the run's name: `seed-0/refill-70`. */
  readonly name: string;
  readonly seed: number;
  /** Over all its phases. */
  readonly epochs: number;
}

/** A run of `train`: the dense model that the methods begin with. */
export interface BaseRun extends RunBase {
  readonly command: 'train';
  readonly settings: TrainSettings;
}

/** A run of `prune`. */
export interface MethodRun extends RunBase {
  readonly command: 'prune';
  readonly method: CompareMethod;
  /** 0 for dense. */
  readonly rate: number;
  /** Name of the run whose model it prunes. */
  readonly after: string;
  readonly settings: PruneSettings;
}

export type CompareRun = BaseRun | MethodRun;

/**
 * The runs of a comparison, seed by seed, so that whole seeds are done first.
 *
 * The dense model is trained on as a pruning that removes nothing, by the same code with the same
 * recipe as the others.
 *
 * @param out - absolute path of the comparison's folder
 */
export function planRuns(settings: CompareSettings, out: string): CompareRun[] {
  return settings.seeds.flatMap((seed): CompareRun[] => {
    const { train, rates } = settings;
    const base: BaseRun = {
      command: 'train',
      name: `seed-${seed}/base`,
      seed,
      epochs: train.recipe.epochs,
      settings: { ...train, recipe: { ...train.recipe, seed } },
    };
    const method = (name: CompareMethod, rate: number): MethodRun => ({
      command: 'prune',
      name: `seed-${seed}/${name}${rate === 0 ? '' : `-${percentName(rate)}`}`,
      seed,
      epochs: settings.finetune.epochs,
      method: name,
      rate,
      after: base.name,
      settings: pruneSettings(settings, {
        seed,
        method: name,
        rate,
        model: join(out, base.name, 'model.safetensors'),
      }),
    });
    const pruned = rates.flatMap((rate) =>
      compareMethods.filter((name) => name !== 'dense').map((name) => method(name, rate)),
    );
    return [base, method('dense', 0), ...pruned];
  });
}

/** 0.7 is 70, 0.125 is 12.5: as people say it, and free of rounding. */
export const percentName = (rate: number): string => String(Number((100 * rate).toFixed(6)));

function pruneSettings(
  { train, finetune, targets, cut, refill, rsst }: CompareSettings,
  {
    seed,
    method,
    rate,
    model,
  }: { seed: number; method: CompareMethod; rate: number; model: string },
): PruneSettings {
  const { dataset, data } = train;
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
    method: method === 'dense' ? 'oneshot' : method,
    rates: Object.fromEntries(targets.map((kind) => [kind, rate])),
    ...cut,
    ...(method === 'refill' && { refill }),
    // Said where it would be taken by default: a comparison keeps what it began with.
    ...(method === 'rsst' && { rsst: lrThroughDefault ? { lrThrough: false, ...rsst } : rsst }),
    recipe: {
      ...finetune,
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
export function checkCompareSettings({
  seeds,
  rates,
  targets,
  train,
  finetune,
  rsst,
}: CompareSettings): void {
  if (seeds.length === 0 || new Set(seeds).size < seeds.length) {
    throw new UsageError(`compare: got the seeds ${seeds.join(', ')}, expected different ones.`);
  }
  const bad = rates.find((rate) => !(rate > 0 && rate < 1));
  if (rates.length === 0 || bad !== undefined || new Set(rates).size < rates.length) {
    throw new UsageError(
      `compare: got the rates ${rates.join(', ')}, expected different ones above 0 and below 1, such as 0.7.`,
    );
  }
  if (targets.length === 0) {
    throw new UsageError('compare: got nothing to cut, expected at least one kind of group.');
  }
  if (finetune.epochs < 2) {
    throw new UsageError(
      `compare: got ${finetune.epochs} epochs after the dense training, expected at least 2: RSST divides them ` +
        'between regularised training and fine-tuning. Raise --finetune-epochs.',
    );
  }
  for (const { epochs, plainEpochs = 0 } of [train.recipe, finetune]) {
    if (plainEpochs <= epochs) continue;
    throw new UsageError(
      `compare: got ${plainEpochs} plain epochs, expected at most ${epochs}, the epochs of that training. ` +
        'Lower --plain-epochs.',
    );
  }
  if (rsst.epochs < 1 || rsst.epochs >= finetune.epochs) {
    throw new UsageError(
      `compare: got ${rsst.epochs} regularised of ${finetune.epochs} epochs, expected from 1 to ${finetune.epochs - 1}. ` +
        'Change --reg-epochs.',
    );
  }
}
