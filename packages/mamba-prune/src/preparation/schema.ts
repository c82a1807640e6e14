// Apart from preprocessing.ts, so that a page that has that does not get zod with it.
import { z } from 'zod';
import { type Preprocessing, interpolations, leastCropShare } from './preprocessing.js';

/** What a model's file may have as its record. */
export const preprocessingSchema = z.object({
  interpolation: z.enum(interpolations),
  cropShare: z.number().gte(leastCropShare).lte(1),
}) satisfies z.ZodType<Preprocessing>;
