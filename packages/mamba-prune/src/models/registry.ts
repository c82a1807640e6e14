import { UsageError } from '../errors.js';
import { printableLine } from '../printable.js';
import {
  type FamilyName,
  type MambaOptions,
  checkModelOptions,
  familyNames,
} from './architectures.js';
import {
  type MambaArchitecture,
  type ModelOptions,
  checkMambaConfig,
  mambaConfig,
} from './mamba/config.js';
import { checkModelNeed, denseConfig } from './dense-config.js';
import type { ImageModel } from './image-model.js';
import { VisionMamba } from './mamba/model.js';
import { type AnyConfig, type ModelShapes, countParameters, shapesOf } from './model-shapes.js';
import { ResNet } from './resnet/model.js';
import {
  type ResNetArchitecture,
  type ResNetOptions,
  checkResNetConfig,
  resnetConfig,
} from './resnet/config.js';
import { VisionTransformer } from './vit/model.js';
import { type VitArchitecture, type VitOptions, checkVitConfig, vitConfig } from './vit/config.js';

export { modelNames, modelOptionNames } from './architectures.js';

interface Family {
  /** A configuration that was read from a file or made by hand. @throws UsageError */
  checked(config: unknown): AnyConfig;
  /** A model of any widths, from the configuration that a model file holds. */
  fromConfig(config: unknown): ImageModel;
}

const families: Readonly<Record<FamilyName, Family>> = {
  mamba: {
    checked: checkMambaConfig,
    fromConfig: (config) => new VisionMamba(fitting(checkMambaConfig(config))),
  },
  vit: {
    checked: checkVitConfig,
    fromConfig: (config) => new VisionTransformer(fitting(checkVitConfig(config))),
  },
  resnet: {
    checked: checkResNetConfig,
    fromConfig: (config) => new ResNet(fitting(checkResNetConfig(config))),
  },
};

/** @throws TooLargeError if the machine has not enough memory for such a model */
function fitting<C extends AnyConfig>(config: C): C {
  checkModelNeed(config);
  return config;
}

function mamba(arch: MambaArchitecture, options: MambaOptions): VisionMamba {
  checkModelOptions(arch, options);
  return new VisionMamba(fitting(mambaConfig(arch, options)));
}

function vit(arch: VitArchitecture, options: VitOptions): VisionTransformer {
  checkModelOptions(arch, options);
  return new VisionTransformer(fitting(vitConfig(arch, options)));
}

function resnet(arch: ResNetArchitecture, options: ResNetOptions): ResNet {
  checkModelOptions(arch, options);
  return new ResNet(fitting(resnetConfig(arch, options)));
}

/**
 * A new, randomly initialised model; `manualSeed` decides the values.
 * @throws UsageError for an unknown name, an option that the architecture does not have, or sizes
 *   that do not fit together; TooLargeError for a size beyond its range, or a model that the
 *   machine's memory cannot hold
 */
export function createModel(arch: string, options: ModelOptions = {}): ImageModel {
  if (typeof (options as unknown) !== 'object' || Array.isArray(options)) {
    throw new UsageError(
      `createModel: got ${JSON.stringify(options)} in place of the options, expected an object such as { numClasses: 10 }.`,
    );
  }
  return createModelFromConfig(denseConfig(arch, options));
}

/**
 * Shapes of the tensors that `createModel` would make; nothing is allocated.
 * @throws as `createModel`
 */
export function denseShapes(arch: string, options: ModelOptions = {}): ModelShapes {
  return shapesOf(denseConfig(arch, options));
}

/**
 * A randomly initialised model of the shape that `config` describes.
 * @throws UsageError for a configuration that no model has, otherwise as `createModel`
 */
export function createModelFromConfig(config: { readonly family: string }): ImageModel {
  return familyFor(config).fromConfig(config);
}

/**
 * Shapes of the tensors that such a model has, in no particular order; nothing is allocated.
 * @throws UsageError for a configuration that no model has
 */
export function modelShapes(config: { readonly family: string }): ModelShapes {
  return shapesOf(familyFor(config).checked(config));
}

/**
 * Number of parameters of such a model, the same as its `numParameters()`; nothing is allocated.
 * @throws UsageError for a configuration that no model has
 */
export function parametersOf(config: { readonly family: string }): number {
  return countParameters(familyFor(config).checked(config));
}

function familyFor({ family }: { readonly family: string }): Family {
  if (Object.hasOwn(families, family)) return families[family as FamilyName];
  throw new UsageError(
    `model: got family '${printableLine(family)}', expected one of ${Object.keys(familyNames).join(', ')}`,
  );
}

export const mambaTiny = (options: MambaOptions = {}): VisionMamba => mamba('mamba_tiny', options);
export const mambaSmall = (options: MambaOptions = {}): VisionMamba =>
  mamba('mamba_small', options);
export const mambaBase = (options: MambaOptions = {}): VisionMamba => mamba('mamba_base', options);

export const vitTiny = (options: VitOptions = {}): VisionTransformer => vit('vit_tiny', options);
export const vitSmall = (options: VitOptions = {}): VisionTransformer => vit('vit_small', options);

export const resnet20 = (options: ResNetOptions = {}): ResNet => resnet('resnet20', options);
export const resnet56 = (options: ResNetOptions = {}): ResNet => resnet('resnet56', options);
export const resnet18 = (options: ResNetOptions = {}): ResNet => resnet('resnet18', options);
export const resnet50 = (options: ResNetOptions = {}): ResNet => resnet('resnet50', options);

export function isMambaModel(model: ImageModel): model is VisionMamba {
  return model instanceof VisionMamba;
}
