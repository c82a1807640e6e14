/** Augmentation that changes once: the last epochs of a training may have another one. */
import { isDeepStrictEqual } from 'node:util';
import { checksOf } from '../../checks.js';
import { dataError } from '../errors.js';
import { type AugmentOptions, type ResolvedAugment, resolveAugment } from './options.js';

/** In place of the augmentation that the epochs before have. */
export interface LastAugment {
  /** Number of the first epoch that has it, an integer from 0. */
  readonly fromEpoch: number;
  readonly augment: AugmentOptions;
}

/** What is done to the images of each epoch; the same object for as long as nothing changes. */
export class EpochAugments {
  readonly first: ResolvedAugment;
  /** `first` itself where no other is given, or one that does the same. */
  readonly last: ResolvedAugment;
  readonly #fromEpoch: number;

  /** @throws DataError naming the option that is out of range */
  constructor(
    augment: AugmentOptions | undefined,
    size: { height: number; width: number },
    last?: LastAugment,
  ) {
    if (last) checksOf('lastAugment', dataError).integer('fromEpoch', last.fromEpoch, { min: 0 });
    const own = resolveAugment(augment ?? {}, size);
    const other = last ? resolveAugment(last.augment, size) : own;
    // Batches have mixed targets in all epochs or in none, whatever a captured step reads them from. With
    // a probability of 0 they are there, one-hot.
    this.first = mixes(own) || !mixes(other) ? own : neverMixing(own, other);
    const then = mixes(other) || !mixes(own) ? other : neverMixing(other, own);
    this.last = isDeepStrictEqual(this.first, then) ? this.first : then;
    this.#fromEpoch = last?.fromEpoch ?? Infinity;
  }

  /** Whether batches have targets: in some epoch, images are mixed. */
  get haveTargets(): boolean {
    return mixes(this.first);
  }

  at(epoch: number): ResolvedAugment {
    return epoch < this.#fromEpoch ? this.first : this.last;
  }
}

function mixes({ mixup, cutmix }: ResolvedAugment): boolean {
  return mixup > 0 || cutmix > 0;
}

function neverMixing(
  augment: ResolvedAugment,
  { mixup, cutmix }: ResolvedAugment,
): ResolvedAugment {
  return { ...augment, mixup, cutmix, mixProbability: 0 };
}
