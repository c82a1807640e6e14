/**
 * Models: how one is made, read, written and described, and what an architecture of one's own has to bring.
 *
 * @module mamba-prune/models
 */
export {
  type GroupProbe,
  type ImageModel,
  type MacsEntry,
  type ModelConfigBase,
  type PackedWeights,
  type UnitProbe,
  type UnitWeights,
  probeOf,
} from './image-model.js';
export type { GroupMember, KeptUnits, PruningGroup } from './groups.js';
export type { ModelOptions, ReadingOptions } from './model-options.js';
export type { MambaArchitecture, MambaConfig, MambaOptions } from './mamba/config.js';
export type { ScanMode } from './mamba/scan-order.js';
export { VisionMamba } from './mamba/model.js';
export type { VitArchitecture, VitConfig, VitOptions, VitPooling } from './vit/config.js';
export { VisionTransformer } from './vit/model.js';
export type {
  ResNetArchitecture,
  ResNetConfig,
  ResNetOptions,
  ResNetStem,
} from './resnet/config.js';
export { ResNet } from './resnet/model.js';
export type { VMambaArchitecture, VMambaConfig, VMambaOptions } from './vmamba/config.js';
export { VMamba } from './vmamba/model.js';
export type { VimArchitecture, VimConfig, VimOptions } from './vim/config.js';
export { Vim } from './vim/model.js';
export {
  type AnyConfig,
  createModel,
  createModelFromConfig,
  isMambaModel,
  mambaBase,
  mambaSmall,
  mambaTiny,
  modelShapes,
  parametersOf,
  resnet18,
  resnet20,
  resnet50,
  resnet56,
  vitSmall,
  vitTiny,
} from './registry.js';
export type {
  Family,
  GroupKind,
  ModelOption,
  ModelOptionTable,
  ModelShapes,
  OnnxGraph,
  OptionValues,
  Sizes,
} from './family.js';
export { publishedWeights } from './published.js';
export type { PublishedPreparation, PublishedWeights } from './published-weights.js';
export { families, groupKinds, modelNames, modelOptionNames, registerFamily } from './families.js';
// What a family of one's own is written with.
export { checkPatches, checkWidths, configFields, parseConfig } from './config-checks.js';
export * as commonOptions from './common-options.js';
export { Mlp } from './layers/mlp.js';
export { Branch } from './layers/residual.js';
export type { KeptProducts } from './layers/low-products.js';
export { UnitNorm } from './layers/unit-norm.js';
export type { ClassifierNames } from './import/classifier-layers.js';
export type { CardEntries, FamilyCard } from './import/card.js';
export type { SaidInfo } from './import/info.js';
export type {
  Layout,
  LayoutOptions,
  LayoutResult,
  ModelModules,
  Reading,
  ScriptArguments,
  Shapes,
} from './import/layout.js';
export type { ModuleProblem } from './import/module-layers.js';
export type { PlacedModule } from './import/module-place.js';
export {
  type LoadModelOptions,
  type ModelDescription,
  type ModelInfo,
  type SaveModelOptions,
  loadModel,
  saveModel,
} from './model-file.js';
export type { StoredDtype } from './stored-weights.js';
export { type BoxedModel, boxedModels } from '../boxed-models.js';
export {
  type ImportOptions,
  type ImportedModel,
  importModel,
  importStateDict,
} from './import/model.js';
export { type GroupSummary, type ModelSummary, inspectModel } from './inspect.js';
