// How far RSST has driven the doomed units when they are cut: what is left of the norm that they were chosen with.
import { z } from 'zod';
import type { ImageModel } from '../../models/image-model.js';
import type { KeptUnits } from '../../models/groups.js';
import { regApplications } from '../../pruning/rsst/choices.js';
import { type RegNorm, doomedUnits, measureUnitNorms } from '../../pruning/rsst/index.js';

/** As a round of pruning.json has it. */
export const doomedLeftRecord = z.object({
  apply: z.enum(regApplications),
  /** Share of the norms that the doomed units of a kind had at the round's first choice. */
  kinds: z.record(z.string(), z.number()),
});
export type DoomedLeft = z.output<typeof doomedLeftRecord>;

/** Sum of the norms of the units that are not kept, by kind; in groups that are not named all units are kept. */
export function doomedNorms(
  model: ImageModel,
  kept: KeptUnits,
  norm: RegNorm,
): Record<string, number> {
  const groups = model.pruningGroups();
  const doomed = doomedUnits(groups, kept);
  const named = groups.filter(({ name }) => (doomed.get(name)?.length ?? 0) > 0);
  const norms = measureUnitNorms(model, named, norm);
  const sums: Record<string, number> = {};
  for (const { name, kind } of named) {
    for (const unit of doomed.get(name) ?? []) {
      sums[kind] = (sums[kind] ?? 0) + (norms.get(name)?.[unit] ?? 0);
    }
  }
  return sums;
}

/** Four digits of each kind's share, of the kinds that had a norm at all. */
export function sharesLeft(
  chosen: Readonly<Record<string, number>>,
  now: Readonly<Record<string, number>>,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(chosen)
      .filter(([, norm]) => norm > 0)
      .map(([kind, norm]) => [kind, Number(((now[kind] ?? 0) / norm).toPrecision(4))]),
  );
}
