import { existsSync, statSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { UsageError } from '../errors.js';
import { isHubSpec } from '../hub/spec.js';
import type { Context } from './context.js';
import { bytes } from './terminal/format.js';
import { interruptible } from './work.js';

/** The model's file in a run folder. */
export const modelFileName = 'model.safetensors';

/** Whether a file is a model for onnxruntime, which only some commands take. */
export const isOnnx = (path: string): boolean => extname(path).toLowerCase() === '.onnx';

/**
 * The file that a MODEL argument means: a file, a run, or `hf:owner/name`, which is downloaded.
 * @throws UsageError if there is none; HubError
 */
export async function findModel(
  context: Context,
  argument: string,
  options: ModelPathOptions = {},
): Promise<string> {
  if (!isHubSpec(argument)) return modelPath(argument, options);
  const { fetchFromHub } = await import('../hub/fetch.js');
  const { progress } = context;
  const { path } = await interruptible(context, (signal) =>
    fetchFromHub(argument, {
      signal,
      onNote: (note) => {
        context.note(note);
      },
      onProgress: ({ received, total }) => {
        if (!progress.busy) progress.begin('download', total / 1e6, 'MB', received / 1e6);
        progress.update(received / 1e6, { extra: bytes(total) });
      },
    }),
  );
  progress.end();
  return path;
}

export interface ModelPathOptions {
  /** Whether the command takes ONNX files too; not unless given. */
  readonly takesOnnx?: boolean;
}

/**
 * The file that a MODEL|RUN argument means on this machine.
 * @throws UsageError if there is none, or it is an ONNX file that the command does not take
 */
export function modelPath(argument: string, { takesOnnx = false }: ModelPathOptions = {}): string {
  const stat = statSync(argument, { throwIfNoEntry: false });
  if (!stat) {
    const files = takesOnnx ? 'a .safetensors or .onnx file' : 'a .safetensors file';
    throw new UsageError(
      `${argument} does not exist, expected ${files}, a run folder or hf:owner/name.`,
    );
  }
  if (isOnnx(argument) && stat.isFile() && !takesOnnx) {
    throw new UsageError(
      `${argument} is an ONNX file, which only eval, predict and bench take. ` +
        'Give the .safetensors file or the run that it was made from.',
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

/** What tables call a model: the run's name, the file's, or that of the hub's repository. */
export function modelLabel(path: string): string {
  const repository = /[/\\]models--(.+?)--(.+?)[/\\]snapshots[/\\]/.exec(path);
  if (repository) return repository.slice(1).join('/');
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
