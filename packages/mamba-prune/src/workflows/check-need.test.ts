import { describe, expect, it, vi } from 'vitest';
import type { Dataset } from '../data/types.js';
import { TooLargeError, UsageError } from '../errors.js';
import { registerFamily } from '../models/families.js';
import { createModel } from '../models/registry.js';
import { ownFamily } from '../models/testing/own-family.js';
import { checkBatch, checkNewModel, checkProfiledStep } from './check-need.js';

vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  totalmem: () => 2 ** 33,
}));

const recipe = { epochs: 1 };
const settings = { dataset: 'imagenet', recipe };

/** Of images that need not exist. */
function datasetOf(images: number, side: number): Dataset {
  const split = { length: images, label: () => 0, read: () => new Uint8Array() };
  const info = {
    name: 'folder',
    classes: ['a', 'b'],
    channels: 3 as const,
    height: side,
    width: side,
    mean: [0, 0, 0],
    std: [1, 1, 1],
  };
  return { info, train: split, test: split };
}

describe('checkNewModel', () => {
  it('leaves the sizes of a family that tells no shapes to that family, but not foreign options', () => {
    const plain = ownFamily('picky');
    registerFamily(
      ownFamily('picky', {
        checkConfig(value) {
          const config = plain.checkConfig(value);
          if (config.imageSize === 8) return config;
          throw new UsageError(`got images of ${config.imageSize} px, expected 8`);
        },
      }),
    );
    const small = { ...settings, arch: 'picky_small', model: {} };
    expect(() => {
      checkNewModel(small, 'cpu');
    }).not.toThrow();
    expect(() => {
      checkNewModel({ ...small, model: { heads: 2 } }, 'cpu');
    }).toThrow('picky_small: got the option `heads`');
  });

  it('counts weights, gradients and what the optimizer keeps', () => {
    // 5.6e8 parameters: 2.1 GiB once, 8.4 GiB four times, 6.3 GiB three times.
    const model = { dModel: 2048, depth: 7, mlpRatio: 8, expand: 1, dState: 1 };
    const large = { ...settings, arch: 'mamba_tiny', model };
    expect(() => {
      checkNewModel(large, 'cpu');
    }).toThrow(/^mamba_tiny: got sizes .*which would need .* GiB, but this machine has 8 GiB/);
    const sgd = { ...large, recipe: { ...recipe, optimizer: 'sgd' as const } };
    for (const [one, device] of [
      [sgd, 'cpu'],
      [large, 'cuda:0'],
    ] as const) {
      checkNewModel(one, device);
    }
  });

  it('refuses sizes that do not fit together before data are opened', () => {
    const model = { dModel: 10, heads: 3 };
    expect(() => {
      checkNewModel({ ...settings, arch: 'vit_tiny', model }, 'cpu');
    }).toThrow(/got 3 heads for a width of 10/);
  });
});

describe('checkBatch', () => {
  it('counts the images that there are, and what the blocks keep of them', () => {
    const model = createModel('mamba_nano', { imageSize: 1024, patchSize: 16 });
    const check = (images: number, batch: number, resume = false, device = 'cpu') => {
      checkBatch(model, datasetOf(images, 1024), batch, { device, resume });
    };
    // 12 MiB for each image, and 4 MiB for 4096 tokens of 64 numbers in 4 blocks.
    expect(() => {
      check(1e6, 1000);
    }).toThrow(
      /^train: got 1000 images of 3x1024x1024 at a time, which would need 12 GiB.*Give fewer/,
    );
    expect(() => {
      check(1e6, 1000, true);
    }).toThrow(/A run that has begun keeps its batch size\. .* or begin a new run with fewer/);
    check(100, 1000);
    check(1e6, 500);
    model.dispose();
    const deep = createModel('mamba_nano', { imageSize: 1024, patchSize: 4, depth: 4 });
    expect(() => {
      checkBatch(deep, datasetOf(1e6, 1024), 500, { device: 'cpu' });
    }).toThrow(TooLargeError);
    checkBatch(deep, datasetOf(1e6, 1024), 500, { device: 'cuda:0' });
    deep.dispose();
  });
});

describe('checkProfiledStep', () => {
  it('counts weights, gradients and moments, the images, and what the blocks keep of them', () => {
    // 12 MiB for each image, and 8 MiB for 4096 tokens of 64 numbers in 4 blocks: 410 of them fill 8 GiB.
    const model = createModel('mamba_nano', { imageSize: 1024, patchSize: 16, depth: 4 });
    checkProfiledStep(model, 400);
    expect(() => {
      checkProfiledStep(model, 420);
    }).toThrow(
      /^bench: got 420 images per training step for mamba_nano, which would need 8.2 GiB, but this machine has 8 GiB\. Give fewer \(`batches`\), or do not profile\.$/,
    );
    // 5.6e8 parameters, four times; they need not exist.
    vi.spyOn(model, 'numParameters').mockReturnValue(5.6e8);
    expect(() => {
      checkProfiledStep(model, 1);
    }).toThrow(TooLargeError);
    model.dispose();
  });
});
