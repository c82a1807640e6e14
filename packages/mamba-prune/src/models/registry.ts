import { UsageError } from '../errors.js';
import {
  type FamilyName,
  type MambaOptions,
  checkModelOptions,
  familyNames,
  familyOf,
} from './architectures.js';
import {
  type MambaArchitecture,
  type ModelOptions,
  checkMambaConfig,
  mambaConfig,
} from './config.js';
import { checkModelNeed } from './dense-config.js';
import type { ImageModel } from './image-model.js';
import { VisionMamba } from './mamba.js';
import type { AnyConfig } from './parameter-count.js';
import { ResNet } from './resnet.js';
import {
  type ResNetArchitecture,
  type ResNetOptions,
  checkResNetConfig,
  resnetConfig,
} from './resnet-config.js';
import { VisionTransformer } from './vit.js';
import { type VitArchitecture, type VitOptions, checkVitConfig, vitConfig } from './vit-config.js';

export { modelNames, modelOptionNames } from './architectures.js';

interface Family {
  /** A dense model. */
  create(arch: string, options: ModelOptions): ImageModel;
  /** A model of any widths, from the configuration that a model file holds. */
  fromConfig(config: unknown): ImageModel;
}

const families: Readonly<Record<FamilyName, Family>> = {
  mamba: {
    create: (arch, options) => mamba(arch as MambaArchitecture, options),
    fromConfig: (config) => new VisionMamba(fitting(checkMambaConfig(config))),
  },
  vit: {
    create: (arch, options) => vit(arch as VitArchitecture, options),
    fromConfig: (config) => new VisionTransformer(fitting(checkVitConfig(config))),
  },
  resnet: {
    create: (arch, options) => resnet(arch as ResNetArchitecture, options),
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
  return families[familyOf(arch)].create(arch, options);
}

/** A randomly initialised model of the shape that `config` describes. @throws as `createModel` */
export function createModelFromConfig(config: { readonly family: string }): ImageModel {
  if (!Object.hasOwn(families, config.family)) {
    throw new UsageError(
      `model: got family '${config.family}', expected one of ${Object.keys(familyNames).join(', ')}`,
    );
  }
  return families[config.family as FamilyName].fromConfig(config);
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
