// ImageNet (ILSVRC 2012, Russakovsky et al. 2015, arXiv:1409.0575).
import type { BuiltInDataset } from '../definition.js';
import type { FolderSpec } from '../image-folder.js';

export const imagenetSpec: FolderSpec = { name: 'imagenet', imageSize: 224 };

export const imagenet: BuiltInDataset = {
  name: imagenetSpec.name,
  description: 'train/class/*.jpg and val/class/*.jpg',
  anySize: true,
  // Steps are many, so batches are larger and epochs fewer.
  recipe: {
    batchSize: 256,
    lr: 5e-4,
    epochs: {
      train: { fast: 30, standard: 100, best: 300 },
      finetune: { fast: 5, standard: 20, best: 60 },
    },
    augment: { fast: 'imagenet', standard: 'imagenet', best: 'imagenet' },
    usualAugment: 'imagenet',
  },
  open: async (options) =>
    (await import('../image-folder.js')).openImageFolder(imagenetSpec, options),
  verify: async (options) =>
    (await import('../image-folder.js')).verifyImageFolder(imagenetSpec, options),
};
