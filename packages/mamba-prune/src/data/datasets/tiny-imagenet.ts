// Tiny-ImageNet (Stanford's CS231n): 200 classes of ImageNet at 64 px.
import type { BuiltInDataset } from '../definition.js';
import type { FolderSpec } from '../image-folder.js';
import { smallPictures } from './recipes.js';

export const tinyImagenetSpec: FolderSpec = { name: 'tiny-imagenet', imageSize: 64 };

export const tinyImagenet: BuiltInDataset = {
  name: tinyImagenetSpec.name,
  description: '110,000 images of 64 px, 200 classes',
  anySize: true,
  // The pictures have the size of the model: nothing is cut off.
  cropShare: 1,
  recipe: {
    ...smallPictures,
    epochs: {
      train: { fast: 20, standard: 100, best: 200 },
      finetune: { fast: 5, standard: 30, best: 60 },
    },
  },
  open: async (options) =>
    (await import('../image-folder.js')).openImageFolder(tinyImagenetSpec, options),
  verify: async (options) =>
    (await import('../image-folder.js')).verifyImageFolder(tinyImagenetSpec, options),
};
