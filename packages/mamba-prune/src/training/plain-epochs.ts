/**
 * Epochs at the end of a training without mixup and cutmix. Mixed images are harder than those of the
 * test, and a model that has no time to fit them ends on what it will never see: timm's
 * `--mixup-off-epoch`, and the last epochs of YOLOX without mosaic (Ge et al. 2021, arXiv 2107.08430,
 * section 2.1).
 */
import type { LastAugment } from '../data/index.js';
import type { ResolvedTrainOptions } from './train-options.js';

type Options = Pick<
  ResolvedTrainOptions,
  'epochs' | 'augment' | 'plainEpochs' | 'plainAugment' | 'firstEpoch'
>;

/** @param epoch - epochs done before it */
export function isPlainEpoch(
  { epochs, plainEpochs = 0 }: Pick<Options, 'epochs' | 'plainEpochs'>,
  epoch: number,
): boolean {
  return epoch >= epochs - plainEpochs;
}

/** Their augmentation, for whoever makes the batches; undefined if there are none. */
export function plainEnd(options: Options): LastAugment | undefined {
  const { epochs, plainEpochs = 0, firstEpoch = 0 } = options;
  if (plainEpochs === 0) return undefined;
  const { augment, plainAugment = augment } = options;
  return {
    // In the order of the data, which may count from an earlier training on.
    fromEpoch: firstEpoch + epochs - plainEpochs,
    augment: { ...plainAugment, mixup: 0, cutmix: 0 },
  };
}
