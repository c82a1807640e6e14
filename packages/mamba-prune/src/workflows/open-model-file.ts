// A model from a file, whoever wrote it, with what the files beside it say of it.
import { realpathSync } from 'node:fs';
import { FormatError } from '@mamba-prune/libtorch';
import { modelFileOf } from '../boxed-models.js';
import { defined } from '../defined.js';
import { UsageError, isUsageError } from '../errors.js';
import {
  type ModelCardConfig,
  arithmeticBeside,
  squeezedBeside,
} from '../hub/model-card-config.js';
import { originOf } from '../hub/origin.js';
import type { CardObstacle } from '../hub/model-card-family.js';
import { familyNamed } from '../models/families.js';
import type { Family } from '../models/family.js';
import type { ImageModel } from '../models/image-model.js';
import { type ImportOptions, type ImportedModel, importModel } from '../models/import/model.js';
import { ownSizes } from '../models/import/read.js';
import { type ModelInfo, isModelFile, loadModel } from '../models/model-file.js';
import { printableLine } from '../printable.js';
import { entryOf, hintNames, takenFrom, whereOf } from './card-info.js';
import { checkKnown, describedCard } from './known-weights.js';
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
 * from the config.json and preprocessor_config.json beside a state dict; only then is it assumed.
 *
 * @param path - the file, or a model of @mamba-prune/models such as `models:cifar10/mamba_small-90`
 * @param said - of a file of ours it may say what the file says, or does not say, and nothing else
 * @throws FormatError, UsageError as `importModel`; UsageError if a file of ours says otherwise
 */
export async function openModelFile(
  path: string,
  said: ImportOptions = {},
): Promise<OpenedModelFile> {
  const file = modelFileOf(path);
  try {
    return describesItself(file) ? openOurs(file, said) : await openImported(file, said);
  } catch (error) {
    throw toldOfCache(file, error);
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
  const card = describedCard(path);
  const { family, obstacles } = arithmeticBeside(path);
  const { imported, hints } = await importWith(
    path,
    { ...hintsOf(card, family, said), ...defined(said) },
    card,
    said,
  );
  try {
    checkActivation(path, imported.model, card);
    checkObstacles(path, imported.model, obstacles);
    checkKnown(path, imported.model, said);
    const { notes } = imported;
    const taken = takenFrom(path, card, imported, hints, said);
    const sizes = hints.arch === undefined ? {} : ownSizes(imported.model.config);
    const options = { ...hints, ...sizes, ...taken.options };
    return {
      model: imported.model,
      info: taken.info,
      isOurs: false,
      assumed: taken.assumed,
      notes: [...notes, ...taken.notes, ...squeezeNotes(path), ...scaleNotes(said)],
      options,
    };
  } catch (error) {
    imported.model.dispose();
    throw error;
  }
}

/** Other programs give mean and deviation of pixels from 0 to 255 too; then nothing else would show it. */
function scaleNotes(said: ImportOptions): string[] {
  return (['mean', 'std'] as const).flatMap((name) => {
    const large = said[name]?.find((value) => Math.abs(value) > 2);
    return large === undefined
      ? []
      : [
          `\`${name}\` ${large} was taken as it is, of pixels from 0 to 1. If it is of pixels up to 255, divide it by 255.`,
        ];
  });
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
  const { allowNotFinite = false, key } = said;
  if (key !== undefined) {
    throw new UsageError(
      `import: got \`key\` '${key}' for ${path}, a safetensors file, which has no keys. Leave it out.`,
    );
  }
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

/** What importing itself has use for; sizes that every shape tells are not among it. */
function hintsOf(
  { arch, heads, pooling, imageSize, layerNormEps }: ModelCardConfig,
  family: Family | undefined,
  said: ImportOptions,
): ImportOptions {
  const tellsSize = family?.layout?.card?.tellsImageSize === true;
  // A card of another architecture than the one that was named is not that of the weights.
  const isOther = said.arch !== undefined && arch !== undefined && said.arch !== arch;
  // Only a ViT has heads; in a ResNet's card such an entry is of something else.
  const eps = heads === undefined ? undefined : layerNormEps;
  const sizes = { arch, heads, pooling, eps, imageSize: tellsSize ? imageSize : undefined };
  return isOther ? {} : defined(sizes);
}

interface Hinted {
  readonly imported: ImportedModel;
  /** With which it was. */
  readonly hints: ImportOptions;
}

/**
 * Positions that are for images of two sizes are for those of the config.json beside them. Without a need it is not asked: weights
 * that were trained on at another size often lie beside the file of those that they began as.
 */
async function importSized(
  path: string,
  hints: ImportOptions,
  { imageSize }: ModelCardConfig,
): Promise<Hinted | undefined> {
  if (imageSize === undefined || hints.imageSize !== undefined) return undefined;
  const sized = { ...hints, imageSize };
  try {
    return { imported: await importModel(path, sized), hints: sized };
  } catch (error) {
    if (!isUsageError(error)) throw error;
  }
  return undefined;
}

/**
 * A config.json of timm names the architecture that a model began as, and not always with what other depth it was made. It
 * is no mistake where the shapes come closest to that same architecture.
 */
async function importResized(
  path: string,
  hints: ImportOptions,
): Promise<ImportedModel | undefined> {
  try {
    const imported = await importModel(path, { ...hints, arch: undefined });
    if (imported.model.config.arch === hints.arch) return imported;
    imported.model.dispose();
  } catch (error) {
    // The error of the reading that was asked for says more.
    if (!isUsageError(error)) throw error;
  }
  return undefined;
}

async function importWith(
  path: string,
  hints: ImportOptions,
  card: ModelCardConfig,
  said: ImportOptions,
): Promise<Hinted> {
  const { from } = card;
  try {
    return { imported: await importModel(path, hints), hints };
  } catch (error) {
    if (!isUsageError(error)) throw error;
    const sized = await importSized(path, hints, card);
    if (sized !== undefined) return sized;
    const own = hintNames.filter((name) => hints[name] !== undefined && said[name] === undefined);
    if (own.length === 0) throw error;
    const resized = own.includes('arch') ? await importResized(path, hints) : undefined;
    if (resized !== undefined) return { imported: resized, hints };
    const list = own.map((name) => `${name} ${String(hints[name])}`).join(' and ');
    const file = from[entryOf(own[0] ?? 'arch')] ?? '';
    throw new UsageError(
      `${(error as Error).message} (${list}: so says ${whereOf(file)}. What is given as an option goes before.)`,
      { cause: error },
    );
  }
}

/** Weights run with another function between the layers than they were trained with give other results. */
function checkActivation(path: string, { config }: ImageModel, card: ModelCardConfig): void {
  const { activation, from } = card;
  const { title, layout } = familyNamed(config);
  const usual = layout?.card?.activation;
  if (usual === undefined || activation === undefined || activation === usual) return;
  throw new FormatError(
    `${path}: got a ${title} whose neurons compute ${printableLine(activation)} (hidden_act in the ${from.activation ?? ''} beside it), ` +
      `expected ${usual}, which is the only one that there is.`,
  );
}

/** As `checkActivation`, for all else that no shape tells. */
function checkObstacles(
  path: string,
  { config }: ImageModel,
  obstacles: readonly CardObstacle[],
): void {
  const own = obstacles.filter(({ family }) => family.name === config.family);
  if (own.length === 0) return;
  throw new FormatError(
    `${path}: got a ${familyNamed(config).title} with ${own.map(({ what }) => what).join(', and with ')}, as the config.json beside it says, ` +
      'expected one without: no architecture here has it.',
  );
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
