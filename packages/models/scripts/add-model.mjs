// Puts the model of a finished run into the package, with 16 bits for each weight of a matrix, and writes its card.
//
//   node packages/models/scripts/add-model.mjs RUN cifar10/mamba_small-90 --data DIR
//     [--dense RUN] [--dtype float16|bfloat16] [--note TEXT]... [--images N] [--device NAME] [--threads N] [--into DIR]
//
// RUN is a folder with model.safetensors and config.json, and pruning.json where it was pruned. --dense names the run of
// the model that was pruned, whose command then stands on the card too. Both formats of 16 bits are measured on all test
// images, or --images of them; the one whose loss is nearer to that of float32 is taken unless --dtype says otherwise. The
// right answers that the tests expect are counted on the CPU. --into names the folder of another collection.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setNumThreads } from '@mamba-prune/libtorch';
import { digestFile } from '@mamba-prune/libtorch/files';
import {
  RunFolder,
  evaluateModel,
  inspectModel,
  loadModel,
  openDataset,
  saveModel,
} from 'mamba-prune';
import { readPruningRecord } from 'mamba-prune/workflows';
import { oneOf, readFlags, refuse, whole } from '../../../scripts/script-flags.mjs';
import { cardOf } from './card.mjs';
import { setMeasured } from './measured.mjs';
import { cardPath, ownFolder, writeCard, writePages } from './pages.mjs';
import { pixelsDigest, subsetImages } from './subset.mjs';

const formats = ['float16', 'bfloat16'];

const { values, positionals } = readFlags(
  {
    data: { type: 'string' },
    dense: { type: 'string' },
    dtype: { type: 'string', value: oneOf(...formats) },
    note: { type: 'string', multiple: true, default: [] },
    device: { type: 'string', default: 'cpu' },
    images: { type: 'string', value: whole() },
    into: { type: 'string', default: ownFolder },
    threads: { type: 'string', value: whole() },
  },
  { least: 2, most: 2, what: 'RUN NAME, such as runs/a cifar10/mamba_small-90' },
);
const [run, name] = positionals;
if (values.threads !== undefined) setNumThreads(Number(values.threads));

const { model, info: stored } = loadModel(join(run, 'model.safetensors'));
const { arch } = model.config;
const expected = `${stored.dataset}/${arch}`;
if (name !== expected && !name.startsWith(`${expected}-`)) {
  refuse(`got the name '${name}', expected ${expected}, or ${expected}-NN of a pruned model.`);
}
// Where the images were is of no use to others.
const info = { ...stored };
delete info.data;
if (/"(\/|[A-Z]:\\)/.test(JSON.stringify(info))) {
  throw new Error(
    `${run}: the history of the model names a path of this machine: ${JSON.stringify(info.history)}`,
  );
}

const dataset = await openDataset(
  stored.dataset,
  values.data === undefined ? {} : { dir: values.data },
);
const measure = async (path, options = {}) => {
  const { model: read } = loadModel(path);
  read.to(options.device ?? values.device);
  const images = values.images === undefined ? {} : { images: Number(values.images) };
  const result = await evaluateModel(read, dataset, {
    device: values.device,
    precision: 'fp32',
    ...images,
    ...options,
  });
  read.dispose();
  return result;
};

const work = mkdtempSync(join(tmpdir(), 'add-model-'));
try {
  const measured = {};
  for (const dtype of ['float32', ...formats]) {
    const path = join(work, `${dtype}.safetensors`);
    saveModel(path, model, info, { dtype });
    measured[dtype] = await measure(path);
    const { accuracy, loss } = measured[dtype];
    console.log(`${dtype}: accuracy ${accuracy}, loss ${loss}, ${statSync(path).size} bytes`);
  }
  const off = (dtype) => Math.abs(measured[dtype].loss - measured.float32.loss);
  const dtype = values.dtype ?? formats.toSorted((a, b) => off(a) - off(b))[0];
  const path = join(values.into, 'files', `${name}.safetensors`);
  mkdirSync(dirname(path), { recursive: true });
  const record = readPruningRecord(run);
  const history = setMeasured(info.history, {
    accuracy: measured[dtype].accuracy,
    before: record?.accuracy.before,
  });
  saveModel(path, model, { ...info, history }, { dtype });
  const subset = await measure(path, { images: subsetImages, device: 'cpu' });
  const card = cardOf({
    name,
    dtype,
    measured,
    info,
    summary: inspectModel(model, info),
    config: RunFolder.open(run).config,
    record,
    dense: values.dense === undefined ? undefined : RunFolder.open(values.dense).config,
    file: { ...digestFile(path) },
    subset: {
      images: subset.images,
      right: Math.round(subset.accuracy * subset.images),
      pixels: await pixelsDigest(dataset.test, createHash('sha256')),
    },
    notes: [...(dataset.info.note === undefined ? [] : [dataset.info.note]), ...values.note],
  });
  await writeCard(card, values.into);
  await writePages(values.into);
  console.log(`${path}: ${dtype}, ${card.bytes} bytes; the card is ${cardPath(name, values.into)}`);
} finally {
  model.dispose();
  rmSync(work, { recursive: true, force: true });
}
