// What importances that look at images take from their context.
import { UsageError } from '../../errors.js';
import type { Calibration } from '../calibration.js';
import type { ImportanceContext } from '../importances.js';

/** @throws UsageError if there are none, which `scoreUnits` has seen to before */
export function imagesOf({ calibration }: ImportanceContext): Calibration {
  if (calibration) return calibration;
  throw new UsageError('importance: got no images, expected batches of real data.');
}

/** Every parameter that counts, once. */
export function parameterNames({ members }: ImportanceContext): string[] {
  const names = Array.from(members.values()).flatMap((list) =>
    list.map(({ parameter }) => parameter),
  );
  return [...new Set(names)];
}
