// A comparison that is gone on with: what may have changed since it began, and what may not.
import { datasetDefinition, isDataset } from '../../data/datasets.js';
import { UsageError } from '../../errors.js';
import { withTodaysNames } from '../earlier-names.js';
import { settingChanges } from '../setting-changes.js';
import { methodsOf } from './methods.js';
import { allSeeds, seedsOf } from './seeds.js';
import { type CompareSettings, sizeInWords } from './settings.js';

/** What may be added to: results do not depend on each other. Of threads those of the beginning are kept. */
export const free = [
  ...(['seeds', 'rates', 'amountsAt', 'threads', 'methods', 'seedsAt'] as const),
  'lrs',
] as const;

/**
 * Settings in which two comparisons differ, as `settingChanges` has them.
 * @param ignored - names that may differ
 */
export function differences(
  before: CompareSettings,
  now: CompareSettings,
  ignored: readonly string[] = free,
): string[] {
  const [old, given] = [comparable(before), comparable(now)];
  const names = new Set([...Object.keys(given), ...Object.keys(old)]);
  return settingChanges(
    given,
    old,
    [...names].filter((name) => !ignored.includes(name)),
  );
}

/** With today's names, and without where things lie. */
function comparable(settings: CompareSettings): Readonly<Record<string, unknown>> {
  const { data, ...train } = settings.train;
  const { dense, cut } = settings;
  const { lrThrough, ...rsst } = settings.rsst;
  return {
    ...settings,
    // As they are typed, one for each group.
    cut: cut.rateOf ? { ...cut, rateOf: ratesInWords(cut.rateOf) } : cut,
    // `fillbackAt` is of every rate that is compared, and rates may be added.
    refill: { ...settings.refill, fillbackAt: undefined },
    // Which is what comparisons of earlier versions, that do not say it, have.
    rsst: lrThrough === true ? settings.rsst : rsst,
    train: withTodaysNames(isPlaced(train.dataset) ? { ...train, data } : train),
    // Of several there may be more than at the beginning.
    dense: dense && (dense.length === 1 ? dense[0]?.sha256 : 'one for each seed'),
  };
}

const ratesInWords = (rateOf: Readonly<Record<string, number>>): string[] =>
  Object.entries(rateOf)
    .map(([name, rate]) => `${name}=${rate}`)
    .sort();

/** Whether the folder decides which images these are; else they are the same wherever they lie. */
const isPlaced = (dataset: string): boolean =>
  !isDataset(dataset) || datasetDefinition(dataset).anySize === true;

/**
 * The settings of a comparison from now on.
 * @param path - of its folder, for errors
 * @throws UsageError if others than those that may grow have changed, or some of these are missing
 */
export function goOn(path: string, before: CompareSettings, now: CompareSettings): CompareSettings {
  const changed = differences(before, now);
  if (changed.length > 0) {
    throw new UsageError(
      `compare: ${path} holds a comparison with other settings: ${changed.join('; ')}. ` +
        'Give the same options to go on, `overwrite` to throw it away, or another `out`.',
    );
  }
  const missing = missingFrom(before, now);
  if (missing.length > 0) {
    throw new UsageError(
      `compare: ${path} holds ${missing.join(', ')} too. Comparisons grow, but do not shrink: ` +
        'give those as well, or another `out`.',
    );
  }
  checkDense(path, before, now);
  // As the runs that are there have it in their settings; only the data may lie elsewhere now.
  const { data } = now.train;
  const train = data === undefined ? before.train : { ...before.train, data };
  return { ...now, train, threads: before.threads };
}

function missingFrom(before: CompareSettings, now: CompareSettings): string[] {
  const { lrs = [] } = now;
  return [
    ...before.seeds.filter((seed) => !now.seeds.includes(seed)).map((seed) => `seed ${seed}`),
    ...before.rates
      .filter((rate) => !now.rates.includes(rate))
      .map((rate) => sizeInWords(before, rate)),
    ...before.rates.flatMap((rate) =>
      seedsOf(before, rate)
        .filter((seed) => allSeeds(now).includes(seed) && now.rates.includes(rate))
        .filter((seed) => !seedsOf(now, rate).includes(seed))
        .map((seed) => `seed ${seed} at ${sizeInWords(before, rate)}`),
    ),
    ...allSeeds(before)
      .filter((seed) => !before.seeds.includes(seed) && !allSeeds(now).includes(seed))
      .map((seed) => `seed ${seed}`),
    ...methodsOf(before)
      .filter((method) => !methodsOf(now).includes(method))
      .map((method) => `method ${method}`),
    ...(before.lrs ?? []).filter((lr) => !lrs.includes(lr)).map((lr) => `learning rate ${lr}`),
  ];
}

/** Each seed keeps its dense model. */
function checkDense(path: string, before: CompareSettings, now: CompareSettings): void {
  const { dense: old } = before;
  const { dense } = now;
  if (!old || !dense || old.length === 1) return;
  const seeds = allSeeds(now);
  for (const [i, seed] of allSeeds(before).entries()) {
    if (dense[seeds.indexOf(seed)]?.sha256 === old[i]?.sha256) continue;
    throw new UsageError(
      `compare: ${path} holds a comparison whose dense model of seed ${seed} is another than ` +
        `${dense[seeds.indexOf(seed)]?.path ?? 'none'}. Give the dense models in the order of the seeds, or another \`out\`.`,
    );
  }
}
