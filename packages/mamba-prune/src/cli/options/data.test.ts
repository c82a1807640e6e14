import { describe, expect, it } from 'vitest';
import type { Dataset } from '../../data/types.js';
import { describeDataset } from './data.js';

describe('what is said of a data set', () => {
  const dataset = {
    info: { name: 'fashion-mnist', channels: 1, height: 28, width: 28, classes: ['a', 'b'] },
    train: { length: 60_000 },
    test: { length: 10_000 },
  } as unknown as Dataset;

  it('counts the images that are used, of those there are', () => {
    expect(describeDataset(dataset, {})).toBe(
      'fashion-mnist, 60,000 training and 10,000 test images of 1x28x28, 2 classes',
    );
    const limits = { maxTrainImages: 4000, maxTestImages: 20_000 };
    expect(describeDataset(dataset, limits)).toContain('4,000 of 60,000 training and 10,000 test');
  });
});
