import type { Tensor } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../data/errors.js';
import { MemorySplit } from '../../data/memory-split.js';
import type { Dataset } from '../../data/types.js';
import { calibrationOf } from './calibration.js';

/** One pixel an image, which is its number; stored class by class. */
function numbered(count: number): Dataset {
  const images = Uint8Array.from({ length: count }, (_, i) => i);
  const labels = Uint8Array.from({ length: count }, (_, i) => Math.floor((2 * i) / count));
  const split = new MemorySplit(images, labels, 1);
  const info = {
    name: 'numbers',
    classes: ['low', 'high'],
    channels: 1,
    height: 1,
    width: 1,
    mean: [0.5],
    std: [0.25],
  } as const;
  return { info, train: split, test: new MemorySplit(images.slice(0, 1), labels.slice(0, 1), 1) };
}

async function batchesOf(
  calibration: ReturnType<typeof calibrationOf>,
): Promise<{ images: number[]; labels: number[] }[]> {
  const batches: { images: number[]; labels: number[] }[] = [];
  for await (const { images, labels } of calibration()) {
    expect(images.shape).toEqual([labels.numel, 1, 1, 1]);
    expect(labels.dtype).toBe('int64');
    const values = (tensor: Tensor): number[] => tensor.toNumbers();
    // Back from the normalisation to the number of the image.
    const pixels = values(images).map((x) => Math.round((x * 0.25 + 0.5) * 255));
    batches.push({ images: pixels, labels: values(labels) });
    images.dispose();
    labels.dispose();
  }
  return batches;
}

describe('calibration', () => {
  const options = { batches: 2, seed: 3, device: 'cpu' };

  it('refuses what is no data set', () => {
    const call = (): unknown => calibrationOf(undefined as never);
    expect(call).toThrow(DataError);
    expect(call).toThrow('calibrationOf: got undefined in place of the data set, expected {');
  });

  it('takes eight batches on the CPU unless told otherwise', async () => {
    const batches = await batchesOf(calibrationOf(numbered(600)));
    expect(batches.map(({ labels }) => labels.length)).toEqual(Array<number>(8).fill(64));
    const same = { batches: 8, seed: 0, device: 'cpu' };
    expect(await batchesOf(calibrationOf(numbered(600), same))).toEqual(batches);
  });

  it('gives so many batches of 64 training images, evenly over the classes and mixed', async () => {
    const batches = await batchesOf(calibrationOf(numbered(200), options));
    expect(batches.map(({ labels }) => labels.length)).toEqual([64, 64]);
    const all = batches.flatMap(({ images }) => images);
    expect(new Set(all).size).toBe(128);
    expect(all.filter((image) => image < 100)).toHaveLength(64);
    for (const { images, labels } of batches) {
      expect(labels).toEqual(images.map((image) => (image < 100 ? 0 : 1)));
      // Not class by class, as they are stored.
      expect(new Set(labels).size).toBe(2);
    }
  });

  it('gives the same in every pass, and others for another seed', async () => {
    const calibration = calibrationOf(numbered(200), options);
    const first = await batchesOf(calibration);
    expect(await batchesOf(calibration)).toEqual(first);
    expect(await batchesOf(calibrationOf(numbered(200), { ...options, seed: 4 }))).not.toEqual(
      first,
    );
  });

  it('takes what there is where there are fewer, and no image that training may not see', async () => {
    const few = await batchesOf(calibrationOf(numbered(70), options));
    expect(few.map(({ labels }) => labels.length)).toEqual([64, 6]);
    const limited = await batchesOf(calibrationOf(numbered(200), { ...options, maxImages: 10 }));
    expect(limited.map(({ labels }) => labels.length)).toEqual([10]);
  });

  it('tells how many batches have been used, in every pass', async () => {
    const seen: [number, number][] = [];
    const onProgress = (done: number, total: number): void => void seen.push([done, total]);
    const calibration = calibrationOf(numbered(70), { ...options, onProgress });
    await batchesOf(calibration);
    await batchesOf(calibration);
    expect(seen).toEqual([
      [1, 2],
      [2, 2],
      [1, 2],
      [2, 2],
    ]);
  });

  it('stops with the reason of the signal', async () => {
    const controller = new AbortController();
    const calibration = calibrationOf(numbered(200), { ...options, signal: controller.signal });
    controller.abort('enough');
    await expect(batchesOf(calibration)).rejects.toBe('enough');
  });
});
