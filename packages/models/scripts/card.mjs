// What a card says of a model: all that its run knows, without the paths of the machine that it ran on.
import { basename, dirname, isAbsolute, join } from 'node:path';

/** Where the images come from, and on what terms. */
const sources = {
  cifar10: {
    title: 'CIFAR-10 (Krizhevsky 2009)',
    source: 'https://www.cs.toronto.edu/~kriz/cifar.html',
    licence: 'The page of the data set names no licence; it asks to cite the technical report.',
  },
  cifar100: {
    title: 'CIFAR-100 (Krizhevsky 2009)',
    source: 'https://www.cs.toronto.edu/~kriz/cifar.html',
    licence: 'The page of the data set names no licence; it asks to cite the technical report.',
  },
  'fashion-mnist': {
    title: 'Fashion-MNIST (Xiao, Rasul and Vollgraf 2017)',
    source: 'https://github.com/zalandoresearch/fashion-mnist',
    licence: 'MIT',
  },
};

/** A command line as somebody else would type it. */
export function commandOf({ args }) {
  const words = args.map((word, i) => {
    if (args[i - 1] === '--data') return 'data';
    if (!isAbsolute(word)) return word;
    if (args[i - 1] === '--out' || args[i - 1] === '--save_dir')
      return join('runs', basename(word));
    return join(basename(dirname(word)), basename(word));
  });
  return ['mamba-prune', ...words.map(quoted)].join(' ');
}

const quoted = (word) =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** @throws Error for a data set whose terms are not known here */
export function cardOf({
  name,
  dtype,
  measured,
  info,
  summary,
  config,
  record,
  dense,
  file,
  subset,
  notes,
}) {
  const data = sources[info.dataset];
  if (data === undefined) {
    throw new Error(
      `got a model of ${info.dataset}, expected one of ${Object.keys(sources).join(', ')}. Add its terms.`,
    );
  }
  const { arch, input, parameters, macs } = summary;
  const [channels, imageSize] = input;
  const taken = measured[dtype];
  const of = (what) =>
    Object.fromEntries(Object.entries(measured).map(([format, result]) => [format, result[what]]));
  return {
    format: 1,
    name,
    file: `files/${name}.safetensors`,
    arch,
    dataset: info.dataset,
    notes,
    accuracy: taken.accuracy,
    top5: taken.top5,
    images: taken.images,
    parameters,
    macs,
    bytes: file.bytes,
    sha256: file.sha256,
    dtype,
    formats: { accuracy: of('accuracy'), loss: of('loss') },
    subset,
    input: {
      channels,
      imageSize,
      mean: info.mean,
      std: info.std,
      preprocessing: info.preprocessing,
    },
    classes: info.classes,
    pruning: record === undefined ? null : pruningOf(record),
    training: {
      commands: [...(dense === undefined ? [] : [dense]), config].map(commandOf),
      created: config.created,
      versions: config.versions,
      seed: config.seed,
      options: config.train ?? null,
    },
    licence: { weights: 'MIT', data },
  };
}

function pruningOf(record) {
  const { method, rates, plannedRounds, importance, score, ranking } = record;
  const { parameters, macs, accuracy, measuredOn } = record;
  return {
    method,
    rates,
    rounds: plannedRounds,
    importance,
    score,
    ranking,
    before: {
      parameters: parameters.before,
      macs: macs.before,
      accuracy: accuracy.before,
      images: measuredOn?.images ?? null,
    },
  };
}
