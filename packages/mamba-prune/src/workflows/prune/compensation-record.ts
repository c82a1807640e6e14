// What pruning.json tells of a round's compensation.
import { z } from 'zod';

const change = z.object({ before: z.number(), after: z.number() });

/** As a round of pruning.json has it. */
export const compensationRecord = z.object({
  target: z.string(),
  judge: z.string(),
  images: z.int().min(0),
  heldOut: z.int().min(0),
  /** Accuracy after the cut without it; the round's `afterCut` is the one with it. */
  accuracyBefore: z.number().nullable(),
  divergence: change,
  /** By group: those that were fitted. */
  groups: z.record(
    z.string(),
    z.object({ ridge: z.number().nullable(), damping: z.number(), error: change }),
  ),
});

export type CompensationRecord = z.output<typeof compensationRecord>;
