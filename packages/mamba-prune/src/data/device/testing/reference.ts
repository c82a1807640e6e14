import { type Batch, BatchMaker } from '../../batch.js';
import type { AugmentOptions } from '../../augment/options.js';
import { MemorySplit } from '../../memory-split.js';
import { Random, Stage } from '../../random.js';
import type { DatasetInfo } from '../../types.js';
import { PhiloxRandom } from './philox.js';

export interface ReferenceData {
  readonly info: DatasetInfo;
  readonly split: MemorySplit;
}

/**
 * Images with edges, noise and different ranges of values, so that no operation is without effect.
 * Every fourth has few different values.
 */
export function makeImages(
  count: number,
  shape: { channels: 1 | 3; height: number; width: number },
  classes = 5,
): ReferenceData {
  const { channels, height, width } = shape;
  const bytes = channels * height * width;
  const pixels = new Uint8Array(count * bytes);
  const labels = new Uint8Array(count);
  const random = new Random();
  for (let n = 0; n < count; n++) {
    random.seed(1, Stage.split, 0, n);
    labels[n] = random.below(classes);
    const low = random.below(100);
    const span = 20 + random.below(135);
    const edge = random.below(width);
    for (let i = 0; i < bytes; i++) {
      const noise = n % 4 === 3 ? random.below(3) * 60 : random.below(span);
      pixels[n * bytes + i] = low + noise / (i % width < edge ? 1 : 3);
    }
  }
  return {
    info: {
      name: 'made',
      classes: Array.from({ length: classes }, (_, i) => `class ${i}`),
      channels,
      height,
      width,
      mean: [0.45, 0.5, 0.4].slice(0, channels),
      std: [0.25, 0.2, 0.3].slice(0, channels),
    },
    split: new MemorySplit(pixels, labels, bytes),
  };
}

/** A batch as the loader's own code makes it, from the kernel's random words. */
export function referenceBatch(
  { info, split }: ReferenceData,
  augment: AugmentOptions | undefined,
  indices: Uint32Array,
  place: { seed: number; epoch: number; step: number },
): Batch {
  const { channels, height, width, mean, std, classes } = info;
  const recipe = {
    info: { channels, height, width, mean, std, classes: classes.length },
    augment,
    seed: place.seed,
    cropped: false,
  };
  const maker = new BatchMaker(recipe, () => new PhiloxRandom());
  return maker.make({
    pixels: split.read(indices),
    labels: Int32Array.from(indices, (i) => split.label(i)),
    indices,
    epoch: place.epoch,
    index: place.step,
  });
}
