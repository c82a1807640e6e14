// In what numbers a model computes. Names only, for the command line works without libtorch.

/** `auto`: bf16 on a GPU that has it, fp32 elsewhere. */
export const precisionNames = ['auto', 'fp32', 'bf16'] as const;
export type Precision = (typeof precisionNames)[number];

/** At inference a CPU also has `int8`: products in 8-bit integers. */
export const inferencePrecisionNames = [...precisionNames, 'int8'] as const;
export type InferencePrecision = (typeof inferencePrecisionNames)[number];

/** What `auto` came to. */
export type ComputePrecision = Exclude<Precision, 'auto'>;
export type ResolvedInferencePrecision = Exclude<InferencePrecision, 'auto'>;
