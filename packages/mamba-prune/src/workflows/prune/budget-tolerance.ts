// How near a budget of latency is met.

/** Widths are corrected until the measured latency is within this share below the limit. */
export const latencyTolerance = 0.02;
