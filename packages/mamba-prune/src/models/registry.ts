import { UsageError } from '../errors.js';
import {
  type MambaArchitecture,
  type ModelOptions,
  checkMambaConfig,
  mambaArchitectures,
  mambaConfig,
} from './config.js';
import type { ImageModel } from './image-model.js';
import { VisionMamba } from './mamba.js';

interface Family {
  /** The family's architectures by name. */
  readonly architectures: readonly string[];
  /** A dense model. */
  create(arch: string, options: ModelOptions): ImageModel;
  /** A model of any widths, from the configuration that a model file holds. */
  fromConfig(config: unknown): ImageModel;
}

const families: Readonly<Record<string, Family>> = {
  mamba: {
    architectures: Object.keys(mambaArchitectures),
    create: (arch, options) => new VisionMamba(mambaConfig(arch as MambaArchitecture, options)),
    fromConfig: (config) => new VisionMamba(checkMambaConfig(config)),
  },
};

/** Every architecture that `createModel` knows. */
export function modelNames(): string[] {
  return Object.values(families).flatMap((family) => family.architectures);
}

/**
 * A new, randomly initialised model; `manualSeed` decides the values.
 * @throws UsageError for an unknown name or sizes that do not fit together
 */
export function createModel(arch: string, options: ModelOptions = {}): ImageModel {
  const family = Object.values(families).find(({ architectures }) => architectures.includes(arch));
  if (!family) {
    throw new UsageError(`model: got '${arch}', expected one of ${modelNames().join(', ')}`);
  }
  return family.create(arch, options);
}

/** A randomly initialised model of the shape that `config` describes. */
export function createModelFromConfig(config: { readonly family: string }): ImageModel {
  const family = families[config.family];
  if (!family) {
    throw new UsageError(
      `model: got family '${config.family}', expected one of ${Object.keys(families).join(', ')}`,
    );
  }
  return family.fromConfig(config);
}

export const mambaTiny = (options: ModelOptions = {}): VisionMamba =>
  new VisionMamba(mambaConfig('mamba_tiny', options));
export const mambaSmall = (options: ModelOptions = {}): VisionMamba =>
  new VisionMamba(mambaConfig('mamba_small', options));
export const mambaBase = (options: ModelOptions = {}): VisionMamba =>
  new VisionMamba(mambaConfig('mamba_base', options));

export function isMambaModel(model: ImageModel): model is VisionMamba {
  return model instanceof VisionMamba;
}
