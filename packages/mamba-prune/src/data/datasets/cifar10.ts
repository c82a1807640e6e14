// CIFAR-10 (Krizhevsky 2009).
import type { CifarSpec } from '../cifar-spec.js';
import type { DatasetRecipe } from '../dataset-recipe.js';
import type { BuiltInDataset } from '../definition.js';
import { foundOn, smallPictures } from './recipes.js';

export const cifar10Spec: CifarSpec = {
  name: 'cifar10',
  title: 'CIFAR-10',
  folder: 'cifar-10-batches-bin',
  archive: 'cifar-10-binary.tar.gz',
  url: 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
  md5: 'c32a1d4ab5d03f1284b67883e8d87530',
  train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`),
  test: ['test_batch.bin'],
  python: {
    folder: 'cifar-10-batches-py',
    archive: 'cifar-10-python.tar.gz',
    url: 'https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz',
    md5: 'c58f30108f718f92721af3b95e74349a',
    train: [1, 2, 3, 4, 5].map((i) => `data_batch_${i}`),
    test: ['test_batch'],
    meta: 'batches.meta',
    labels: 'labels',
    names: 'label_names',
  },
  recordsPerTrainFile: 10_000,
  recordsPerTestFile: 10_000,
  labelBytes: 1,
  classes: [
    'airplane',
    'automobile',
    'bird',
    'cat',
    'deer',
    'dog',
    'frog',
    'horse',
    'ship',
    'truck',
  ],
  mean: [0.4914, 0.4822, 0.4465],
  std: [0.247, 0.2435, 0.2616],
};

const recipe: DatasetRecipe = {
  ...smallPictures,
  // mamba_small reaches 94.2% in nine minutes of an H200 (docs/results/dense-models.md).
  found: { best: foundOn(245) },
  // Against `uni` in as many epochs: 86.6 for 85.0% after 15, 87.3 for 84.3% after 40 (docs/results/cifar-10-recipe.md).
  models: { mamba: { scan: 'cross' } },
};

export const cifar10: BuiltInDataset = {
  name: cifar10Spec.name,
  description: '60,000 images of 32 px, 10 classes',
  recipe,
  download: {
    from: 'www.cs.toronto.edu',
    get: async (dir, options) =>
      (await import('../get-cifar.js')).getCifar(cifar10Spec, dir, options),
  },
  open: async (options) => (await import('../cifar.js')).openCifar(cifar10Spec, options),
  verify: async (options) => (await import('../cifar.js')).verifyCifar(cifar10Spec, options),
};
