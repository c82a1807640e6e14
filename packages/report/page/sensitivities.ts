// The measurements that a page has.
import type { ReportData, SensitivityData } from '../src/data/types.js';

/** Those of runs, and those of files. */
export function sensitivitiesOf({ runs, sensitivities = [] }: ReportData): SensitivityData[] {
  return [...runs.flatMap(({ sensitivity }) => sensitivity ?? []), ...sensitivities];
}
