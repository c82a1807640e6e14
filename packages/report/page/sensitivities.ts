// The measurements that a page has.
import type { ReportData } from '../src/page-data/report.js';
import type { SensitivityData } from '../src/page-data/sensitivity.js';

/** Those of runs, and those of files. */
export function sensitivitiesOf({ runs, sensitivities = [] }: ReportData): SensitivityData[] {
  return [...runs.flatMap(({ sensitivity }) => sensitivity ?? []), ...sensitivities];
}
