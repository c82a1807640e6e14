/**
 * Pages about runs of mamba-prune: a file that shows everything, and a studio that shows it live.
 *
 * @module @mamba-prune/report
 */
export type * from './data/types.js';
export { collect } from './data/collect.js';
export { type FoundRuns, findRuns } from './data/find-runs.js';
export { drawComparison } from './comparison-picture.js';
export { reportHtml } from './report-html.js';
export { writeReport } from './write-report.js';
export { startStudio } from './studio/start-studio.js';
