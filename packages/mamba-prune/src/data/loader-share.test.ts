import { describe, expect, it } from 'vitest';
import { toyDataset, toyInfo } from '../training/testing/toy.js';
import { type Batch, BatchLoader } from './index.js';

const { train: split } = toyDataset(50);
const common = { batchSize: 16, shuffle: true, seed: 4, augment: { padCrop: 1, flip: true } };

async function batches(share?: { rank: number; workers: number }): Promise<Batch[]> {
  const loader = new BatchLoader(split, toyInfo, { ...common, ...(share && { share }) });
  const found: Batch[] = [];
  for await (const batch of loader.epoch(2)) found.push(batch);
  return found;
}

describe("a BatchLoader's share", () => {
  it.each([2, 3, 5])('of %i workers makes up the whole batch, bit for bit', async (workers) => {
    const whole = await batches();
    const shares = await Promise.all(
      Array.from({ length: workers }, (_, rank) => batches({ rank, workers })),
    );
    whole.forEach((batch, i) => {
      const parts = shares.map((of) => of[i] as Batch);
      expect(parts.flatMap(({ images }) => [...images])).toEqual([...batch.images]);
      expect(parts.flatMap(({ labels }) => [...labels])).toEqual([...batch.labels]);
      expect(new Set(parts.map(({ globalSize }) => globalSize))).toEqual(new Set([batch.size]));
      const sizes = parts.map(({ size }) => size);
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    });
  });

  it('may be empty', async () => {
    // 50 images: the last batch has two.
    const last = (await batches({ rank: 0, workers: 3 })).at(-1);
    expect(last).toMatchObject({ size: 0, globalSize: 2 });
  });

  it('leaves whole batches as they are', async () => {
    expect((await batches())[0]).not.toHaveProperty('globalSize');
  });
});
