// The configuration of a new model of any family, and whether the machine can hold it. Loads no native code.
import { checkNeed } from '../memory-need.js';
import { checkModelOptions, familyOf } from './architectures.js';
import { type MambaArchitecture, type ModelOptions, mambaConfig } from './mamba/config.js';
import { type AnyConfig, countParameters } from './model-shapes.js';
import { type ResNetArchitecture, resnetConfig } from './resnet/config.js';
import { type VitArchitecture, vitConfig } from './vit/config.js';

/** @throws UsageError, TooLargeError: see `createModel` */
export function denseConfig(arch: string, options: ModelOptions): AnyConfig {
  checkModelOptions(arch, options);
  const family = familyOf(arch);
  if (family === 'mamba') return mambaConfig(arch as MambaArchitecture, options);
  return family === 'vit'
    ? vitConfig(arch as VitArchitecture, options)
    : resnetConfig(arch as ResNetArchitecture, options);
}

/**
 * @param copies - of every parameter that are needed at a time; 4 bytes each
 * @throws TooLargeError if the machine has not enough memory for them
 */
export function checkModelNeed(config: AnyConfig, copies = 1): void {
  const parameters = countParameters(config);
  const amount = parameters < 1e6 ? String(parameters) : parameters.toExponential(1);
  checkNeed(
    config.arch,
    `sizes that make a model of ${amount} parameters`,
    4 * copies * parameters,
    'Choose smaller ones (--d-model, --depth, ...).',
  );
}
