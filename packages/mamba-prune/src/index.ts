/**
 * Everything that the command line does, as functions.
 *
 * @module mamba-prune
 */
export { TooLargeError, UsageError } from './errors.js';
export { makeFolder } from './files/folder.js';
export { OutOfMemoryError } from './memory.js';
export { type ComputePrecision, type Precision, precisionNames } from './precision.js';
export { imageType, precisionOn, weightCopies } from './models/precision.js';

export {
  type GroupProbe,
  type ImageModel,
  type MacsEntry,
  type ModelConfigBase,
  type UnitProbe,
  probeOf,
} from './models/image-model.js';
export type { MambaArchitecture, MambaConfig, MambaOptions } from './models/mamba/config.js';
export type { ModelOptions } from './models/model-options.js';
export { mambaArchitectures, mambaConfig } from './models/mamba/config.js';
export { VisionMamba } from './models/mamba/model.js';
export {
  type VitArchitecture,
  type VitConfig,
  type VitOptions,
  vitArchitectures,
  vitConfig,
} from './models/vit/config.js';
export { VisionTransformer } from './models/vit/model.js';
export {
  type ResNetArchitecture,
  type ResNetConfig,
  type ResNetOptions,
  resnetArchitectures,
  resnetConfig,
} from './models/resnet/config.js';
export { ResNet } from './models/resnet/model.js';
export type {
  Family,
  GroupKind,
  ModelOption,
  ModelOptionTable,
  ModelShapes,
  OnnxGraph,
  OptionValues,
} from './models/family.js';
export {
  families,
  groupKinds,
  modelNames,
  modelOptionNames,
  registerFamily,
} from './models/families.js';
export { loadPlugin } from './plugins.js';
export { modelLabel } from './models/model-label.js';
export {
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
} from './models/registry.js';
export {
  type LoadModelOptions,
  type ModelInfo,
  checkModelFile,
  loadModel,
  saveModel,
} from './models/model-file.js';
export { type NotFinite, notFinite } from './models/finite.js';
export { type OnnxExport, type OnnxExportOptions, exportOnnx } from './export/export-onnx.js';
export { type BuildOptions, buildOnnxModel } from './export/build-model.js';
export type { FloatType, InputType, Quantization, ScanOp } from './onnx/choices.js';
export { OnnxModel, type OnnxResult } from './export/onnx-model.js';
export { type ModelProto, decodeModel, encodeModel } from './onnx/proto.js';
export { type Verification, VerificationError, verifyOnnx } from './export/verify.js';
export {
  type ImportOptions,
  type ImportedModel,
  importModel,
  importStateDict,
} from './models/import/model.js';

export { HubError } from './hub/errors.js';
export { type HubOptions, type HubResult, fetchFromHub } from './hub/fetch.js';
export type { HubSpec } from './hub/spec.js';

export type { GroupMember, KeptUnits, PruningGroup } from './models/groups.js';
export type { Calibration, CalibrationBatch } from './pruning/calibration.js';
export {
  type BuiltInImportance,
  type ImportanceContext,
  type ImportanceFacts,
  type ImportanceFunction,
  type ImportanceName,
  type RegisteredImportance,
  type UnitScore,
  defaultImportance,
  importanceFacts,
  importanceNames,
  registerImportance,
  unitScores,
} from './pruning/importances.js';
export { type ScoreOptions, scoreUnits } from './pruning/score-units.js';
export {
  type Ranking,
  type SelectionOptions,
  keptCount,
  normalizations,
  rankings,
  selectUnits,
} from './pruning/selection.js';
export { type CutOptions, chooseUnits, defaultKinds } from './pruning/select-units.js';
export { type PruningResult, pruneOneShot } from './pruning/oneshot.js';
export {
  type RefillChoice,
  type RefillCounts,
  type RefillOptions,
  pruneWithRefill,
  refillCounts,
  refillUnits,
} from './pruning/refill.js';
export { refillBudgets, refillScores } from './pruning/refill-choices.js';
export type { TensorCut } from './pruning/surgery.js';
export { maskModel, pruneModel, tensorCut } from './pruning/surgery.js';
export {
  type HasWeight,
  type PruneHybridOptions,
  type PruneKindOptions,
  type StructuredPruningOptions,
  calculateChannelImportance,
  calculateNeuronImportance,
  pruneMambaHybrid,
  pruneMambaMlpStructured,
  pruneMambaSsmStructured,
  computeMambaStructuredRegularization,
} from './pruning/mamba-structured.js';
export {
  type KindNorms,
  type NearZeroOptions,
  type NormCutOptions,
  type NormSpread,
  type RegApplication,
  type RegNorm,
  type RegUnits,
  type RegularizerOptions,
  type RsstHooks,
  type RsstOptions,
  type RsstSchedule,
  type RsstStrength,
  type UnitNorms,
  type UnitSet,
  computeStructuredRegularization,
  doomedUnits,
  measureUnitNorms,
  readUnitNorms,
  regApplications,
  regNorms,
  regUnits,
  rsstDefaults,
  rsstHooks,
  rsstLambda,
  rsstScheduleExp,
  rsstSchedules,
  summarizeUnitNorms,
  unitsByNorm,
  unitsOverNearZero,
} from './pruning/rsst/index.js';

export {
  type AugmentOptions,
  type AugmentPreset,
  type Batch,
  BatchLoader,
  type BatchLoaderOptions,
  DataError,
  type Dataset,
  type DatasetInfo,
  type DatasetDefinition,
  type DatasetDownload,
  type DatasetRecipe,
  type DeviceBatch,
  DeviceBatches,
  type DeviceBatchOptions,
  type DeviceBatchSource,
  DeviceSplit,
  type DownloadDatasetOptions,
  type DownloadProgress,
  type ImageDType,
  type ImageSplit,
  type LastAugment,
  type NoteHandler,
  type LoaderSpeed,
  MemorySplit,
  type ModelHints,
  type OpenDatasetOptions,
  type OpenedDataset,
  type UploadOptions,
  type VerifyReport,
  augmentPreset,
  augmentPresetNames,
  datasetNames,
  defaultCacheDir,
  downloadDataset,
  measureLoader,
  openDataset,
  readImage,
  registerDataset,
  requireRecordedDataset,
  verifyDataset,
} from './data/index.js';

export type { Interpolation, Preprocessing } from './preparation/preprocessing.js';
export { defaultPreprocessing, preprocessingOf } from './preparation/preprocessing.js';

export {
  type BestEpoch,
  CheckpointError,
  type CheckpointState,
  type Continuation,
  type Distillation,
  Ema,
  type EpochMetrics,
  type EvaluateOptions,
  type Evaluation,
  type LossTerm,
  type MetricsLine,
  type PresetName,
  type PresetRecipe,
  type Reestimation,
  type ReestimateOptions,
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
  type TrainingPhase,
  checkTeacher,
  classificationLoss,
  composeHooks,
  distillationLoss,
  evaluate,
  fitBatchSize,
  limitSplit,
  presetNames,
  presetModelOptions,
  presetRecipe,
  readCheckpointInfo,
  readMetricsFile,
  reestimateBatchNorm,
  resolveTrainOptions,
  stopOnSignals,
  train as trainModel,
} from './training/index.js';
export { eventFilePath, tensorboardHooks, writeEventFile } from './logging/tensorboard.js';

export {
  type BenchCandidate,
  type BenchModel,
  type BenchOptions,
  type BenchResult,
  type ForeignModel,
  benchmarkModels,
} from './bench/bench.js';
export { benchModel } from './bench/bench-model.js';
export { type OnnxCandidate, benchOnnx } from './bench/bench-onnx.js';
export type { Spread } from './bench/statistics.js';
export { type GroupSummary, type ModelSummary, inspectModel } from './models/inspect.js';
export {
  type ClassProbability,
  type PredictOnnxOptions,
  type PredictOptions,
  type Prediction,
  predictImages,
  predictImagesOnnx,
} from './inference/predict.js';

export {
  type CompareControl,
  type CompareHooks,
  type ComparePlan,
  type CompareRequest,
  type Comparison,
  compare,
} from './workflows/compare/compare.js';
export { quickComparison } from './workflows/compare/quick.js';
export type {
  CompareResults,
  MethodResult,
  MethodTest,
  RunResult,
} from './workflows/compare/results.js';
export type { CompareMethod, CompareSettings } from './workflows/compare/settings.js';
export { type PairedTest, pairedTest } from './workflows/compare/statistics.js';
export {
  type EvaluateModelOptions,
  type ModelEvaluation,
  NotFiniteError,
  evaluateModel,
} from './inference/evaluate-model.js';
export { type CalibrationOptions, calibrationOf } from './workflows/prune/calibration.js';
export {
  type DataHooks,
  type DataSettings,
  type PreparationSettings,
  dataFor,
  modelInfoOf,
  openDataFor,
  withModelInfo,
} from './workflows/fit.js';
export { type ImpHooks, type ImpPlan, type ImpRun, impRun } from './workflows/imp.js';
export type { PruneHooks, PrunePhase } from './workflows/prune/hooks.js';
export { type PruneRun, pruneRun } from './workflows/prune/run.js';
export {
  type DistillSettings,
  type ImportanceReason,
  type PruneMethod,
  type PruneSettings,
  type RefillSettings,
  type RsstSettings,
  pruneMethods,
} from './workflows/prune/settings.js';
export {
  type PruningRecord,
  type RoundRecord,
  readPruningRecord,
} from './workflows/prune/record.js';
export {
  type GroupScores,
  type RoundScores,
  type RoundScoresFile,
  readRoundScores,
  unpackScores,
} from './workflows/prune/unit-scores.js';
export { decodeUnits, encodeUnits } from './workflows/prune/kept-units.js';
export type { Rewind } from './workflows/prune/rewind-time.js';
export {
  type QuickstartControl,
  type QuickstartHooks,
  type QuickstartPreset,
  type QuickstartReport,
  quickstart,
  quickstartPreset,
} from './workflows/quickstart.js';
export type { RecipeSettings, RunControl, TrainSettings } from './workflows/settings.js';
export type {
  ComparisonPicture,
  PictureHeading,
  ReportHooks,
  ReportOptions,
  ReportPackage,
  ReportResult,
  Studio,
  StudioOptions,
} from './report-package.js';
export { shellCommand } from './shell.js';
export { type TrainRun, trainRun } from './workflows/train-run.js';
