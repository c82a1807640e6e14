// A fresh model of the shape of another one, such as a pruned one: what its settings are.
import { UsageError } from '../errors.js';
import { denseConfig } from '../models/dense-config.js';
import { modelOptionNames } from '../models/families.js';
import type { ImageModel, ModelConfigBase } from '../models/image-model.js';
import type { ModelOptions } from '../models/model-options.js';
import { stableJson } from '../training/options.js';
import type { TrainSettings } from './settings.js';

/** What the data decide, and dropout, which is of a training and not of a model. */
const ofTheTraining = ['numClasses', 'imageSize', 'channels', 'dropPath'];

/**
 * The settings with which a training makes a model of the architecture, sizes and widths of `model`, with random weights.
 * Classes, channels and image size are left to the data.
 * @param named - the model as messages name it
 * @throws UsageError naming what differs, if a new model cannot be made like this one
 */
export function freshSettings(
  { config }: ImageModel,
  named: string,
): Pick<TrainSettings, 'arch' | 'model' | 'widths'> {
  const { arch, widths } = config;
  const values = valuesOf(config);
  const options: ModelOptions = Object.fromEntries(
    modelOptionNames(arch)
      .filter((name) => !ofTheTraining.includes(name) && values[name] !== undefined)
      .map((name) => [name, values[name]]),
  );
  const { numClasses, imageSize, channels } = config;
  const made = { ...denseConfig(arch, { ...options, numClasses, imageSize, channels }) };
  const different = Object.entries(made).find(
    ([name, value]) =>
      name !== 'widths' &&
      !ofTheTraining.includes(name) &&
      stableJson(value) !== stableJson(values[name]),
  );
  if (different) {
    const [name, value] = different;
    throw new UsageError(
      `${named}: a new ${arch} has ${name} ${stableJson(value)}, and this one ${shown(values[name])}: no model is made ` +
        'anew like it. Go on with its weights (`from`), or give another model.',
    );
  }
  return { arch, model: options, widths };
}

const valuesOf = (config: ModelConfigBase): Readonly<Record<string, unknown>> => ({ ...config });
const shown = (value: unknown): string => (value === undefined ? 'none' : stableJson(value));
