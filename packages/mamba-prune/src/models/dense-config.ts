// The configuration of a new model of any family, and whether the machine can hold it. Loads no native code.
import { defined } from '../defined.js';
import { checkNeed } from '../memory-need.js';
import { checkModelOptions, familyNamed, familyOf } from './families.js';
import { configFrom, shapesFrom } from './family-results.js';
import type { ModelConfigBase } from './image-model.js';
import type { ModelOptions } from './model-options.js';
import { countParameters } from './shapes.js';

/** What images are like where nothing is said of them. */
const usualImages = { imageSize: 32, channels: 3, numClasses: 10 } as const;

/** @throws UsageError, TooLargeError: see `createModel` */
export function denseConfig(arch: string, options: ModelOptions): ModelConfigBase {
  const family = familyOf(arch);
  checkModelOptions(arch, options);
  const given = defined(options);
  if (family.denseConfig) {
    return configFrom(family, 'denseConfig', family.denseConfig(arch, given));
  }
  const sizes = family.architectures[arch];
  const config = { family: family.name, arch, widths: {}, ...usualImages, ...sizes, ...given };
  return configFrom(family, 'checkConfig', family.checkConfig(config));
}

/**
 * @param config - that its family has checked. Families that do not tell their shapes are not counted: to make a
 *   model is what is to be found out here
 * @param copies - of every parameter that are needed at a time; 4 bytes each
 * @throws TooLargeError if the machine has not enough memory for them
 */
export function checkModelNeed(config: ModelConfigBase, copies = 1): void {
  const family = familyNamed(config);
  if (!family.shapes) return;
  const parameters = countParameters(shapesFrom(family, family.shapes(config)));
  const amount = parameters < 1e6 ? String(parameters) : parameters.toExponential(1);
  checkNeed(
    config.arch,
    `sizes that make a model of ${amount} parameters`,
    4 * copies * parameters,
    'Choose smaller ones (`dModel`, `depth`, ...).',
  );
}
