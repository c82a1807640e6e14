/**
 * Training: the loop, the folder of a run, checkpoints, evaluation, presets.
 *
 * @module mamba-prune/training
 */
export type { FitOptions, FittedBatch } from './auto-batch.js';
export { fitBatchSize } from './auto-batch.js';
export {
  type BatchSource,
  type BatchTensors,
  type LaunchedBatch,
  type StepBatch,
  limitSplit,
} from './batches.js';
export type { CheckpointState } from './checkpoint.js';
export { readCheckpointInfo } from './checkpoint.js';
export { composeHooks } from './compose-hooks.js';
export { Ema } from './ema.js';
export {
  CheckpointError,
  ResumeError,
  RunFolderError,
  StoppedAtStartError,
  TrainingDivergedError,
} from './errors.js';
export type { EvaluateOptions, Evaluation } from './evaluate.js';
export { evaluate } from './evaluate.js';
export type { MetricsLine } from './metrics.js';
export { readMetricsFile } from './metrics.js';
export type { PresetName, PresetRecipe, TrainingPhase } from './presets.js';
export { presetModelOptions, presetNames, presetRecipe } from './presets.js';
export type { Reestimation, ReestimateOptions } from './reestimate-bn.js';
export { reestimateBatchNorm } from './reestimate-bn.js';
export type { CreateOptions } from './new-run-folder.js';
export type { Environment } from './environment.js';
export type { RunConfig, RunDescription } from './run-config.js';
export { RunFolder } from './run-folder.js';
export type { StopOnSignals } from './signals.js';
export { stopOnSignals } from './signals.js';
export { train as trainModel } from './trainer.js';
export type {
  Distillation,
  HookState,
  LossTerm,
  SavedModelInfo,
  StepInfo,
  TrainHooks,
} from './hooks.js';
export type { EpochMetrics, StepMetrics } from './metrics-lines.js';
export type { StepContext, StepNumbers } from './step-context.js';
export type { Continuation, TrainControl } from './train-control.js';
export type { OptimizerName, ResolvedTrainOptions, TrainOptions } from './train-options.js';
export type { BestEpoch, TrainResult } from './train-result.js';
export type { Trainable } from './trainable.js';
export { tensorboardHooks, writeEventFile } from '../logging/tensorboard.js';
