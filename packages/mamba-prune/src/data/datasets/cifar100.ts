// CIFAR-100 (Krizhevsky 2009), with its fine labels.
import type { CifarSpec } from '../cifar-spec.js';
import type { DatasetRecipe } from '../dataset-recipe.js';
import type { BuiltInDataset } from '../definition.js';
import { foundOn, smallPictures } from './recipes.js';

export const cifar100Spec: CifarSpec = {
  name: 'cifar100',
  title: 'CIFAR-100',
  folder: 'cifar-100-binary',
  archive: 'cifar-100-binary.tar.gz',
  url: 'https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz',
  md5: '03b5dce01913d631647c71ecec9e9cb8',
  train: ['train.bin'],
  test: ['test.bin'],
  python: {
    folder: 'cifar-100-python',
    archive: 'cifar-100-python.tar.gz',
    url: 'https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz',
    md5: 'eb9058c3a382ffc7106e4002c42a8d85',
    train: ['train'],
    test: ['test'],
    meta: 'meta',
    labels: 'fine_labels',
    names: 'fine_label_names',
  },
  recordsPerTrainFile: 50_000,
  recordsPerTestFile: 10_000,
  labelBytes: 2, // coarse (20 superclasses), then fine
  classes: (
    'apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus ' +
    'butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch ' +
    'crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo ' +
    'keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse ' +
    'mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy ' +
    'porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper ' +
    'snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television ' +
    'tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm'
  ).split(' '),
  mean: [0.5071, 0.4865, 0.4409],
  std: [0.2673, 0.2564, 0.2762],
};

const recipe: DatasetRecipe = {
  ...smallPictures,
  // mamba_small reaches 79.0% in 7.0 minutes of an H200 (docs/results/dense-models.md).
  found: { best: foundOn(150) },
  models: { mamba: { scan: 'cross' } },
};

export const cifar100: BuiltInDataset = {
  name: cifar100Spec.name,
  description: '60,000 images of 32 px, 100 classes',
  recipe,
  download: {
    from: 'www.cs.toronto.edu',
    get: async (dir, options) =>
      (await import('../get-cifar.js')).getCifar(cifar100Spec, dir, options),
  },
  open: async (options) => (await import('../cifar.js')).openCifar(cifar100Spec, options),
  verify: async (options) => (await import('../cifar.js')).verifyCifar(cifar100Spec, options),
};
