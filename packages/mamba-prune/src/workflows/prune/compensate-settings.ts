// What a pruning run is told of compensation at its cuts; free of native code, as all settings are.
import { checksOf } from '../../checks.js';
import { UsageError } from '../../errors.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import {
  type CompensationTarget,
  compensationTargetNames,
  defaultCompensationImages,
  defaultCompensationTarget,
  fewestCompensationImages,
} from '../../pruning/compensation/choices.js';

/** How what a cut removed is made up for at once, without training. */
export interface CompensateSettings {
  /** Default `stream`. */
  readonly target?: CompensationTarget;
  /** Training images, a fifth of which is held out. Default `2048`. */
  readonly images?: number;
}

export type ResolvedCompensateSettings = Required<CompensateSettings>;

const kinds: OptionKinds<CompensateSettings> = { target: 'any', images: 'any' };

/** @throws UsageError naming the setting */
export function resolveCompensate(given: CompensateSettings): ResolvedCompensateSettings {
  requireOptions('prune: compensate', given, kinds);
  const { oneOf, integer } = checksOf('prune');
  return {
    target: oneOf(
      'compensate.target',
      given.target ?? defaultCompensationTarget,
      compensationTargetNames,
    ),
    images: integer('compensate.images', given.images ?? defaultCompensationImages, {
      min: fewestCompensationImages,
    }),
  };
}

/** Refuses what would be replaced anyway. @throws UsageError */
export function checkNoRewind(rewind: string): void {
  if (rewind === 'none') return;
  throw new UsageError(
    `prune: got \`compensate\` with \`rewind\` ${rewind}, expected \`rewind\` none: the weights that are compensated would be ` +
      'replaced by those of an earlier time. Leave one of the two out.',
  );
}
