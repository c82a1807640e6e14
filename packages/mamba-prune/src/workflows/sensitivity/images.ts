// The held-out images that cut models are measured on.
import { MemorySplit } from '../../data/memory-split.js';
import type { Dataset } from '../../data/types.js';
import { chooseImages } from '../../inference/evaluate-model.js';

export interface HeldOut {
  readonly split: 'train' | 'test';
  readonly images: number;
  readonly seed: number;
}

/** Images read at a time. */
const chunk = 256;
/** Bytes of pixels that are kept in memory; beyond it images are read anew for every measurement. */
const most = 2 ** 30;

/**
 * The data set with the chosen images in place of the split: unaugmented, evenly over the classes, and in memory, as
 * every cut model sees them. Those of the training split are chosen by another seed than the images that units are scored by, so that
 * hardly any is seen by both; the test split stays for the end.
 * @throws UsageError for options out of range; DataError if there are no images
 */
export async function heldOutImages(
  where: string,
  dataset: Dataset,
  { split, images, seed }: HeldOut,
): Promise<Dataset> {
  const chosen = chooseImages(where, dataset, { split, images, seed: seed === 0 ? 1 : seed - 1 });
  const { channels, height, width } = dataset.info;
  const bytes = channels * height * width;
  if (bytes * chosen.length > most) return { ...dataset, [split]: chosen };
  const pixels = new Uint8Array(bytes * chosen.length);
  for (let from = 0; from < chosen.length; from += chunk) {
    const count = Math.min(chunk, chosen.length - from);
    const indices = Uint32Array.from({ length: count }, (_, i) => from + i);
    pixels.set(await chosen.read(indices), from * bytes);
  }
  const labels = Int32Array.from({ length: chosen.length }, (_, i) => chosen.label(i));
  return { ...dataset, [split]: new MemorySplit(pixels, labels, bytes) };
}
