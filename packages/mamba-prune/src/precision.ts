// In what numbers a model computes. Names only, for the command line works without libtorch.

/** `auto`: bf16 on a GPU that has it, fp32 elsewhere. */
export const precisionNames = ['auto', 'fp32', 'bf16'] as const;
export type Precision = (typeof precisionNames)[number];

/** What `auto` came to. */
export type ComputePrecision = Exclude<Precision, 'auto'>;
