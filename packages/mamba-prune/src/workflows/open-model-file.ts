// A model from a file, whoever wrote it, with what the files beside it say of it.
import { realpathSync } from 'node:fs';
import { FormatError } from '@mamba-prune/libtorch';
import { modelFileOf } from '../boxed-models.js';
import { UsageError } from '../errors.js';
import { obstaclesBeside, squeezedBeside } from '../hub/model-card-config.js';
import { exactOrigin, originOf } from '../hub/origin.js';
import type { ImageModel } from '../models/image-model.js';
import { importDescribed } from '../models/import/described.js';
import { type ImportOptions, checkImportOptions, ownClassifier } from '../models/import/model.js';
import { type ModelInfo, isModelFile, loadModel } from '../models/model-file.js';
import { printableLine } from '../printable.js';
import { describedCard, checkKnown } from './known-weights.js';
import { assumedIn, sameInfo } from './same-info.js';

export interface OpenedModelFile {
  /** In evaluation mode; the caller disposes it. */
  readonly model: ImageModel;
  readonly info: ModelInfo;
  /** Whether the file is one of ours: what was assumed of it was assumed when it was imported. */
  readonly isOurs: boolean;
  /** What nothing tells and nobody said, with the value taken, such as `imageSize 224`. */
  readonly assumed: readonly string[];
  /** What was taken from where, dropped or converted; whole sentences. */
  readonly notes: readonly string[];
  /** What was said and what the files beside it say: with these options the file alone gives the same. */
  readonly options: ImportOptions;
}

/**
 * Opens a model file of ours, or a state dict as `importModel` does. What the caller does not say is taken
 * from what a checkpoint says of itself, then from the config.json and preprocessor_config.json beside a state dict; only then
 * is it assumed.
 *
 * @param path - the file, or a model of @mamba-prune/models such as `models:cifar10/mamba_small-90`
 * @param said - of a file of ours it may say what the file says, or does not say, and nothing else
 * @throws FormatError, UsageError as `importModel`; UsageError if a file of ours says otherwise
 */
export async function openModelFile(
  path: string,
  said: ImportOptions = {},
): Promise<OpenedModelFile> {
  checkImportOptions('import', said);
  const file = modelFileOf(path);
  try {
    return describesItself(file) ? openOurs(file, said) : await openImported(file, said);
  } catch (error) {
    throw toldOfCache(file, error);
  }
}

/** A file that is taken as it is leaves open what only its user can say: the message names options of importing. */
export class UntoldModelError extends UsageError {
  readonly path: string;

  constructor(path: string, cause: Error) {
    super(cause.message, { cause });
    this.path = path;
  }
}

/**
 * As `openModelFile`, where nothing more can be said of the file than this.
 * @throws UntoldModelError where it leaves something open
 */
export async function openAsItIs(path: string, said: ImportOptions = {}): Promise<OpenedModelFile> {
  try {
    return await openModelFile(path, said);
  } catch (error) {
    if (!(error instanceof Error) || describesItself(modelFileOf(path))) throw error;
    const names = Array.from(error.message.matchAll(/`([a-zA-Z]+)`/g), ([, name = '']) => name);
    const isOpen = names.some((name) => !Object.hasOwn(said, name));
    throw isOpen ? new UntoldModelError(path, error) : error;
  }
}

/** Of a damaged file of the cache people know neither where it lies nor that it may go. */
function toldOfCache(file: string, error: unknown): unknown {
  if (!(error instanceof FormatError) || !originOf(file)) return error;
  if (!/truncated|damaged|no file of weights/.test(error.message)) return error;
  // The contents, not the link to them: without these they are downloaded anew.
  const contents = printableLine(realpathSync(file));
  return new FormatError(
    `${error.message} The file lies in the cache of downloads, as ${contents}. Delete it: then it is downloaded again, which takes a network.`,
    { cause: error },
  );
}

async function openImported(path: string, said: ImportOptions): Promise<OpenedModelFile> {
  const beside = { card: describedCard(path), obstacles: obstaclesBeside(path) };
  const { info, notes, ...opened } = await importDescribed(path, said, beside);
  try {
    checkKnown(path, opened.model, said);
  } catch (error) {
    opened.model.dispose();
    throw error;
  }
  return {
    ...opened,
    info: { ...info, history: withSource(path, info.history) },
    isOurs: false,
    notes: [...notes, ...squeezeNotes(path)],
  };
}

/** Where a downloaded file comes from, in the form that fetches it again: its own name tells nothing. */
function withSource(path: string, history: ModelInfo['history']): ModelInfo['history'] {
  const origin = originOf(path);
  if (!origin) return history;
  const source = exactOrigin(origin);
  return history.map((step) => (step['step'] === 'import' ? { ...step, source } : step));
}

/** Whether a file is one of ours. What cannot be read is not: reading it says why. */
export function describesItself(path: string): boolean {
  try {
    return isModelFile(path);
  } catch {
    return false;
  }
}

function openOurs(path: string, said: ImportOptions): OpenedModelFile {
  const { allowNotFinite = false, key, classifier } = said;
  if (key !== undefined) {
    throw new UsageError(
      `import: got \`key\` '${key}' for ${path}, a safetensors file, which has no keys. Leave it out.`,
    );
  }
  if (classifier !== undefined) throw ownClassifier(path, classifier);
  const { model, info } = loadModel(path, { allowNotFinite });
  try {
    const same = sameInfo(path, model.config, info, said);
    const isNamed = info.classes.length === 0 && same.classes.length > 0;
    return {
      model,
      info: same,
      isOurs: true,
      assumed: assumedIn(info),
      notes: [],
      options: isNamed ? { classes: same.classes } : {},
    };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

function squeezeNotes(path: string): string[] {
  const file = squeezedBeside(path);
  return file === undefined
    ? []
    : [
        `The ${file} beside it has pictures squeezed into a square. Here their shorter side is resized and the centre cut out, so that ` +
          'pictures that are no squares give other results than where the model was made.',
      ];
}
