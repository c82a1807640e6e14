// What sensitivity.json says, as the page draws it.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type SensitivityFile, readSensitivity } from 'mamba-prune/workflows';
import type { SensitivityData } from '../page-data/sensitivity.js';

/** The file that a run may hold beside its model. */
const sensitivityFile = 'sensitivity.json';

/**
 * The measurement in the folder of a run.
 * @param id - of the run
 * @returns undefined if there is none, or a problem in words where it is damaged
 */
export function runSensitivity(
  path: string,
  id: string,
): { readonly data?: SensitivityData; readonly problem?: string } {
  const file = join(path, sensitivityFile);
  if (!existsSync(file)) return {};
  try {
    return { data: sensitivityData(readSensitivity(file), id) };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

/** @param id - under which it is shown */
export function sensitivityData(file: SensitivityFile, id: string): SensitivityData {
  const { by, rates, dense, parts, images, finished, search } = file;
  const rateOf = search?.best?.rates;
  return {
    id,
    by,
    rates,
    images: { dataset: images.dataset, split: images.split, count: images.count },
    finished,
    loss: dense.loss,
    accuracy: dense.accuracy,
    parts: parts.map(({ name, kinds, groups, points }) => {
      const sizes = Object.entries(groups);
      const units = sizes.reduce((sum, [, size]) => sum + size, 0);
      const gone = sizes.reduce((sum, [group, size]) => sum + size * (rateOf?.[group] ?? 0), 0);
      return {
        name,
        kinds,
        units,
        points: points.map(({ rate, loss, accuracy }) => ({ rate, loss, accuracy })),
        ...(rateOf && { cut: gone / units }),
      };
    }),
  };
}
