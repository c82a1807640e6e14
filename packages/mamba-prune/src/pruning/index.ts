/**
 * Pruning: units are scored, chosen and cut; Refill and RSST. Written on groups, so that it works on every model.
 *
 * @module mamba-prune/pruning
 */
export type { GroupMember, KeptUnits, PruningGroup } from '../models/groups.js';
export type { Calibration, CalibrationBatch } from './calibration.js';
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
} from './importances.js';
export { type ScoreOptions, scoreUnits } from './score-units.js';
export { type GroupLimits, type MinWidth } from './group-limits.js';
export {
  type Ranking,
  type SelectionOptions,
  keptCount,
  normalizations,
  rankings,
  selectUnits,
} from './selection.js';
export { type CutOptions, chooseUnits, defaultKinds } from './select-units.js';
export {
  type KindSelection,
  type KindSelectionOptions,
  type SolveOptions,
  solveBudget,
} from './select-kinds.js';
export { type RankMeasure, rankMeasures } from './ranking.js';
export type { Amount, BudgetAmounts } from './budget/amounts.js';
export { type BudgetTarget, type WidthCost, budgetTargets } from './budget/targets.js';
export { type BudgetSolution, type CostBudget, type ReachedTarget } from './budget/solve.js';
export type { Widths } from '../models/width-costs.js';
export { type PruningResult, pruneOneShot } from './oneshot.js';
export {
  type CountOptions,
  type RefillChoice,
  type RefillCounts,
  type RefillOptions,
  pruneWithRefill,
  refillCounts,
  refillUnits,
} from './refill.js';
export {
  type RefillBudget,
  type RefillScore,
  refillBudgets,
  refillScores,
} from './refill-choices.js';
export { type TensorCut, maskModel, pruneModel, tensorCut } from './surgery.js';
export {
  type HasWeight,
  type LayerImportance,
  type PruneHybridOptions,
  type PruneKindOptions,
  type StructuredPruningOptions,
  calculateChannelImportance,
  calculateNeuronImportance,
  computeMambaStructuredRegularization,
  pruneMambaHybrid,
  pruneMambaMlpStructured,
  pruneMambaSsmStructured,
} from './mamba-structured.js';
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
  type RsstSpan,
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
} from './rsst/index.js';
export {
  type CutModel,
  type Evaluate,
  type MeasureSensitivityOptions,
  type Measured,
  type MeasuredModel,
  type PartSensitivity,
  type Sensitivity,
  type SensitivityPoint,
  measureSensitivity,
} from './sensitivity/measure.js';
export { type SensitivityBy, sensitivityParts } from './sensitivity/parts.js';
export { type CostMetric, costMetrics } from './sensitivity/curve.js';
export {
  type AllocatedRates,
  type CostLimit,
  type RatesFromSensitivityOptions,
  ratesFromSensitivity,
} from './sensitivity/allocate.js';
export {
  type Compensation,
  type CompensateOptions,
  compensate,
} from './compensation/compensate.js';
export type { GroupCompensation } from './compensation/correct.js';
export type { CalibrationImages, ImageBatch } from './compensation/held-out.js';
export {
  type CompensationJudge,
  type CompensationTarget,
  compensationJudges,
  compensationTargetNames,
} from './compensation/choices.js';
