// Training of the dense models and of what cuts leave, all by our trainer, in folders of runs that are gone on with.
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { RunFolder, importModel, loadModel, trainModel, trainRun } from 'mamba-prune';
import { augmentPreset } from 'mamba-prune/data';
import { recipeOf } from './settings.mjs';

/** What a stop between two epochs throws. */
export class Stopped extends Error {}

/**
 * The dense model of a seed, trained once.
 * @returns the path of its model file
 */
export async function dense(model, seed, settings, signal) {
  if (settings.dense !== undefined) return settings.dense;
  const out = join(settings.out, `${model.id}-${seed}-dense`);
  const given = {
    ...{ arch: model.id, model: model.model, dataset: 'cifar10', data: settings.data },
    recipe: { ...recipeOf(model.dense, settings, settings.denseEpochs, seed), evalEvery: 20 },
  };
  const isRun = RunFolder.isRun(out);
  const run = await trainRun(given, {
    ...{ out, device: settings.device, signal },
    ...(isRun && { resume: true }),
  });
  run.model.dispose();
  if (!run.result.finished) throw new Stopped();
  return join(out, 'model.safetensors');
}

/**
 * Trains a model that was cut, whoever cut it, with the same images in the same order for all of a seed.
 * @param cutFile - a model file of ours: the model as the cut left it
 */
export async function finetune(cutFile, folder, { model, seed, dataset, settings, signal }) {
  const recipe = recipeOf(model.finetune, settings, settings.epochs, seed);
  const { model: cut } = loadModel(cutFile);
  const resume = existsSync(join(folder, 'config.json'));
  const run = resume
    ? RunFolder.open(folder, { write: true })
    : RunFolder.create(folder, { command: 'benchmark', args: [basename(folder)], seed });
  try {
    cut.to(settings.device);
    const { augment, ...options } = recipe;
    const result = await trainModel(
      cut,
      dataset,
      { ...options, augment: augmentPreset(augment, dataset.info), evalEvery: recipe.epochs },
      run,
      {},
      { resume, signal },
    );
    if (!result.finished) throw new Stopped();
    return { accuracy: result.valAccuracy, seconds: result.seconds };
  } finally {
    run.release();
    cut.dispose();
  }
}

/** A model as Torch-Pruning left it, in our classes: of the same architecture, with its widths. */
export async function imported(file, arch, { imageSize, headDim }) {
  const { model } = await importModel(file, {
    ...{ arch, imageSize },
    ...(headDim !== undefined && { headDim }),
  });
  return model;
}
