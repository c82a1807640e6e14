/** How fast the models of a report are. */

/** Measured in one session, the models taking turns. */
export interface LatencyData {
  readonly device: string;
  readonly machine: string;
  readonly threads: number;
  readonly results: readonly {
    readonly run: string;
    readonly batch: number;
    readonly medianMs: number;
    readonly p10Ms: number;
    readonly p90Ms: number;
  }[];
}
