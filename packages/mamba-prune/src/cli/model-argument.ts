import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { UsageError } from '../errors.js';

/** The model's file in a run folder. */
export const modelFileName = 'model.safetensors';

/**
 * The file that a MODEL|RUN argument means.
 * @throws UsageError if there is none
 */
export function modelPath(argument: string): string {
  const stat = statSync(argument, { throwIfNoEntry: false });
  if (!stat) {
    throw new UsageError(
      `${argument} does not exist, expected a .safetensors file or a run folder.`,
    );
  }
  if (!stat.isDirectory()) return argument;
  const file = join(argument, modelFileName);
  if (existsSync(file)) return file;
  throw new UsageError(
    existsSync(join(argument, 'config.json'))
      ? `${argument} has no ${modelFileName} yet: its training is not finished. Resume it with --resume.`
      : `${argument} is a folder without ${modelFileName}, expected a run folder or a .safetensors file.`,
  );
}

/** What tables call a model: the run's name, or the file's. */
export function modelLabel(path: string): string {
  return basename(path) === modelFileName
    ? basename(dirname(path)) || path
    : basename(path, '.safetensors');
}

/** Labels that differ: the whole paths where short names are the same. */
export function modelLabels(paths: readonly string[]): string[] {
  const labels = paths.map(modelLabel);
  return labels.map((label, index) =>
    labels.filter((other) => other === label).length > 1 ? (paths[index] ?? label) : label,
  );
}
