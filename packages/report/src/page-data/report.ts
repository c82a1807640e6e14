/**
 * What a page is made of: plain JSON, read from the folders of runs. The page knows nothing else, so
 * that the file a report is in and the studio show the same.
 */
import type { ComparisonData } from './comparison.js';
import type { EvaluationData } from './evaluation.js';
import type { LatencyData } from './latency.js';
import type { RepeatCommand, RunData } from './run.js';
import type { SensitivityData } from './sensitivity.js';

export interface ReportData {
  readonly kind: 'mamba-prune report';
  readonly format: 1;
  /** Of mamba-prune. */
  readonly version: string;
  /** ISO 8601. */
  readonly created: string;
  /** What shows the same runs live, on the machine of the report. */
  readonly studio: RepeatCommand;
  readonly runs: readonly RunData[];
  readonly comparisons: readonly ComparisonData[];
  /** Measurements from files of their own; those in folders of runs belong to these. */
  readonly sensitivities?: readonly SensitivityData[] | undefined;
  readonly latency?: LatencyData | undefined;
  readonly evaluation?: EvaluationData | undefined;
  /** What the units of every kind are called, by language; older reports have none. */
  readonly kinds?: Readonly<Record<string, KindLabel>> | undefined;
  /** Things the reader should know: a data set that was not found, say. */
  readonly notes: readonly string[];
}

/** English stands for what there is not. */
export interface KindLabel {
  readonly en: string;
  readonly zh?: string | undefined;
}

/** What the studio sends when something has changed. */
export interface StudioUpdate {
  /** Of all runs, in order. */
  readonly order: readonly string[];
  /** Those that changed. */
  readonly runs: readonly RunData[];
  readonly comparisons: readonly ComparisonData[];
  readonly notes: readonly string[];
}
