// What a checkpoint says of itself, as a config.json beside it would say it.
import type { PlainValue } from '@mamba-prune/libtorch/files';
import { printableName } from '../../printable.js';
import type { ModelCardConfig } from './card.js';
import { type CardObstacle, archOfCard, cardHints, cardObstacles } from './card-family.js';
import type { FileWords } from './file-words.js';
import type { InnerNormalisation } from './inner-normalisation.js';
import type { CheckpointWords, Word } from './words.js';

/** How `from` of a card calls an entry of the file itself. */
const entryOfFile = (at: string): string => `the entry "${printableName(at)}" of the file`;

/** The entry of the file itself that `from` of a card means, `args.model`; undefined for what lies elsewhere. */
export const fileEntry = (from: string): string | undefined =>
  /^the entry "(.*)" of the file$/.exec(from)?.[1];

/** What was found, with what no model here computes. */
export interface CheckpointCard {
  readonly card: ModelCardConfig;
  readonly obstacles: readonly CardObstacle[];
}

/** @param inner - how the model normalises its images itself, which goes before all words */
export function checkpointCard(
  { words, modules }: FileWords,
  inner?: InnerNormalisation,
): CheckpointCard {
  const named = words.find('architecture', archNamed);
  const architecture = named?.value;
  const arch = architecture === undefined ? undefined : archOfCard(architecture);
  const pool = words.find('globalPool', text);
  const activation = words.find('activation', text);
  const hiddenActivation = words.find('hiddenActivation', text);
  const json = {
    architecture,
    model_type: modules?.modelType,
    hidden_act: hiddenActivation?.value,
    layer_type: words.find('layerType', text)?.value,
    downsample_in_bottleneck: words.find('strideFirst', flag)?.value,
    global_pool: pool?.value,
    model_args: { act_layer: activation?.value },
  };
  const hints = cardHints(json, arch);
  // What attentions compute with goes before what a configuration beside them says.
  const { heads, headDim } = modules?.attention ?? { heads: words.find('heads', count) };
  const { mean, std } = scaled(inner ?? normalisation(words));
  const found: { readonly [K in Entry]: Word<NonNullable<ModelCardConfig[K]>> | undefined } = {
    arch: of(arch, named),
    // The number itself goes before what a name stands for.
    heads: modules?.attention ? heads : (heads ?? of(hints.heads, named)),
    headDim,
    pooling: of(hints.pooling, pool),
    imageSize: words.find('imageSize', side),
    layerNormEps: modules?.norms[0] ?? words.find('normEps', positive),
    activation: hiddenActivation,
    classes:
      words.find('classes', texts) ??
      words.find('classIndices', byIndex) ??
      words.find('indexClasses', ofIndex),
    mean,
    std,
    interpolation: words.find('interpolation', (value) =>
      value === 'bilinear' || value === 'bicubic' ? value : undefined,
    ),
    cropShare: words.find('cropShare', (value) =>
      typeof value === 'number' && value > 0 && value <= 1 ? value : undefined,
    ),
  };
  const entries = Object.entries(found).flatMap(([name, word]) =>
    word === undefined ? [] : [[name, word] as const],
  );
  return {
    card: {
      ...(Object.fromEntries(
        entries.map(([name, { value }]) => [name, value]),
      ) as Partial<ModelCardConfig>),
      from: Object.fromEntries(entries.map(([name, { at }]) => [name, entryOfFile(at)])),
    },
    obstacles: cardObstacles(json),
  };
}

/** What the checkpoint says of itself goes before what lies beside it, which may be of other weights. */
export function withCheckpointCard(card: ModelCardConfig, own: ModelCardConfig): ModelCardConfig {
  const { heads, ...beside } = card;
  // Heads that were removed since are still counted in a file beside them.
  const counted = own.headDim === undefined && heads !== undefined ? { heads } : {};
  return { ...beside, ...counted, ...own, from: { ...card.from, ...own.from } };
}

type Entry =
  | 'arch'
  | 'heads'
  | 'headDim'
  | 'pooling'
  | 'imageSize'
  | 'layerNormEps'
  | 'activation'
  | 'classes'
  | 'mean'
  | 'std'
  | 'interpolation'
  | 'cropShare';

const of = <T>(value: T | undefined, where: Word<unknown> | undefined): Word<T> | undefined =>
  value === undefined || where === undefined ? undefined : { value, at: where.at };

const text = (value: PlainValue): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

/** `timm/vit_tiny_patch16_224.augreg_in21k` as timm names the architecture itself; undefined where none here is of that name. */
function archNamed(value: PlainValue): string | undefined {
  const name = text(value)
    ?.replace(/^.*[/:]/, '')
    .replace(/\..*$/, '');
  if (name === undefined) return undefined;
  return archOfCard(name) === undefined && cardObstacles({ architecture: name }).length === 0
    ? undefined
    : name;
}

const count = (value: PlainValue): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value > 0 ? value : undefined;

const flag = (value: PlainValue): boolean | undefined =>
  typeof value === 'boolean' ? value : undefined;

const positive = (value: PlainValue): number | undefined =>
  typeof value === 'number' && value > 0 ? value : undefined;

const texts = (value: PlainValue): readonly string[] | undefined =>
  Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string')
    ? value
    : undefined;

const numbers = (value: PlainValue): readonly number[] | undefined =>
  Array.isArray(value) && value.length > 0 && value.every((item) => Number.isFinite(item))
    ? (value as readonly number[])
    : undefined;

/** One number, or the sides of a square, with the channels before them or not. */
function side(value: PlainValue): number | undefined {
  if (!Array.isArray(value)) return count(value);
  const sides: readonly PlainValue[] = value;
  const [height, width] = sides.slice(-2);
  if (sides.length > 3 || height === undefined || height !== width) return undefined;
  return count(height);
}

/** `{cat: 0, dog: 1}`, as torchvision's ImageFolder has it. */
function byIndex(value: PlainValue): readonly string[] | undefined {
  if (!(value instanceof Map)) return undefined;
  const entries = [...(value as ReadonlyMap<string, PlainValue>)];
  const names = new Map(
    entries.flatMap(([name, index]) =>
      typeof index === 'number' ? [[String(index), name] as const] : [],
    ),
  );
  return names.size === entries.length ? ofIndex(names) : undefined;
}

/** `{0: 'cat', 1: 'dog'}`; names that mean nothing are none. */
function ofIndex(value: PlainValue): readonly string[] | undefined {
  if (!(value instanceof Map)) return undefined;
  const entries = value as ReadonlyMap<string, PlainValue>;
  const names = texts(Array.from(entries, (_, index) => entries.get(String(index)) ?? null));
  return names?.every((name) => /^LABEL_\d+$/.test(name)) ? undefined : names;
}

type Normalisation = {
  readonly [K in keyof InnerNormalisation]: InnerNormalisation[K] | undefined;
};

const normalisation = (words: CheckpointWords): Normalisation => ({
  mean: words.find('mean', numbers),
  std: words.find('std', numbers),
});

/** Mean and deviation of pixels from 0 to 1, as the file has them or as it has them for pixels up to 255. */
function scaled({ mean, std }: Normalisation): Normalisation {
  const isLarge = [mean, std].every((word) => word?.value.every((value) => value > 2) === true);
  const of = (word: Word<readonly number[]> | undefined): Word<readonly number[]> | undefined =>
    word && { ...word, value: word.value.map((value) => (isLarge ? value / 255 : short(value))) };
  return { mean: of(mean), std: of(std) };
}

/** Of a float32, the decimal number that it was: 0.485 and not 0.48500001430511475. */
const short = (value: number): number => {
  const decimal = Number(value.toPrecision(7));
  return Math.fround(decimal) === value ? decimal : value;
};
