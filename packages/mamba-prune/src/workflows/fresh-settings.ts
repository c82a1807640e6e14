// A fresh model of the shape of another one, such as a pruned one: what its settings are.
import { defined } from '../defined.js';
import { UsageError } from '../errors.js';
import { denseConfig } from '../models/dense-config.js';
import { familyNamed, modelOptionNames } from '../models/families.js';
import type { ImageModel, ModelConfigBase } from '../models/image-model.js';
import type { ModelOptions } from '../models/model-options.js';
import { stableJson } from '../training/options.js';
import type { TrainSettings } from './settings.js';

const ofTheData = ['numClasses', 'imageSize', 'channels'];

/** What makes a fresh model of the same sizes; widths, and what the data decide, aside. */
export function freshOptions(config: ModelConfigBase): ModelOptions {
  const values: Readonly<Record<string, unknown>> = {
    heads: headsOf(config),
    ...valuesOf(config),
  };
  return Object.fromEntries(
    modelOptionNames(config.arch)
      .filter((name) => !ofTheData.includes(name) && values[name] !== undefined)
      .map((name) => [name, values[name]]),
  );
}

/**
 * In what a fresh model of `freshOptions` is another than this one, if in anything but its widths: `a new mamba_nano has scan
 * "row", and this one none`.
 */
export function differsFromFresh(config: ModelConfigBase): string | undefined {
  const { arch, numClasses, imageSize, channels } = config;
  const { usual = {} } = familyNamed(config);
  const fresh = valuesOf(
    denseConfig(arch, { ...freshOptions(config), numClasses, imageSize, channels }),
  );
  const own = valuesOf(config);
  // What only one of them names is compared too.
  const different = Object.keys({ ...fresh, ...own }).find(
    (name) => name !== 'widths' && told(fresh, name) !== told(own, name),
  );
  if (different === undefined) return undefined;
  return `a new ${arch} has ${different} ${told(fresh, different)}, and this one ${told(own, different)}`;

  function told(values: Readonly<Record<string, unknown>>, name: string): string {
    const value = values[name] ?? usual[name];
    return value === undefined ? 'none' : stableJson(value);
  }
}

/**
 * The settings with which a training makes a model of the architecture, sizes and widths of `model`, with random weights.
 * Classes, channels and image size are left to the data, and dropout to the training.
 * @param named - the model as messages name it
 * @throws UsageError naming what differs, if a new model cannot be made like this one
 */
export function freshSettings(
  { config }: ImageModel,
  named: string,
): Pick<TrainSettings, 'arch' | 'model' | 'widths'> {
  const different = differsFromFresh(config);
  if (different !== undefined) {
    throw new UsageError(
      `${named}: ${different}: no model is made anew like it. Go on with its weights (\`from\`), or give another model.`,
    );
  }
  const model = { ...freshOptions(config), dropPath: undefined };
  return { arch: config.arch, model: defined(model), widths: config.widths };
}

/** A ViT is asked for with its heads before any was removed, and tells their size. */
function headsOf(config: ModelConfigBase): number | undefined {
  const { dModel, headDim } = valuesOf(config);
  const heads = Number(dModel) / Number(headDim);
  return Number.isInteger(heads) ? heads : undefined;
}

const valuesOf = (config: ModelConfigBase): Readonly<Record<string, unknown>> => ({ ...config });
