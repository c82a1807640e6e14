// A model from a file, whoever wrote it, with what the files beside it say of it.
import { FormatError } from '@mamba-prune/libtorch';
import { defined } from '../defined.js';
import { UsageError, isUsageError } from '../errors.js';
import {
  type ModelCardConfig,
  arithmeticBeside,
  besideFile,
  squeezedBeside,
} from '../hub/model-card-config.js';
import type { CardObstacle } from '../hub/model-card-obstacles.js';
import { checkModelOptions } from '../models/families.js';
import type { ImageModel, ModelConfigBase } from '../models/image-model.js';
import { type ImportOptions, type ImportedModel, importModel } from '../models/import/model.js';
import { rangeProblems } from '../models/file-checks.js';
import { usualVit } from '../models/vit/config.js';
import { type ModelInfo, isModelFile, loadModel } from '../models/model-file.js';
import { preprocessingOf } from '../preparation/preprocessing.js';
import { printableLine } from '../printable.js';

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
 * @param said - of a file of ours it may say what the file says, or does not say, and nothing else
 * @throws FormatError, UsageError as `importModel`; UsageError if a file of ours says otherwise
 */
export async function openModelFile(
  path: string,
  said: ImportOptions = {},
): Promise<OpenedModelFile> {
  if (describesItself(path)) return openOurs(path, said);
  const card = besideFile(path);
  const { family, obstacles } = arithmeticBeside(path);
  const hints = { ...hintsOf(card, family, said), ...defined(said) };
  const imported = await importWith(path, hints, card, said);
  try {
    checkActivation(path, imported.model, card);
    checkObstacles(path, imported.model, obstacles);
    const { notes } = imported;
    const taken = takenFrom(path, card, imported, hints, said);
    const options = { ...hints, ...taken.options };
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

/** What was assumed when the model was imported. */
export function assumedIn({ history }: Pick<ModelInfo, 'history'>): string[] {
  const { assumed } = history.find(({ step }) => step === 'import') ?? {};
  return Array.isArray(assumed) ? assumed.filter((text) => typeof text === 'string') : [];
}

/**
 * Holds what was said against a description of a model.
 * @returns it, with the names of the classes where it has none
 * @throws UsageError naming what differs, or an option that such a model does not have
 */
export function sameInfo<
  I extends Pick<ModelInfo, 'classes' | 'mean' | 'std' | 'dataset' | 'preprocessing'>,
>(
  path: string,
  config: Pick<ModelConfigBase, 'arch' | 'numClasses' | 'imageSize'>,
  info: I,
  said: ImportOptions,
): I {
  const { classes, mean, std, arch, ...more } = said;
  if (more.key !== undefined) {
    throw new UsageError(
      `import: got \`key\` '${more.key}' for ${path}, which describes itself and has no keys. Leave it out.`,
    );
  }
  // What is no part of a description.
  const about = { key: undefined, dataset: undefined, allowNotFinite: undefined };
  // Said for files that do not tell it; one of ours does.
  const sizes = defined({ ...more, ...about, oneDirection: undefined });
  const isNamed = info.classes.length > 0;
  const given = { arch, ...sizes, mean, std, classes: isNamed ? classes : undefined };
  const has: Readonly<Record<string, unknown>> = {
    ...('headDim' in config && usualVit),
    ...config,
    ...headsOf(config),
    ...(info as Partial<ModelInfo>),
    ...preprocessingOf(info, config.imageSize),
  };
  const wrong = Object.entries(given).filter(
    ([name, value]) =>
      value !== undefined && name in has && JSON.stringify(value) !== JSON.stringify(has[name]),
  );
  if (wrong.length > 0) {
    const list = wrong.map(
      ([name, value]) => `\`${name}\` ${shown(has[name])}, asked for ${shown(value)}`,
    );
    throw new UsageError(
      `${path}: got a model of ${list.join('; ')}. Leave these options out: the file describes itself.`,
    );
  }
  const foreign = Object.entries(sizes).filter(([name]) => !(name in has));
  if (foreign.length > 0) checkModelOptions(config.arch, Object.fromEntries(foreign));
  if (isNamed || classes === undefined) return info;
  if (classes.length !== config.numClasses) {
    throw new UsageError(
      `${path}: got ${classes.length} values for \`classes\`, expected ${config.numClasses}, as many as the model has classes`,
    );
  }
  return { ...info, classes: [...classes] };
}

/** Of a ViT, whose description has their width in place of their number. */
function headsOf(config: object): { readonly heads?: number } {
  const { dModel, headDim } = config as { readonly dModel?: number; readonly headDim?: number };
  return dModel === undefined || headDim === undefined ? {} : { heads: dModel / headDim };
}

function shown(value: unknown): string {
  const text = Array.isArray(value) ? value.join(',') : String(value);
  return printableLine(text.length > 60 ? `${text.slice(0, 60)}...` : text);
}

/** What importing itself has use for; sizes that every shape tells are not among it. */
function hintsOf(
  { arch, heads, pooling, imageSize, layerNormEps }: ModelCardConfig,
  family: CardObstacle['family'] | undefined,
  said: ImportOptions,
): ImportOptions {
  const isResNet = family === 'resnet';
  // A card of another architecture than the one that was named is not that of the weights.
  const isOther = said.arch !== undefined && arch !== undefined && said.arch !== arch;
  // Only a ViT has heads; in a ResNet's card such an entry is of something else.
  const eps = heads === undefined ? undefined : layerNormEps;
  const sizes = { arch, heads, pooling, eps, imageSize: isResNet ? imageSize : undefined };
  return isOther ? {} : defined(sizes);
}

async function importWith(
  path: string,
  hints: ImportOptions,
  { from }: ModelCardConfig,
  said: ImportOptions,
): Promise<ImportedModel> {
  try {
    return await importModel(path, hints);
  } catch (error) {
    const own = hintNames.filter((name) => hints[name] !== undefined && said[name] === undefined);
    if (!isUsageError(error) || own.length === 0) throw error;
    const list = own.map((name) => `${name} ${String(hints[name])}`).join(' and ');
    const file = from[entryOf(own[0] ?? 'arch')] ?? '';
    throw new UsageError(
      `${(error as Error).message} (${list}: so says the ${file} beside it. What is given as an option goes before.)`,
      { cause: error },
    );
  }
}

/** Weights run with another function between the layers than they were trained with give other results. */
function checkActivation(path: string, { config }: ImageModel, card: ModelCardConfig): void {
  const { activation, from } = card;
  if (config.family !== 'vit' || activation === undefined || activation === 'gelu') return;
  throw new FormatError(
    `${path}: got a ViT whose neurons compute ${printableLine(activation)} (hidden_act in the ${from.activation ?? ''} beside it), ` +
      'expected gelu, which is the only one that there is.',
  );
}

/** As `checkActivation`, for all else that no shape tells. */
function checkObstacles(
  path: string,
  { config }: ImageModel,
  obstacles: readonly CardObstacle[],
): void {
  const own = obstacles.filter(({ family }) => family === config.family);
  if (own.length === 0) return;
  throw new FormatError(
    `${path}: got a ${config.family === 'vit' ? 'ViT' : 'ResNet'} with ${own.map(({ what }) => what).join(', and with ')}, as the config.json beside it says, ` +
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

interface Taken {
  readonly info: ModelInfo;
  readonly assumed: readonly string[];
  readonly notes: readonly string[];
  readonly options: ImportOptions;
}

/** Normalisation and names that nobody said, where they can be those of the model. */
function takenFrom(
  path: string,
  card: ModelCardConfig,
  { model, info, assumed }: ImportedModel,
  hints: ImportOptions,
  said: ImportOptions,
): Taken {
  const { channels, numClasses } = model.config;
  const fitting = {
    mean: fits(card.mean, channels) && rangeProblems(card.mean, []).length === 0,
    std: fits(card.std, channels) && rangeProblems([], card.std).length === 0,
    classes: fits(card.classes, numClasses),
  };
  const names = (['mean', 'std', 'classes'] as const).filter(
    (name) => card[name] !== undefined && said[name] === undefined,
  );
  const lists = Object.fromEntries(
    names.filter((name) => fitting[name]).map((name) => [name, [...(card[name] ?? [])]]),
  ) as Partial<Record<'mean' | 'std', number[]> & Record<'classes', string[]>>;
  const preparation = defined({
    interpolation: said.interpolation === undefined ? card.interpolation : undefined,
    cropShare: said.cropShare === undefined ? card.cropShare : undefined,
  });
  const options = { ...lists, ...preparation };
  const left = assumed.filter((entry) => !Object.hasOwn(options, nameOf(entry)));
  const history = info.history.map((step) =>
    step['step'] === 'import' ? { ...step, ...sourceOf(path), assumed: left } : step,
  );
  const hinted = hintNames
    .filter((name) => hints[name] !== undefined && said[name] === undefined)
    .map(entryOf);
  const prepared = (['interpolation', 'cropShare'] as const).filter(
    (name) => preparation[name] !== undefined,
  );
  const usual = preprocessingOf(info, model.config.imageSize);
  return {
    info: { ...info, ...lists, preprocessing: { ...usual, ...preparation }, history },
    assumed: left,
    options,
    notes: [
      ...sentences(card, [...hinted, ...names.filter((name) => fitting[name]), ...prepared]),
      ...names
        .filter((name) => !fitting[name])
        .map(
          (name) =>
            `Left out of the ${card.from[name] ?? ''} beside it: ${described(name, card)}, for ` +
            `${misfit(name, card, { channels, numClasses })}.`,
        ),
    ],
  };
}

/** Where a file of the hub comes from, in the form that fetches it again: its own name tells nothing. */
function sourceOf(path: string): { readonly source?: string } {
  const match = /[/\\]models--(.+?)--(.+?)[/\\]snapshots[/\\]([0-9a-f]{40})[/\\](.+)$/.exec(path);
  if (!match) return {};
  const [, owner = '', name = '', commit = '', file = ''] = match;
  return { source: `hf:${owner}/${name}@${commit}:${file.replaceAll('\\', '/')}` };
}

/** Of an assumption such as `mean 0.5/0.5/0.5`. */
const nameOf = (assumed: string): string => assumed.split(' ', 1)[0] ?? '';

/** Why an entry cannot be of the model. */
function misfit(
  name: 'mean' | 'std' | 'classes',
  card: ModelCardConfig,
  { channels, numClasses }: Pick<ModelConfigBase, 'channels' | 'numClasses'>,
): string {
  if (name === 'classes') return `the model has ${numClasses} classes`;
  const values = card[name] ?? [];
  const [problem] = name === 'mean' ? rangeProblems(values, []) : rangeProblems([], values);
  return values.length === channels && problem !== undefined
    ? problem.replace(/^got (\S+) in \w+, /, 'it has a $1, ')
    : `the model has ${channels} channels`;
}

const fits = <T>(list: readonly T[] | undefined, length: number): list is readonly T[] =>
  list?.length === length;

const hintNames = ['arch', 'heads', 'pooling', 'eps', 'imageSize'] as const;

/** An option under the name that a card's entry has. */
const entryOf = (name: (typeof hintNames)[number]): Entry =>
  name === 'eps' ? 'layerNormEps' : name;

type Entry = Exclude<keyof ModelCardConfig, 'from' | 'activation'>;

/** One for each file, with all that was taken from it. */
function sentences(card: ModelCardConfig, taken: readonly Entry[]): string[] {
  const files = [...new Set(taken.map((name) => card.from[name] ?? ''))];
  return files.map((file) => {
    const own = taken.filter((name) => card.from[name] === file);
    return `Taken from the ${file} beside it: ${own.map((name) => described(name, card)).join(', ')}.`;
  });
}

function described(name: Entry, card: ModelCardConfig): string {
  if (name === 'classes') return `the names of ${card.classes?.length ?? 0} classes`;
  if (name === 'layerNormEps') return `LayerNorm's eps ${card.layerNormEps ?? ''}`;
  const value = card[name];
  return `\`${name}\` ${Array.isArray(value) ? value.join(',') : String(value)}`;
}
