// Whether RSST's regularised training and that after the cut are one (`lrThrough`). Loads no native code: plans of
// comparisons need it.

/** Unless told otherwise. */
export const lrThroughDefault: boolean = false;
