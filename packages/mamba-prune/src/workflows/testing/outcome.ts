// For tests: what of a pruning run must not depend on how often it was interrupted.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { RunFolder } from '../../training/run-folder.js';

/** Hashes of the models, the record, and the metrics without times. */
export function outcomeOf(path: string): Record<string, unknown> {
  const run = RunFolder.open(path);
  // A checkpoint holds times, and how often the run was resumed decides which one is the previous; what
  // was set aside is no outcome.
  const models = readdirSync(join(path, 'checkpoints')).filter(
    (name) => !/^(?:(?:last|previous)\.|lost$)/.test(name),
  );
  return {
    metrics: run.readMetrics().map((line) => ({ ...line, seconds: 0, imagesPerSecond: 0 })),
    record: JSON.parse(readFileSync(join(path, 'pruning.json'), 'utf8')) as unknown,
    model: hashOf(run.modelPath),
    ...Object.fromEntries(models.map((name) => [name, hashOf(join(path, 'checkpoints', name))])),
  };
}

const hashOf = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex');
