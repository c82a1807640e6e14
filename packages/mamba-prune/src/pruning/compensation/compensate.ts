// Compensation at a cut: the weights that read the units of a group take over, in closed form, what the removed units gave.
//
//   M, b = argmin sum |t - M x - b|² + λ |M|²          ridge regression over all positions of the images
//
// x are the units that stayed, t is what the reader gives less than in the dense model. Regressing on the kept units is He et
// al. 2017, Channel Pruning, arXiv 1707.06168, section 3.1, with the inputs of the pruned model and the outputs of the dense
// one as in its section 3.2.
import { checksOf } from '../../checks.js';
import { UsageError } from '../../errors.js';
import type { KeptUnits } from '../../models/groups.js';
import { hasBatchNorm } from '../../models/batch-norm.js';
import type { ImageModel } from '../../models/image-model.js';
import { type OptionKinds, requireOptions } from '../../option-checks.js';
import { rememberRandom } from '../calibration.js';
import {
  type CompensationJudge,
  type CompensationTarget,
  compensationJudges,
  compensationTargetNames,
  defaultCompensationTarget,
  fewestCompensationImages,
  usualRidges,
} from './choices.js';
import { type GroupCompensation, correctReaders } from './correct.js';
import { type CalibrationImages, Judge } from './held-out.js';
import { type Reader, readerOf } from './readers.js';

export interface CompensateOptions {
  /** Default `stream`. */
  readonly target?: CompensationTarget;
  /**
   * By default `divergence`, but `error` for a model with batch normalisation: its statistics are those of the dense one,
   * and until the last layer is corrected the class probabilities say nothing.
   */
  readonly judge?: CompensationJudge;
  /** λ over the mean diagonal of the normal equations; the best is taken. Default 1e-4, 1e-3, 0.01, 0.1 and 1. */
  readonly ridges?: readonly number[];
  /** How many batches were fitted, and of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

const optionKinds: OptionKinds<CompensateOptions> = {
  target: 'any',
  judge: 'any',
  ridges: 'any',
  onProgress: 'function',
};

/** What was done. */
export interface Compensation {
  readonly target: CompensationTarget;
  readonly judge: CompensationJudge;
  /** All that were looked at. */
  readonly images: number;
  /** Of these, the ones that were not fitted, but judged by. */
  readonly heldOut: number;
  /** Of the cut model's class probabilities from the dense one's, in nats per image, on the images held out. */
  readonly divergence: { readonly before: number; readonly after: number };
  /** In the order of the network. */
  readonly groups: readonly GroupCompensation[];
}

/**
 * Changes, in place, the weights of `cut` that read groups which lost units, so that they give what they gave in `model`
 * as nearly as the kept units tell. The ridge and the share of each correction are chosen by images that were not fitted,
 * and a correction that makes it worse on these is not made.
 *
 * All else stays: both models' modes, the random generators, and `model` itself.
 *
 * @param model - before the cut
 * @param cut - what `pruneModel` made of it, on the same device
 * @param kept - the units that stayed, as `pruneModel` was told
 * @param calibration - training images, the same at every pass. Labels are not looked at.
 * @throws UsageError for units that are not those of `cut`, or too few images
 */
export async function compensate(
  model: ImageModel,
  cut: ImageModel,
  kept: KeptUnits,
  calibration: CalibrationImages,
  options: CompensateOptions = {},
): Promise<Compensation> {
  requireOptions('compensate', options, optionKinds);
  const { oneOf, number } = checksOf('compensate');
  const { target = defaultCompensationTarget, ridges = usualRidges, onProgress } = options;
  oneOf('target', target, compensationTargetNames);
  const judge = oneOf('judge', options.judge ?? defaultJudge(cut), compensationJudges);
  for (const ridge of ridges) number('ridge', ridge, { above: 0 });
  checkUnits(cut, kept);
  const restoreRandom = rememberRandom(model);
  const readers = readersOf(model, cut, kept);
  let judged: Judge | undefined;
  try {
    judged = await Judge.of(model, calibration);
    const { images, heldOut, batches } = judged;
    if (images < fewestCompensationImages) {
      throw new UsageError(
        `compensate: got ${images} images, expected at least ${fewestCompensationImages}: most are fitted, and the ` +
          'others say whether that was of use. Give more images.',
      );
    }
    const before = await judged.divergence(cut);
    const job = { model, cut, calibration, target, ridges, batches, onProgress };
    const by = judge === 'divergence' ? { judge: judged, now: before } : undefined;
    const groups = await correctReaders(readers, job, by);
    const after = await judged.divergence(cut);
    return { target, judge, images, heldOut, divergence: { before, after }, groups };
  } finally {
    judged?.dispose();
    for (const reader of readers) reader.dispose();
    restoreRandom();
  }
}

/** Models whose batch normalisation has statistics of the dense one. */
const defaultJudge = (model: ImageModel): CompensationJudge =>
  hasBatchNorm(model) ? 'error' : 'divergence';

function checkUnits(cut: ImageModel, kept: KeptUnits): void {
  const sizes = new Map(cut.pruningGroups().map(({ name, size }) => [name, size]));
  for (const [name, units] of kept) {
    if (sizes.get(name) === units.length) continue;
    throw new UsageError(
      `compensate: got ${units.length} kept units of group '${name}', of which the cut model has ` +
        `${sizes.get(name) ?? 'none'}. Give the units that it was cut to.`,
    );
  }
}

/** Of all groups that lost units, in the order of the network. */
function readersOf(dense: ImageModel, cut: ImageModel, kept: KeptUnits): Reader[] {
  return dense.pruningGroups().flatMap((group) => {
    const units = kept.get(group.name);
    if (!units || units.length === group.size) return [];
    return readerOf(group, { dense, cut }, kept) ?? [];
  });
}
