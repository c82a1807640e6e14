/** The types of training under the one path that `workflows/prune` imports them from. */
export type { LossTerm, SavedModelInfo, TrainHooks } from './hooks.js';
export type { EpochMetrics, StepMetrics } from './metrics-lines.js';
export type { StepContext } from './step-context.js';
export type { TrainControl } from './train-control.js';
export type { TrainOptions } from './train-options.js';
export type { TrainResult } from './train-result.js';
