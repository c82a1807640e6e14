// The table of latencies as it stands in pruning.json. Loads no native code.
import { z } from 'zod';

export const latencyTableSchema = z.object({
  /** Images in the batch. */
  batch: z.int().min(1),
  device: z.string(),
  precision: z.string(),
  /** Of the model that the run began with. */
  denseMs: z.number(),
  /** The largest spread of all timings. */
  spread: z.number(),
  /** Units that the run began with, per group of the kinds that are cut. */
  sizes: z.record(z.string(), z.number()),
  /** The share of its kind's time that a group takes: as its multiply-accumulates. */
  weights: z.record(z.string(), z.number()),
  kinds: z.record(
    z.string(),
    z.object({
      groups: z.array(z.string()),
      /** The share of all its groups' units that is there while other kinds are measured. */
      base: z.number(),
      /** By increasing share of its groups' units; times never fall. */
      points: z.array(z.object({ share: z.number(), ms: z.number() })),
    }),
  ),
  /** With all kinds at their base. */
  baseMs: z.number(),
  /** Of the narrowest model that these kinds allow, below which no cut comes; older files have none. */
  leastMs: z.number().optional(),
  /** What models that were built and measured took longer than the table says. */
  offsetMs: z.number(),
});

export type LatencyTable = z.output<typeof latencyTableSchema>;
