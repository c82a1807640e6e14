import { totalmem } from 'node:os';
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
import type { ImageModel } from './image-model.js';
import { VisionMamba } from './mamba.js';
import { type ModelShapes, mambaShapes, resnetShapes, vitShapes } from './model-shapes.js';
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
  /** Of a dense model. */
  config(arch: string, options: ModelOptions): unknown;
  /** A model of any widths, from the configuration that a model file holds. */
  fromConfig(config: unknown): ImageModel;
  /** Shapes of its tensors, without making them. */
  shapes(config: unknown): ModelShapes;
}

const families: Readonly<Record<FamilyName, Family>> = {
  mamba: {
    config: (arch, options) => mambaConfig(arch as MambaArchitecture, options),
    fromConfig: (config) => new VisionMamba(checkMambaConfig(config)),
    shapes: (config) => mambaShapes(checkMambaConfig(config)),
  },
  vit: {
    config: (arch, options) => vitConfig(arch as VitArchitecture, options),
    fromConfig: (config) => new VisionTransformer(checkVitConfig(config)),
    shapes: (config) => vitShapes(checkVitConfig(config)),
  },
  resnet: {
    config: (arch, options) => resnetConfig(arch as ResNetArchitecture, options),
    fromConfig: (config) => new ResNet(checkResNetConfig(config)),
    shapes: (config) => resnetShapes(checkResNetConfig(config)),
  },
};

function mamba(arch: MambaArchitecture, options: MambaOptions): VisionMamba {
  checkModelOptions(arch, options);
  return new VisionMamba(mambaConfig(arch, options));
}

function vit(arch: VitArchitecture, options: VitOptions): VisionTransformer {
  checkModelOptions(arch, options);
  return new VisionTransformer(vitConfig(arch, options));
}

function resnet(arch: ResNetArchitecture, options: ResNetOptions): ResNet {
  checkModelOptions(arch, options);
  return new ResNet(resnetConfig(arch, options));
}

/**
 * A new, randomly initialised model; `manualSeed` decides the values.
 * @throws UsageError for an unknown name, an option that the architecture does not have, or sizes
 *   that do not fit together
 */
export function createModel(arch: string, options: ModelOptions = {}): ImageModel {
  if (typeof (options as unknown) !== 'object' || Array.isArray(options)) {
    throw new UsageError(
      `createModel: got ${JSON.stringify(options)} in place of the options, expected an object such as { numClasses: 10 }.`,
    );
  }
  const family = families[familyOf(arch)];
  checkModelOptions(arch, options);
  const config = family.config(arch, options);
  checkFits(family.shapes(config));
  return family.fromConfig(config);
}

/**
 * Shapes of the tensors that `createModel` would make; nothing is allocated.
 * @throws as `createModel`
 */
export function denseShapes(arch: string, options: ModelOptions = {}): ModelShapes {
  const family = families[familyOf(arch)];
  checkModelOptions(arch, options);
  return family.shapes(family.config(arch, options));
}

/** @throws UsageError for a model whose weights alone are larger than the memory of this machine */
function checkFits(shapes: ModelShapes): void {
  let numbers = 0;
  for (const shape of shapes.values()) numbers += shape.reduce((a, b) => a * b, 1);
  const [bytes, memory] = [4 * numbers, totalmem()];
  if (!(bytes > memory)) return;
  const gib = (value: number): string => `${(value / 2 ** 30).toPrecision(3)} GiB`;
  throw new UsageError(
    `model: got sizes of ${numbers} parameters (${gib(bytes)}), expected less than the ${gib(memory)} of memory ` +
      'that this machine has. Choose smaller ones.',
  );
}

/**
 * A randomly initialised model of the shape that `config` describes.
 * @throws UsageError for a configuration that no model has
 */
export function createModelFromConfig(config: { readonly family: string }): ImageModel {
  return familyFor(config).fromConfig(config);
}

/**
 * Shapes of the tensors that such a model has, in no particular order; nothing is allocated.
 * @throws UsageError for a configuration that no model has
 */
export function modelShapes(config: { readonly family: string }): ModelShapes {
  return familyFor(config).shapes(config);
}

function familyFor({ family }: { readonly family: string }): Family {
  if (Object.hasOwn(families, family)) return families[family as FamilyName];
  throw new UsageError(
    `model: got family '${family}', expected one of ${Object.keys(familyNames).join(', ')}`,
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
