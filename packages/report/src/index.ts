/**
 * Pages about runs of mamba-prune: a file that shows everything, and a studio that shows it live.
 *
 * @module @mamba-prune/report
 */
export type {
  ComparisonPicture,
  ReportHooks,
  ReportOptions,
  ReportResult,
  Studio,
  StudioOptions,
} from 'mamba-prune/internal';
export type {
  ComparedMethod,
  ComparedRun,
  ComparedTest,
  ComparisonData,
  PictureHeading,
  PicturedComparison,
} from './page-data/comparison.js';
export type {
  EpochPoint,
  KindNorms,
  NormSpread,
  PhaseData,
  StepPoint,
  UnitNormsPoint,
} from './page-data/epochs.js';
export type {
  DisagreementData,
  DisagreementExample,
  EvaluationData,
} from './page-data/evaluation.js';
export type { LatencyData } from './page-data/latency.js';
export type {
  GroupData,
  GroupScoresData,
  PruningData,
  RoundData,
  ScoresData,
} from './page-data/pruning.js';
export type { KindLabel, ReportData, StudioUpdate } from './page-data/report.js';
export type {
  BeganData,
  Fact,
  ModelSize,
  RepeatCommand,
  RunData,
  RunMethod,
  DatasetData,
  RunState,
  TrainingData,
} from './page-data/run.js';
export type { SensitivityData, SensitivityPartData } from './page-data/sensitivity.js';
export type { TryOutModel, TryOutSample } from './page-data/try-out.js';
export { collect } from './data/collect.js';
export { type FoundRuns, findRuns } from './data/find-runs.js';
export { drawComparison } from './comparison-picture.js';
export { type EmbeddedModel, reportHtml } from './report-html.js';
export { writeReport } from './write-report.js';
export { startStudio } from './studio/start-studio.js';
