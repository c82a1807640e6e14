import type { LatencyData } from '../src/page-data/latency.js';
import type { ReportData } from '../src/page-data/report.js';

/** The batch sizes that were timed, the smallest first. */
export const timedBatches = ({ latency }: ReportData): number[] =>
  [...new Set(latency?.results.map(({ batch }) => batch))].sort((a, b) => a - b);

/** Of a run at a batch size. By default the smallest that was timed. */
export function latencyOf(
  data: ReportData,
  run: string,
  batch = timedBatches(data)[0],
): LatencyData['results'][number] | undefined {
  return data.latency?.results.find((result) => result.run === run && result.batch === batch);
}
