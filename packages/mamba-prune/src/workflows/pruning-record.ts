// pruning.json: what a pruning run cut, and what it cost.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '@mamba-prune/libtorch';
import { z } from 'zod';
import { DataError } from '../data/errors.js';

const widths = z.record(z.string(), z.number());
const units = z.record(z.string(), z.array(z.number()));
const pair = z.object({ before: z.number(), after: z.number() });
const accuracy = z.number().nullable();

const recordSchema = z.object({
  kind: z.literal('mamba-prune pruning'),
  format: z.literal(1),
  method: z.string(),
  /** File that was pruned. */
  source: z.string(),
  rates: widths,
  importance: z.string(),
  ranking: z.string(),
  normalize: z.string(),
  roundTo: z.number(),
  maxRate: z.number(),
  /** Before any cut ever. */
  denseWidths: widths,
  widthsBefore: widths,
  widthsAfter: widths,
  /** Units of the dense model that are left, per group. */
  kept: units,
  /** The same as units of the file that was pruned. */
  keptInSource: units,
  parameters: pair,
  macs: pair,
  accuracy: z.object({
    /** Of the file that was pruned. */
    before: accuracy,
    /** Right after the cut. */
    afterCut: accuracy,
    /** After fine-tuning. */
    after: accuracy,
  }),
});

export type PruningRecord = z.infer<typeof recordSchema>;

const pruningFile = (run: string): string => join(run, 'pruning.json');

export function writePruningRecord(run: string, record: PruningRecord): void {
  // Through the schema, so that the order of the keys is always the same.
  writeFileAtomic(pruningFile(run), `${JSON.stringify(recordSchema.parse(record), null, 1)}\n`);
}

/**
 * @returns undefined if there is none
 * @throws DataError if it is damaged
 */
export function readPruningRecord(run: string): PruningRecord | undefined {
  const path = pruningFile(run);
  if (!existsSync(path)) return undefined;
  let problem: string;
  try {
    const parsed = recordSchema.safeParse(JSON.parse(readFileSync(path, 'utf8')));
    if (parsed.success) return parsed.data;
    problem = z.prettifyError(parsed.error);
  } catch (error) {
    problem = (error as Error).message;
  }
  throw new DataError(`${path} is no record of a pruning: ${problem}. Start a new run.`, {
    file: path,
  });
}
