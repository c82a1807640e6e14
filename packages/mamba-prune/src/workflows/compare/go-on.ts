// A comparison that is gone on with: what may have changed since it began, and what may not.
import { relativePath } from '../../shell.js';
import { UsageError } from '../../errors.js';
import { sizeInWords } from './budget.js';
import { differences } from './changed-settings.js';
import { methodsOf } from './methods.js';
import { allSeeds, seedsOf } from './seeds.js';
import type { CompareSettings } from './settings.js';

/**
 * The settings of a comparison from now on.
 * @param path - of its folder, for errors
 * @throws UsageError if others than those that may grow have changed, or some of these are missing
 */
export function goOn(path: string, before: CompareSettings, now: CompareSettings): CompareSettings {
  const changed = differences(before, now);
  if (changed.length > 0) {
    throw new UsageError(
      `compare: ${relativePath(path)} holds a comparison with other settings: ${changed.join('; ')}. ` +
        'Give the same options to go on, `overwrite` to throw it away, or another `out`.',
    );
  }
  const missing = missingFrom(before, now);
  if (missing.length > 0) {
    throw new UsageError(
      `compare: ${relativePath(path)} holds ${missing.join(', ')} too. Comparisons grow, but do not shrink: ` +
        'give those as well, or another `out`.',
    );
  }
  checkDense(path, before, now);
  // As the runs that are there have it in their settings; only the data may lie elsewhere now.
  const { data } = now.train;
  const train = data === undefined ? before.train : { ...before.train, data };
  const { seeds, rates, amountsAt, seedsAt, methods, lrs, lrOf, dense } = now;
  const { fillbackAt } = now.refill;
  return {
    ...before,
    seeds,
    rates,
    amountsAt,
    seedsAt,
    methods,
    lrs,
    lrOf,
    dense,
    train,
    refill: fillbackAt ? { ...before.refill, fillbackAt } : before.refill,
  };
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
      `compare: ${relativePath(path)} holds a comparison whose dense model of seed ${seed} is another than ` +
        `${relativePath(dense[seeds.indexOf(seed)]?.path ?? 'none')}. Give the dense models in the order of the seeds, or another \`out\`.`,
    );
  }
}
