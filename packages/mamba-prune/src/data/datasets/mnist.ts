// MNIST (LeCun, Cortes and Burges 1998), handwritten digits.
import type { BuiltInDataset } from '../definition.js';
import type { IdxSpec } from '../idx-dataset.js';
import { greyPictures } from './recipes.js';

export const mnistSpec: IdxSpec = {
  name: 'mnist',
  classes: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
  folders: ['MNIST/raw', 'raw', 'mnist', 'MNIST', 'data/mnist'],
  images: { train: 60_000, t10k: 10_000 },
  firstLabels: '7210414959',
  source: 'https://ossci-datasets.s3.amazonaws.com/mnist/',
  isEven: false,
};

export const mnist: BuiltInDataset = {
  name: mnistSpec.name,
  description: '70,000 grey images of 28 px, 10 digits',
  recipe: {
    ...greyPictures,
    // Digits in a mirror are none, and all that augments here mirrors.
    augment: { fast: 'none', standard: 'none', best: 'none' },
  },
  open: async (options) => (await import('../idx-dataset.js')).openIdx(mnistSpec, options),
  verify: async (options) => (await import('../idx-dataset.js')).verifyIdx(mnistSpec, options),
};
