import { basename, dirname } from 'node:path';
import { boxedModelFile, isBoxedName } from '../boxed-models.js';
import { programWords } from '../called-as.js';
import type { HubOptions } from '../hub/fetch.js';
import { nameOfFile } from '../hub/shown-file.js';
import { isHubSpec } from '../hub/spec.js';
import { isShardIndex } from '../shard-names.js';
import type { PublishedWeights } from '../models/published-weights.js';
import { isPublishedName, publishedArgument } from '../hub-names.js';
import { publishedNamed } from '../models/published.js';
import {
  type ModelPathOptions,
  checkedFile,
  modelFileName,
  modelPath,
} from '../workflows/model-path.js';
import type { Context } from './context.js';
import { downloadHooks, interruptedDownload } from './transfer-progress.js';
import { bytes, percent } from '../format.js';
import { shellCommand } from '../shell.js';
import { interruptible } from './work.js';

/**
 * The file that a MODEL argument means: a file, a run, `hf:owner/name` or `pretrained:NAME`, which are downloaded, or a
 * model of the package of trained ones, `models:NAME`.
 * @throws UsageError if there is none; HubError; Error if the package is not installed
 */
export async function findModel(
  context: Context,
  argument: string,
  { flag, ...options }: FindOptions = {},
): Promise<string> {
  if (isBoxedName(argument)) return boxedModelFile(argument);
  if (!isHubSpec(argument) && !isPublishedName(argument)) {
    return modelPath(argument, {
      onNote: (note) => {
        context.note(note);
      },
      ...options,
    });
  }
  const { fetchFromHub } = await import('../hub/fetch.js');
  const { fetchPublished } = await import('../hub/fetch-published.js');
  const published = isPublishedName(argument) ? publishedNamed(argument) : undefined;
  const fetched: (name: string, options: HubOptions) => Promise<{ readonly path: string }> =
    published ? fetchPublished : fetchFromHub;
  const { path } = await interruptible(context, (signal) =>
    interruptedDownload(signal, shellCommand([...programWords(), ...context.argv]), () =>
      fetched(argument, {
        signal,
        ...downloadHooks(context, 'download'),
        onBegin: (file) => {
          if (published) context.note(fetching(published, file.bytes));
        },
      }),
    ).catch(async (error: unknown) => {
      throw published && flag !== undefined ? await advising(error, flag) : error;
    }),
  );
  context.progress.end();
  return checkedFile(path, options);
}

/** Of weights to be downloaded by hand, with the flag that takes the file. */
async function advising(error: unknown, flag: string): Promise<unknown> {
  const { HubError } = await import('../hub/errors.js');
  if (!(error instanceof HubError)) return error;
  return new HubError(`${error.message.replace(/\.$/, '')}: ${flag} FILE.`, { cause: error });
}

/** What is about to be downloaded, and whose it is. */
function fetching(weights: PublishedWeights, size: number): string {
  const { address, license, accuracy, dataset, source } = weights;
  return (
    `Downloading ${publishedArgument(weights)} from ${address}: ${bytes(size)}, licence ${license}, accuracy on ${dataset} ` +
    `${percent(accuracy, 1)} as published (${source}).`
  );
}

interface FindOptions extends ModelPathOptions {
  /** By which the model was given, with its dashes; left out for an argument of its own. */
  readonly flag?: string;
}

/** What tables call a model: the run's name, the file's, that of the hub's repository, or `cifar10/mamba_small-90`. */
export function modelLabel(path: string): string {
  const name = nameOfFile(path);
  if (name !== undefined) return name;
  return basename(path) === modelFileName || isShardIndex(path)
    ? basename(dirname(path)) || path
    : basename(path, '.safetensors');
}

/** Labels that differ: where short names are the same, with as many folders before them as it takes. */
export function modelLabels(paths: readonly string[]): string[] {
  const labels = paths.map(modelLabel);
  return labels.map((label, index) => {
    const alike = paths.filter((_, other) => other !== index && labels[other] === label);
    if (alike.length === 0) return label;
    const own = foldersOf(paths[index] ?? label);
    const others = alike.map(foldersOf);
    for (let taken = 1; taken < own.length; taken++) {
      const name = (parts: readonly string[]): string => parts.slice(-taken).join('/');
      if (others.every((parts) => name(parts) !== name(own))) return name(own);
    }
    return own.join('/');
  });
}

/** The parts of a path; the file's name only where it tells something. */
function foldersOf(path: string): string[] {
  const parts = path.split(/[/\\]/);
  return parts.at(-1) === modelFileName || isShardIndex(path) ? parts.slice(0, -1) : parts;
}
