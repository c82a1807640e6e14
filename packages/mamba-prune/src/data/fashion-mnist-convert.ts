/**
 * The images of the package as a data set. It mixes the official train and test images without marking them, so the split
 * is ours: fixed, 6,000 + 1,000 per class. As in the original there are 54 pairs of equal images; these all go to the train
 * part, so that no test image is also trained on (the official split has ten such).
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { imagePixels, readClasses } from './fashion-mnist-classes.js';
import type { Package } from './fashion-mnist-package.js';
import { channelStatistics } from './memory-split.js';
import { Random, Stage } from './random.js';

/** Part of the data set's definition: changing it makes another data set. */
const splitSeed = 0;
const version = 1;

/** What the cache of a converted package begins with. */
export const Header = z.object({
  version: z.literal(version),
  source: z.string(),
  mean: z.array(z.number()).length(1),
  std: z.array(z.number()).length(1),
  notes: z.array(z.string()),
});
export type Header = z.infer<typeof Header>;

export interface Converted {
  header: Header;
  /** Train images, train labels, test images, test labels; uint8, [n, 28, 28] and [n]. */
  parts: [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
}

/**
 * Reads the whole package.
 * @throws DataError if it is damaged
 */
export async function convert(from: Package): Promise<Converted & { cached: false }> {
  const perClass = from.train + from.test;
  const pixels = new Uint8Array(perClass * 10 * imagePixels);
  const room = (label: number): Uint8Array =>
    pixels.subarray(label * perClass * imagePixels, (label + 1) * perClass * imagePixels);
  const notes = await readClasses(from, room);
  const { train, test } = split(pixels, from);
  const gather = (indices: Uint32Array): [Uint8Array, Uint8Array] => {
    const images = new Uint8Array(indices.length * imagePixels);
    indices.forEach((index, i) => {
      images.set(pixels.subarray(index * imagePixels, (index + 1) * imagePixels), i * imagePixels);
    });
    return [images, Uint8Array.from(indices, (index) => Math.floor(index / perClass))];
  };
  const parts: Converted['parts'] = [...gather(train), ...gather(test)];
  const header: Header = {
    version,
    source: from.identity,
    ...channelStatistics(parts[0], 1, imagePixels),
    notes,
  };
  return { header, parts, cached: false };
}

/** Indices of both parts, each shuffled: stored order then has no classes in a row. */
function split(pixels: Uint8Array, from: Package): { train: Uint32Array; test: Uint32Array } {
  const perClass = from.train + from.test;
  const firstWith = new Map<string, number>();
  const repeated = new Set<number>();
  for (let i = 0; i < perClass * 10; i++) {
    const image = pixels.subarray(i * imagePixels, (i + 1) * imagePixels);
    const digest = createHash('sha1').update(image).digest('base64');
    const first = firstWith.get(digest);
    if (first === undefined) firstWith.set(digest, i);
    else repeated.add(first).add(i);
  }
  const random = new Random();
  const train = new Uint32Array(from.train * 10);
  const test = new Uint32Array(from.test * 10);
  let trainCount = 0;
  let testCount = 0;
  for (let label = 0; label < 10; label++) {
    const order = Uint32Array.from({ length: perClass }, (_, i) => label * perClass + i);
    random.seed(splitSeed, Stage.split, 0, label).shuffle(order);
    // Test images come first, those without a twin before the others; the order is else kept.
    const twin = (index: number) => repeated.has(index);
    const chosen = new Set(
      [...order.filter((i) => !twin(i)), ...order.filter(twin)].slice(0, from.test),
    );
    for (const index of order) {
      if (chosen.has(index)) test[testCount++] = index;
      else train[trainCount++] = index;
    }
  }
  random.seed(splitSeed, Stage.split, 1).shuffle(train);
  random.seed(splitSeed, Stage.split, 2).shuffle(test);
  return { train, test };
}
