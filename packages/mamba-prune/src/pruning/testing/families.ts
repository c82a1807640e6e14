// A small model of every family, for tests that hold for all of them.
import { manualSeed, noGrad, randn } from '@mamba-prune/libtorch';
import type { ImageModel } from '../../models/image-model.js';
import type { ModelOptions } from '../../models/model-options.js';
import { createModel } from '../../models/registry.js';
import { smallMamba } from './models.js';

function fresh(arch: string, options: ModelOptions): ImageModel {
  manualSeed(0);
  const model = createModel(arch, { numClasses: 4, ...options });
  noGrad(() => {
    for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.1));
  });
  return model.eval();
}

/** In evaluation mode, with random weights of every size. */
export const families: Record<string, () => ImageModel> = {
  mamba: () => smallMamba({ scan: 'bi' }),
  vit: () => fresh('vit_tiny', { dModel: 24, depth: 2, heads: 3, imageSize: 12 }),
  vim: () => fresh('vim_nano', { dModel: 24, depth: 2, imageSize: 12, patchSize: 4 }),
  vmamba: () => fresh('vmamba_nano', { baseWidth: 8, blocks: [1, 2], imageSize: 12 }),
  'resnet with basic blocks': () =>
    fresh('resnet20', { blocks: [2, 1], baseWidth: 8, imageSize: 12 }),
  'resnet with bottlenecks': () =>
    fresh('resnet50', { blocks: [1, 1], baseWidth: 4, imageSize: 20, stem: 'imagenet' }),
};
