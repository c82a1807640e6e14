// What a page shows of a config.json: a file that was written by hand, or cut, says so.
import { DataError } from 'mamba-prune';
import type { RunConfig } from 'mamba-prune/training';
import { z } from 'zod';

const text = z.string();
const epochs = z.object({ epochs: z.int().min(0).max(1_000_000).optional() });

const shown = z.object({
  cwd: text,
  versions: z.object({ mambaPrune: text, libtorch: text, node: text }),
  machine: z.object({ cpu: text, threads: z.number(), system: text }),
  train: epochs.optional(),
  settings: z.object({ rsst: epochs.optional(), recipe: epochs.optional() }).optional(),
  source: z
    .object({ path: text.optional(), sha256: text.optional(), bytes: z.number().optional() })
    .optional(),
});

/** @throws DataError naming what is missing or of another type */
export function checkConfig(path: string, config: RunConfig): void {
  const parsed = shown.safeParse(config);
  if (parsed.success) return;
  throw new DataError(`${path} does not describe a run:\n${z.prettifyError(parsed.error)}`, {
    file: path,
  });
}
