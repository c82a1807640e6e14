// The flags of compensation at a cut, those of prune and of imp.
import type { Option } from 'commander';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { trainLimits } from '../../limits.js';
import {
  type CompensationTarget,
  compensationTargets,
  defaultCompensationImages,
  defaultCompensationTarget,
  fewestCompensationImages,
} from '../../pruning/compensation/choices.js';
import type { CompensateSettings } from '../../workflows/prune/compensate-settings.js';
import { choiceOption, integerOption } from './parse.js';

export interface CompensationFlags {
  /** Where no target was typed: true. */
  readonly compensate?: CompensationTarget | true | undefined;
  readonly compensateImages?: number | undefined;
}

/** @param separator - between the words of a flag's name: imp has those of the original script */
export const compensationOptions = (separator: '-' | '_' = '-'): Option[] => [
  choiceOption(
    '--compensate [target]',
    'let the weights that read removed units make up for them at once',
    compensationTargets,
    `not at all; alone: ${defaultCompensationTarget}`,
  ),
  integerOption(
    `--compensate${separator}images <n>`,
    `training images to do that with (default: ${defaultCompensationImages})`,
    { min: fewestCompensationImages, max: trainLimits.images },
  ),
];

/**
 * @param stored - of a run that is gone on with
 * @returns an object to spread into the settings: with nothing where cuts are not compensated
 */
export function compensateOf(
  { compensate, compensateImages: images }: CompensationFlags,
  stored?: CompensateSettings,
): { readonly compensate?: CompensateSettings } {
  if (compensate === undefined && stored === undefined) {
    if (images === undefined) return {};
    throw new UsageError(
      `got the number of images to compensate with, ${images}, but no compensation. Give --compensate, or leave it out.`,
    );
  }
  const target = compensate === true ? undefined : compensate;
  return { compensate: { ...stored, ...defined({ target, images }) } };
}
