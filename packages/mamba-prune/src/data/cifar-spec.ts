/** The two CIFAR data sets (Krizhevsky 2009) as the official "binary" and "python" versions store them. */

/** What both versions have: an archive, and in it a folder of files. */
export interface CifarVersion {
  /** The folder inside the archive. */
  readonly folder: string;
  readonly archive: string;
  readonly url: string;
  readonly md5: string;
  readonly train: readonly string[];
  readonly test: readonly string[];
}

/** One pickled dict per file. */
export interface CifarPython extends CifarVersion {
  /** The file with the names of the classes. */
  readonly meta: string;
  /** Key of the labels in a file of images. */
  readonly labels: string;
  /** Key of the names in `meta`. */
  readonly names: string;
}

/** One data set; what is not in `python` is of the binary version. */
export interface CifarSpec extends CifarVersion {
  readonly name: string;
  readonly title: string;
  readonly python: CifarPython;
  readonly recordsPerTrainFile: number;
  readonly recordsPerTestFile: number;
  /** Label bytes before the pixels of a record; the last one is the label used. */
  readonly labelBytes: number;
  readonly classes: readonly string[];
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

export const CIFAR10: CifarSpec = {
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
    ...['airplane', 'automobile', 'bird', 'cat', 'deer'],
    ...['dog', 'frog', 'horse', 'ship', 'truck'],
  ],
  mean: [0.4914, 0.4822, 0.4465],
  std: [0.247, 0.2435, 0.2616],
};

export const CIFAR100: CifarSpec = {
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
