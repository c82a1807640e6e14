// The model that a training begins or goes on with: new, of given weights, or as the run keeps it.
import { existsSync } from 'node:fs';
import type { Dataset } from '../data/types.js';
import { UsageError } from '../errors.js';
import { defaultPatch } from '../models/default-patch.js';
import { denseConfig } from '../models/dense-config.js';
import { loadModel } from '../models/model-file.js';
import type { ModelOptions } from '../models/model-options.js';
import { createModelFromConfig, modelShapes } from '../models/registry.js';
import { keptWeightsPath } from './prune/rewound-weights.js';
import { checkResumedSizes } from './resumed-sizes.js';
import type { RunControl, TrainSettings } from './settings.js';
import { type StartingModel, modelFromWeights, originOf } from './starting-weights.js';

/** @throws UsageError, FormatError if the file holds no model for the data */
export async function startingModel(
  { arch, model: options, widths, init, import: said }: TrainSettings,
  { out, resume, hooks }: RunControl,
  dataset: Dataset,
): Promise<Pick<StartingModel, 'model' | 'origin' | 'preparation'>> {
  if (init === undefined) {
    const dense = denseConfig(arch, modelOptionsFor(arch, options, dataset));
    const config = widths ? { ...dense, widths: { ...dense.widths, ...widths } } : dense;
    if (resume !== undefined && resume !== false) checkResumedSizes(out, modelShapes(config));
    return { model: createModelFromConfig(config), origin: [], preparation: {} };
  }
  if (widths !== undefined) {
    throw new UsageError(
      `train: got widths with the weights of ${init}, expected one of the two: weights have their own widths. Leave widths out.`,
    );
  }
  // A run that has begun keeps the weights of its start: the file that they came from may be gone.
  const kept = keptWeightsPath(out, 0);
  if (resume !== undefined && resume !== false && existsSync(kept)) {
    const { model, info } = loadModel(kept);
    // What it records is what its images have gone through so far.
    return { model, origin: originOf(info), preparation: info.preprocessing ?? {} };
  }
  const { model, origin, preparation, notes } = await modelFromWeights(init, dataset, {
    arch,
    options,
    import: said,
  });
  for (const note of notes) hooks?.onNote?.(note);
  // A run that has begun without a record of its start goes on with what its settings say.
  return {
    model,
    origin,
    preparation: resume === undefined || resume === false ? preparation : {},
  };
}

/**
 * Classes, channels and size of the data; for models that see patches, `defaultPatch`.
 */
export function modelOptionsFor(
  arch: string,
  options: ModelOptions,
  { info }: Dataset,
): ModelOptions {
  const patchSize = defaultPatch(arch, info.height);
  return {
    ...(patchSize !== undefined && { patchSize }),
    ...options,
    channels: info.channels,
    imageSize: info.height,
    numClasses: info.classes.length,
  };
}
