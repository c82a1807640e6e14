// Everything that the command line does, as functions.
export { UsageError } from './errors.js';

export type { ImageModel, MacsEntry, ModelConfigBase } from './models/image-model.js';
export type { MambaArchitecture, MambaConfig, ModelOptions } from './models/config.js';
export { mambaArchitectures, mambaConfig } from './models/config.js';
export { VisionMamba } from './models/mamba.js';
export {
  createModel,
  createModelFromConfig,
  isMambaModel,
  mambaBase,
  mambaSmall,
  mambaTiny,
  modelNames,
} from './models/registry.js';
export { type ModelInfo, loadModel, saveModel } from './models/model-file.js';

export type { GroupMember, KeptUnits, PruningGroup } from './pruning/groups.js';
export { type ImportanceNorm, groupImportance, importanceNorms } from './pruning/importance.js';
export {
  type SelectionOptions,
  keptCount,
  normalizations,
  selectUnits,
  selectionScopes,
} from './pruning/selection.js';
export {
  type OneShotOptions,
  type PruningResult,
  chooseUnits,
  pruneOneShot,
} from './pruning/oneshot.js';
export { maskModel, pruneModel } from './pruning/surgery.js';

export {
  type AugmentOptions,
  type AugmentPreset,
  type Batch,
  BatchLoader,
  type BatchLoaderOptions,
  DataError,
  type Dataset,
  type DatasetInfo,
  type DatasetName,
  type DownloadDatasetOptions,
  type DownloadProgress,
  type ImageSplit,
  type LoaderSpeed,
  MemorySplit,
  type OpenDatasetOptions,
  type VerifyReport,
  augmentPreset,
  augmentPresetNames,
  datasetNames,
  defaultCacheDir,
  downloadDataset,
  measureLoader,
  openDataset,
  readImage,
  verifyDataset,
} from './data/index.js';

export {
  type BestEpoch,
  CheckpointError,
  type CheckpointState,
  type Distillation,
  Ema,
  type EpochMetrics,
  type EvaluateOptions,
  type Evaluation,
  type LossTerm,
  type MetricsLine,
  type ResolvedTrainOptions,
  ResumeError,
  type RunConfig,
  type RunDescription,
  RunFolder,
  RunFolderError,
  type SavedModelInfo,
  type StepContext,
  type StepInfo,
  type StopOnSignals,
  type TrainControl,
  type TrainHooks,
  type TrainOptions,
  type TrainResult,
  type Trainable,
  TrainingDivergedError,
  classificationLoss,
  distillationLoss,
  evaluate,
  limitSplit,
  readCheckpointInfo,
  readMetricsFile,
  resolveTrainOptions,
  stopOnSignals,
  train as trainModel,
} from './training/index.js';

export {
  type BenchModel,
  type BenchOptions,
  type BenchResult,
  benchmarkModels,
} from './bench/bench.js';
export { benchModel } from './bench/bench-model.js';
export type { Spread } from './bench/statistics.js';
export { type GroupSummary, type ModelSummary, inspectModel } from './bench/inspect.js';
export {
  type ClassProbability,
  type PredictOptions,
  type Prediction,
  predictImages,
} from './inference/predict.js';

export {
  type EvaluateModelOptions,
  type ModelEvaluation,
  evaluateModel,
} from './workflows/evaluate-model.js';
export { type DataHooks, type DataSettings, modelInfoOf } from './workflows/fit.js';
export { type PruneHooks, type PruneRun, pruneRun } from './workflows/prune-run.js';
export { type PruningRecord, readPruningRecord } from './workflows/pruning-record.js';
export {
  type QuickstartControl,
  type QuickstartHooks,
  type QuickstartPreset,
  type QuickstartReport,
  quickstart,
  quickstartPreset,
} from './workflows/quickstart.js';
export type {
  PruneSettings,
  RecipeSettings,
  RunControl,
  TrainSettings,
} from './workflows/settings.js';
export { type TrainRun, trainRun } from './workflows/train-run.js';
