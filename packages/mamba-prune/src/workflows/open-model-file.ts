// A model from a file, whoever wrote it, with what the files beside it say of it.
import { realpathSync } from 'node:fs';
import { FormatError } from '@mamba-prune/libtorch';
import { modelFileOf } from '../boxed-models.js';
import { defined } from '../defined.js';
import { UsageError, isUsageError } from '../errors.js';
import { type ModelCardConfig, obstaclesBeside, squeezedBeside } from '../hub/model-card-config.js';
import { originOf } from '../hub/origin.js';
import type { CardObstacle } from '../hub/model-card-family.js';
import { familyNamed } from '../models/families.js';
import type { ImageModel } from '../models/image-model.js';
import { wordsIn } from '../models/import/file-words.js';
import { type ImportOptions, type ImportedModel, importModel } from '../models/import/model.js';
import { ownSizes } from '../models/import/read.js';
import { type ModelInfo, isModelFile, loadModel } from '../models/model-file.js';
import { printableLine } from '../printable.js';
import { type HintName, entryOf, hintNames, takenFrom, whereOf, written } from './card-info.js';
import { checkpointCard, withCheckpointCard } from './checkpoint-card.js';
import { checkKnown, describedCard } from './known-weights.js';
import { checkHeads, checkModules } from './module-checks.js';
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
  const words = await wordsIn(path, said.key);
  checkHeads(path, words.modules, said);
  const own = checkpointCard(words);
  const card = withCheckpointCard(describedCard(path), own.card);
  const given = { ...hintsOf(card, said), ...defined(said) };
  const { imported, hints } = await importWith(path, given, card, said);
  try {
    checkActivation(path, imported.model, card);
    checkModules(path, imported.model, words.modules, said);
    checkObstacles(path, imported.model, own.obstacles, 'file');
    checkObstacles(path, imported.model, obstaclesBeside(path), 'config.json beside it');
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

/** What importing itself has use for; sizes that shapes tell are not among it. */
function hintsOf(
  { arch, heads, headDim, pooling, layerNormEps }: ModelCardConfig,
  said: ImportOptions,
): ImportOptions {
  // A card of another architecture than the one that was named is not that of the weights.
  const isOther = said.arch !== undefined && arch !== undefined && said.arch !== arch;
  // Only a ViT has heads; in a ResNet's card such an entry is of something else.
  const eps = heads === undefined && headDim === undefined ? undefined : layerNormEps;
  // The number that is said is of heads as wide as it makes them.
  const width = said.heads === undefined ? headDim : undefined;
  const sizes = { arch, heads, headDim: width, pooling, eps };
  return isOther ? {} : defined(sizes);
}

interface Hinted {
  readonly imported: ImportedModel;
  /** With which it was. */
  readonly hints: ImportOptions;
}

/**
 * The size of the images that a file says is taken where no shape tells one, and where positions are for images of two sizes. Elsewhere
 * it is not asked: weights that were trained on at another size often lie beside the file of those that they began as.
 */
async function importSized(
  path: string,
  hints: ImportOptions,
  { imageSize }: ModelCardConfig,
): Promise<Hinted> {
  if (imageSize === undefined || hints.imageSize !== undefined) {
    return { imported: await importModel(path, hints), hints };
  }
  const sized = { ...hints, imageSize };
  try {
    const imported = await importModel(path, hints);
    const isAssumed = imported.assumed.some((entry) => entry.startsWith('imageSize '));
    const again = isAssumed ? await ifPossible(importModel(path, sized)) : undefined;
    if (again === undefined) return { imported, hints };
    imported.model.dispose();
    return { imported: again, hints: sized };
  } catch (error) {
    if (!isUsageError(error)) throw error;
    const imported = await ifPossible(importModel(path, sized));
    // The error of the reading that was asked for says more.
    if (imported === undefined) throw error;
    return { imported, hints: sized };
  }
}

async function ifPossible<T>(importing: Promise<T>): Promise<T | undefined> {
  try {
    return await importing;
  } catch (error) {
    if (isUsageError(error)) return undefined;
    throw error;
  }
}

/**
 * Where what files say does not fit, and is no mistake:
 *
 * - timm names the architecture that a model began as, and not always with what other depth it was made, so that the shapes
 *   come closest to that same architecture;
 * - a script has settings of models with attention and was called for another one.
 */
async function importAnother(
  path: string,
  hints: ImportOptions,
  own: readonly HintName[],
  card: ModelCardConfig,
): Promise<Hinted | undefined> {
  const without = (...names: HintName[]): ImportOptions =>
    Object.fromEntries(
      Object.entries(hints).filter(
        ([name]) => !own.includes(name as HintName) || !names.includes(name as HintName),
      ),
    );
  const isOfFamily = ({ model }: ImportedModel): boolean => model.config.arch === hints.arch;
  const hasNoHeads = ({ model }: ImportedModel): boolean =>
    !Object.hasOwn(familyNamed(model.config).options, 'heads');
  for (const [names, fits] of [
    [['arch'], isOfFamily],
    [['heads', 'headDim', 'pooling', 'eps'], hasNoHeads],
  ] as const) {
    if (!names.some((name) => own.includes(name))) continue;
    const found = await ifPossible(importSized(path, without(...names), card));
    if (found === undefined) continue;
    if (fits(found.imported))
      return names[0] === 'arch'
        ? { ...found, hints: { ...found.hints, arch: hints.arch } }
        : found;
    found.imported.model.dispose();
  }
  return undefined;
}

async function importWith(
  path: string,
  hints: ImportOptions,
  card: ModelCardConfig,
  said: ImportOptions,
): Promise<Hinted> {
  try {
    return await importSized(path, hints, card);
  } catch (error) {
    const own = hintNames.filter((name) => hints[name] !== undefined && said[name] === undefined);
    if (!isUsageError(error) || own.length === 0) throw error;
    const another = await importAnother(path, hints, own, card);
    if (another !== undefined) return another;
    throw new UsageError(
      `${(error as Error).message} (${sayers(own, hints, card)}. What is given as an option goes before.)`,
      { cause: error },
    );
  }
}

/** `arch vit_small and heads 6: so says the config.json beside it` */
function sayers(
  names: readonly HintName[],
  hints: ImportOptions,
  { from }: ModelCardConfig,
): string {
  const places = [...new Set(names.map((name) => from[entryOf(name)] ?? ''))];
  return places
    .map((place) => {
      const own = names.filter((name) => (from[entryOf(name)] ?? '') === place);
      const list = own.map((name) => `${name} ${written(hints[name])}`).join(' and ');
      return `${list}: so says ${whereOf(place)}`;
    })
    .join('; ');
}

/** Weights run with another function between the layers than they were trained with give other results. */
function checkActivation(path: string, { config }: ImageModel, card: ModelCardConfig): void {
  const { activation, from } = card;
  const { title, layout } = familyNamed(config);
  const usual = layout?.card?.activation;
  if (usual === undefined || activation === undefined || activation === usual) return;
  throw new FormatError(
    `${path}: got a ${title} whose neurons compute ${printableLine(activation)} (hidden_act in ${whereOf(from.activation ?? '')}), ` +
      `expected ${usual}, which is the only one that there is.`,
  );
}

/** As `checkActivation`, for all else that no shape tells. */
function checkObstacles(
  path: string,
  { config }: ImageModel,
  obstacles: readonly CardObstacle[],
  place: string,
): void {
  const own = obstacles.filter(({ family }) => family.name === config.family);
  if (own.length === 0) return;
  throw new FormatError(
    `${path}: got a ${familyNamed(config).title} with ${own.map(({ what }) => what).join(', and with ')}, as the ${place} says, ` +
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
