/**
 * What most programs need: models are made, read and written, trained, pruned, evaluated, timed and exported. The
 * other entries (`mamba-prune/models`, `/pruning`, `/training`, `/data`, `/onnx`, `/workflows`, `/preparation`) hold
 * the parts of which these are made.
 *
 * @module mamba-prune
 */
export { FormatError } from '@mamba-prune/libtorch';
export { TooLargeError, UsageError } from './errors.js';
export { OutOfMemoryError } from './memory.js';
export type { ComputePrecision, InferencePrecision, Precision } from './precision.js';

export type { ImageModel, MacsEntry, ModelConfigBase, UnitProbe } from './models/image-model.js';
export type { GroupMember, KeptUnits, PruningGroup } from './models/groups.js';
export type { ModelOptions } from './models/model-options.js';
export type { MambaOptions } from './models/mamba/config.js';
export type { VisionMamba } from './models/mamba/model.js';
export type { VitOptions } from './models/vit/config.js';
export type { VisionTransformer } from './models/vit/model.js';
export type { ResNetOptions } from './models/resnet/config.js';
export type { ResNet } from './models/resnet/model.js';
export type { Family } from './models/family.js';
export { registerFamily } from './models/families.js';
export { loadPlugin } from './plugins.js';
export {
  createModel,
  isMambaModel,
  mambaBase,
  mambaSmall,
  mambaTiny,
  resnet18,
  resnet20,
  resnet50,
  resnet56,
  vitSmall,
  vitTiny,
} from './models/registry.js';
export {
  type LoadModelOptions,
  type SaveModelOptions,
  type ModelInfo,
  loadModel,
  saveModel,
} from './models/model-file.js';
export { type ImportOptions, type ImportedModel, importModel } from './models/import/model.js';
export { type OpenedModel, openModel } from './workflows/open-model.js';
export { type GroupSummary, type ModelSummary, inspectModel } from './models/inspect.js';
export { HubError } from './hub/errors.js';
export { fetchFromHub, fetchPublished, pushToHub } from './hub/on-demand.js';
export type { PublishedResult } from './hub/fetch-published.js';
export type { BegunFile, HubOptions, HubResult } from './hub/fetch.js';
export type { PushOptions, PushProgress, PushResult, PushedFile } from './hub/push.js';
export type { HubSpec } from './hub/spec.js';

export type { Calibration, CalibrationBatch } from './pruning/calibration.js';
export {
  type ImportanceContext,
  type ImportanceFunction,
  type RegisteredImportance,
  registerImportance,
} from './pruning/importances.js';
export type { BudgetAmounts } from './pruning/budget/amounts.js';
export type { BudgetSolution, CostBudget } from './pruning/budget/solve.js';
export type { CutOptions } from './pruning/select-units.js';
export { type PruningResult, pruneOneShot } from './pruning/oneshot.js';
export { type RefillOptions, pruneWithRefill } from './pruning/refill.js';
export { maskModel, pruneModel } from './pruning/surgery.js';

export { DataError } from './data/errors.js';
export { openDataset, registerDataset } from './data/datasets.js';
export type { DatasetDefinition } from './data/definition.js';
export type { Dataset, DatasetInfo, ImageSplit, OpenDatasetOptions } from './data/types.js';
export { type OpenDatasetForOptions, openDatasetFor } from './workflows/open-dataset-for.js';

export {
  CheckpointError,
  ResumeError,
  RunFolderError,
  StoppedAtStartError,
  TrainingDivergedError,
} from './training/errors.js';
export { RunFolder } from './training/run-folder.js';
export { train as trainModel } from './training/trainer.js';
export type { StepInfo, TrainHooks } from './training/hooks.js';
export type { EpochMetrics } from './training/metrics-lines.js';
export type { StepContext } from './training/step-context.js';
export type { TrainControl } from './training/train-control.js';
export type { TrainOptions } from './training/train-options.js';
export type { TrainResult } from './training/train-result.js';

export { type OnnxExport, type OnnxExportOptions, exportOnnx } from './export/export-onnx.js';
export {
  type AccuracyRequest,
  type HubFolder,
  type HubFolderOptions,
  type HubForm,
  type LeftOutForm,
  exportHubFolder,
} from './export/hub-folder/write-folder.js';
export type { MeasuredAccuracy } from './export/accuracy.js';
export { VerificationError } from './export/verify.js';
export { benchModel } from './bench/bench-model.js';
export {
  type BenchCandidate,
  type BenchModel,
  type BenchOptions,
  type BenchResult,
  benchmarkModels,
} from './bench/bench.js';
export {
  type ClassProbability,
  type PredictOptions,
  type Prediction,
  predictImages,
} from './inference/predict.js';

export {
  type EvaluateModelOptions,
  type ModelEvaluation,
  NotFiniteError,
  evaluateModel,
} from './inference/evaluate-model.js';
export { type CalibrationOptions, calibrationOf } from './workflows/prune/calibration.js';
export { type PruneRun, pruneRun } from './workflows/prune/run.js';
export type { PruneHooks } from './workflows/prune/hooks.js';
export type { PruneRequest, PruneSettings } from './workflows/prune/settings.js';
export type { RunControl, TrainRequest, TrainSettings } from './workflows/settings.js';
export { type TrainRun, trainRun } from './workflows/train-run.js';
