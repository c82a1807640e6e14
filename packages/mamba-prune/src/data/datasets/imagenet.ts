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
    interpolation: 'bicubic',
    // DeiT (Touvron et al. 2021, arXiv 2012.12877), on which Vim (arXiv 2401.09417) and VMamba (arXiv 2401.10166) build: 300
    // epochs at 1,024 images, 1e-3 falling to 1e-5, 20 of warm-up and clipping at 5 as VMamba has them.
    found: {
      best: {
        train: {
          epochs: 300,
          batchSize: 1024,
          lr: 1e-3,
          weightDecay: 0.05,
          warmupEpochs: 20,
          minLrFactor: 0.01,
          labelSmoothing: 0.1,
          clipGradNorm: 5,
          emaDecay: 0.9999,
          augment: 'imagenet-strong',
          mixup: 0.8,
          cutmix: 1,
        },
      },
    },
  },
  open: async (options) =>
    (await import('../image-folder.js')).openImageFolder(imagenetSpec, options),
  verify: async (options) =>
    (await import('../image-folder.js')).verifyImageFolder(imagenetSpec, options),
};
