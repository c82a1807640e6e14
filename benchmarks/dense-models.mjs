// The dense models of the benchmarks on Fashion-MNIST, trained where they are not there, and what is measured of their cuts.
import { join } from 'node:path';
import { RunFolder, trainRun } from 'mamba-prune';
import { BatchLoader } from 'mamba-prune/data';
import { reestimateBatchNorm } from 'mamba-prune/training';
import { quickstartPreset } from 'mamba-prune/workflows';

const { train } = quickstartPreset;
const smaller = { ...train, recipe: { ...train.recipe, maxTrainImages: 20_000 } };

/** A vision Mamba (the quickstart's), one of more blocks, a small ViT and a small ResNet; some minutes each. */
export const denseModels = {
  mamba: train,
  deep: { ...smaller, model: { depth: 12 } },
  vit: {
    ...smaller,
    arch: 'vit_tiny',
    model: { patchSize: 7, dModel: 96, depth: 4, heads: 6 },
  },
  resnet: { ...smaller, arch: 'resnet20', model: { baseWidth: 16, blocks: [2, 2, 2] } },
};

/**
 * Trains a model: nothing where it has ended, and the rest of it where it was stopped.
 * @param out - the folder of its run
 * @returns the path of its file
 */
export async function trained(name, { seed, out }) {
  const settings = denseModels[name];
  const resume = RunFolder.isRun(out);
  if (!resume) console.error(`${name}, seed ${seed}: training ...`);
  const given = { ...settings, recipe: { ...settings.recipe, seed } };
  (await trainRun(given, { out, resume })).model.dispose();
  return join(out, 'model.safetensors');
}

export const hasBatchNorms = (model) =>
  [...model.namedBuffers().keys()].some((name) => name.endsWith('running_mean'));

/** Measures the statistics of batch normalisation again, as `--bn-batches` does. */
export async function measureNormsAgain(model, dataset, { seed, batches }) {
  const source = new BatchLoader(dataset.train, dataset.info, {
    ...{ batchSize: 128, shuffle: true, seed },
  });
  await reestimateBatchNorm(model, source, dataset.info, { batches });
}
