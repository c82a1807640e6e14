// Models by name, and from the configuration that a model file holds.
import { UsageError } from '../errors.js';
import { checkModelNeed, denseConfig } from './dense-config.js';
import { configFrom } from './family-results.js';
import { familyNamed } from './families.js';
import type { ModelShapes } from './family.js';
import type { ImageModel } from './image-model.js';
import type { MambaOptions } from './mamba/config.js';
import { VisionMamba } from './mamba/model.js';
import type { ModelOptions } from './model-options.js';
import type { ResNetOptions } from './resnet/config.js';
import { ResNet } from './resnet/model.js';
import { countParameters, makeModel, shapesIn } from './shapes.js';
import type { VitOptions } from './vit/config.js';
import { VisionTransformer } from './vit/model.js';

/** As a file or a caller describes a model; its family checks the rest. */
export type AnyConfig = { readonly family: string };

/**
 * A new, randomly initialised model; `manualSeed` decides the values.
 * @throws UsageError for an unknown name, an option that the architecture does not have, or sizes
 *   that do not fit together; TooLargeError for a size beyond its range, or a model that the
 *   machine's memory cannot hold
 */
export function createModel(arch: string, options: ModelOptions = {}): ImageModel {
  if (
    typeof (options as unknown) !== 'object' ||
    (options as unknown) === null ||
    Array.isArray(options)
  ) {
    throw new UsageError(
      `createModel: got ${JSON.stringify(options)} in place of the options, expected an object such as { numClasses: 10 }.`,
    );
  }
  return createModelFromConfig(denseConfig(arch, options));
}

/**
 * A randomly initialised model of the shape that `config` describes.
 * @throws UsageError for a configuration that no model has, otherwise as `createModel`
 */
export function createModelFromConfig(config: AnyConfig): ImageModel {
  const family = familyNamed(config);
  const checked = configFrom(family, 'checkConfig', family.checkConfig(config));
  checkModelNeed(checked);
  return makeModel(family, checked);
}

/**
 * Shapes of the tensors that such a model has, in no particular order; nothing is allocated where its family tells them.
 * @throws UsageError for a configuration that no model has
 */
export function modelShapes(config: AnyConfig): ModelShapes {
  const family = familyNamed(config);
  return shapesIn(family, configFrom(family, 'checkConfig', family.checkConfig(config)));
}

/**
 * Number of parameters of such a model, the same as its `numParameters()`.
 * @throws UsageError for a configuration that no model has
 */
export function parametersOf(config: AnyConfig): number {
  return countParameters(modelShapes(config));
}

/** The families' own classes have more than every model has. */
function ofClass<M extends ImageModel>(model: ImageModel, kind: new (config: never) => M): M {
  if (model instanceof kind) return model;
  throw new TypeError(`createModel: got a ${model.constructor.name}, expected a ${kind.name}.`);
}

export const mambaTiny = (options: MambaOptions = {}): VisionMamba =>
  ofClass(createModel('mamba_tiny', options), VisionMamba);
export const mambaSmall = (options: MambaOptions = {}): VisionMamba =>
  ofClass(createModel('mamba_small', options), VisionMamba);
export const mambaBase = (options: MambaOptions = {}): VisionMamba =>
  ofClass(createModel('mamba_base', options), VisionMamba);

export const vitTiny = (options: VitOptions = {}): VisionTransformer =>
  ofClass(createModel('vit_tiny', options), VisionTransformer);
export const vitSmall = (options: VitOptions = {}): VisionTransformer =>
  ofClass(createModel('vit_small', options), VisionTransformer);

export const resnet20 = (options: ResNetOptions = {}): ResNet =>
  ofClass(createModel('resnet20', options), ResNet);
export const resnet56 = (options: ResNetOptions = {}): ResNet =>
  ofClass(createModel('resnet56', options), ResNet);
export const resnet18 = (options: ResNetOptions = {}): ResNet =>
  ofClass(createModel('resnet18', options), ResNet);
export const resnet50 = (options: ResNetOptions = {}): ResNet =>
  ofClass(createModel('resnet50', options), ResNet);

export function isMambaModel(model: ImageModel): model is VisionMamba {
  return model instanceof VisionMamba;
}
