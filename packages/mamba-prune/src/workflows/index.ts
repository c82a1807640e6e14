/**
 * What the commands do from beginning to end, as functions: training runs, pruning runs, comparisons, evaluation,
 * predictions, timing, and what is read from the folders that runs leave.
 *
 * @module mamba-prune/workflows
 */
export type { RecipeSettings, RunControl, TrainRequest, TrainSettings } from './settings.js';
export { recipeOfRun, type RunRecipe } from './recipe-of-run.js';
export type { TeacherSettings } from './teacher.js';
export type { TeacherFacts } from './opened-teacher.js';
export { type OnBegin, type TrainRun, trainRun } from './train-run.js';
export type { DataHooks, DataSettings, PreparationSettings } from './fit.js';

export type { PhaseHooks, PruneHooks, PrunePhase } from './prune/hooks.js';
export { type PruneRun, pruneRun } from './prune/run.js';
export type {
  DistillSettings,
  PruneMethod,
  PruneRequest,
  PruneSettings,
  RefillSettings,
  RsstSettings,
} from './prune/settings.js';
export type { ImportanceReason } from './prune/importance-choice.js';
export type { CostBudgetSettings, LatencyBudget } from './prune/cost-budget-settings.js';
export type { HeldBack, RateLimit } from './prune/reached-rates.js';
export type { OpenedModelFile } from './open-model-file.js';
export type { CompensateSettings } from './prune/compensate-settings.js';
export type { Rewind } from './prune/rewind-time.js';
export type { ThroughSettings } from './prune/through-settings.js';
export { type CalibrationOptions, calibrationOf } from './prune/calibration.js';
export { type PruningRecord, type RoundRecord, readPruningRecord } from './prune/record.js';
export {
  type GroupScores,
  type RoundScores,
  type RoundScoresFile,
  readRoundScores,
  unpackScores,
} from './prune/unit-scores.js';
export { type ImpHooks, type ImpPlan, type ImpRun, impRun } from './imp.js';

export {
  type CompareControl,
  type CompareHooks,
  type ComparePlan,
  type CompareRequest,
  type Comparison,
  compare,
} from './compare/compare.js';
export type { CompareResults } from './compare/results.js';
export type { ShortOfRate } from './compare/held-back.js';
export type { MethodResult, MethodTest, RunResult } from './compare/outcomes.js';
export type { GroupPatterns, PatternRate } from '../pruning/group-patterns.js';
export type { CompareMethod, PrunedMethod } from './compare/methods.js';
export type { CompareBudget, CompareSizes, RateAmount } from './compare/budget.js';
export type { RateSeeds } from './compare/seeds.js';
export type { SizeSeeds, SizesAsked } from './compare/sizes.js';
export type { CompareCut } from './compare/cut.js';
export type { CompareRefill, RateFillback, RefillRequest } from './compare/fillback.js';
export type { RunOrder } from './compare/perform.js';
export type { RunListeners, RunningRun, StartRun } from './compare/processes.js';
export type { Division } from './compare/resources.js';
export type {
  BaseRun,
  CompareRun,
  CompareSettings,
  MethodRun,
  RunBase,
  ScratchRun,
} from './compare/settings.js';
export { type PairedTest, holm, pairedTest } from './compare/statistics.js';
export {
  type CollectControl,
  type CollectHooks,
  type Collected,
  collectRuns,
} from './compare/collect.js';
export type { GivenDense } from './compare/given-dense.js';
export { type TuneRequest, type Tuning, tuneRates } from './compare/tune.js';
export type { TunedRun, TuningResults } from './compare/tuning-file.js';
export {
  type QuickstartControl,
  type QuickstartHooks,
  type QuickstartModel,
  type QuickstartPreset,
  type QuickstartReport,
  quickstart,
  quickstartPreset,
} from './quickstart.js';

export {
  type EvaluateModelOptions,
  type ModelEvaluation,
  NotFiniteError,
  evaluateModel,
} from '../inference/evaluate-model.js';
export {
  type ClassProbability,
  type PredictOnnxOptions,
  type PredictOptions,
  type Prediction,
  predictImages,
  predictImagesOnnx,
} from '../inference/predict.js';
export {
  type BenchCandidate,
  type BenchModel,
  type BenchOptions,
  type BenchResult,
  type ForeignModel,
  type Switchable,
  benchmarkModels,
} from '../bench/bench.js';
export { benchModel } from '../bench/bench-model.js';
export {
  type PassProfile,
  type ProfileOptions,
  type ProfiledPart,
  type ProfiledPass,
  type ProfiledPhase,
  profileModel,
} from '../bench/profile-model.js';
export { type OnnxCandidate, benchOnnx } from '../bench/bench-onnx.js';
export type { Spread } from '../statistics.js';
export type { ResolvedInferencePrecision } from '../precision.js';
export {
  type SensitivityControl,
  type SensitivityHooks,
  type SensitivityRun,
  sensitivityOf,
  sensitivityRun,
} from './sensitivity/run.js';
export type { CostTarget, SearchSettings, SensitivitySettings } from './sensitivity/settings.js';
export {
  type SearchCandidate,
  type SearchEvaluation,
  type SearchMethod,
  type SearchRecord,
  type SensitivityFile,
  readSensitivity,
  searchMethods,
} from './sensitivity/file.js';
export { type SearchRatesOptions, searchRates } from './sensitivity/search.js';
export { type AskedRates, type RatesFrom, ratesFrom } from './sensitivity/rates-from.js';
