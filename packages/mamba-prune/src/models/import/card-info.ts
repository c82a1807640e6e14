// Normalisation, names and preparation of an imported model, where nobody said them and the files beside it do.
import { defined } from '../../defined.js';
import { plural } from '../../format.js';
import { preprocessingOf } from '../../preparation/preprocessing.js';
import { rangeProblems } from '../file-checks.js';
import type { ModelConfigBase } from '../image-model.js';
import type { ModelInfo } from '../model-file.js';
import { type ModelCardConfig, cardFiles } from './card.js';
import { fileEntry } from './checkpoint-card.js';
import type { ImportOptions, ImportedModel } from './model.js';
import { written } from './written.js';

interface Taken {
  readonly info: ModelInfo;
  readonly assumed: readonly string[];
  readonly notes: readonly string[];
  readonly options: ImportOptions;
}

/** Normalisation and names that nobody said, where they can be those of the model. */
export function takenFrom(
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
    step['step'] === 'import' ? { ...step, assumed: left } : step,
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
            `Left out of ${whereOf(card.from[name] ?? '')}: ${described(name, card)}, for ` +
            `${misfit(name, card, { channels, numClasses })}.`,
        ),
    ],
  };
}

/** Of an assumption such as `mean 0.5/0.5/0.5`. */
const nameOf = (assumed: string): string => assumed.split(' ', 1)[0] ?? '';

/** Why an entry cannot be of the model. */
function misfit(
  name: 'mean' | 'std' | 'classes',
  card: ModelCardConfig,
  { channels, numClasses }: Pick<ModelConfigBase, 'channels' | 'numClasses'>,
): string {
  if (name === 'classes') return `the model has ${plural(numClasses, 'class', 'classes')}`;
  const values = card[name] ?? [];
  const [problem] = name === 'mean' ? rangeProblems(values, []) : rangeProblems([], values);
  return values.length === channels && problem !== undefined
    ? `it has a ${problem.got}, expected ${problem.expected}`
    : `the model has ${plural(channels, 'channel')}`;
}

const fits = <T>(list: readonly T[] | undefined, length: number): list is readonly T[] =>
  list?.length === length;

export const hintNames = ['arch', 'heads', 'headDim', 'pooling', 'eps', 'imageSize'] as const;

export type HintName = (typeof hintNames)[number];

/** An option under the name that a card's entry has. */
export const entryOf = (name: HintName): Entry => (name === 'eps' ? 'layerNormEps' : name);

type Entry = Exclude<keyof ModelCardConfig, 'from' | 'activation'>;

/** One for each file, with all that was taken from it, and the place of each in the file of the weights. */
function sentences(card: ModelCardConfig, taken: readonly Entry[]): string[] {
  const entries = taken.flatMap((name) => {
    const entry = fileEntry(card.from[name] ?? '');
    return entry === undefined ? [] : [`${described(name, card)} (${entry})`];
  });
  const others = taken.filter((name) => fileEntry(card.from[name] ?? '') === undefined);
  const files = [...new Set(others.map((name) => card.from[name] ?? ''))];
  return [
    ...(entries.length > 0
      ? [`Taken from entries of the file itself: ${entries.join(', ')}.`]
      : []),
    ...files.map((file) => {
      const own = others.filter((name) => card.from[name] === file);
      return `Taken from ${whereOf(file)}: ${own.map((name) => described(name, card)).join(', ')}.`;
    }),
  ];
}

/** What has said an entry, for a sentence. @param from - as a card names it */
export function whereOf(from: string): string {
  if (isCardFile(from)) return `the ${from} beside it`;
  return fileEntry(from) !== undefined ? from : `what is known of ${from}`;
}

const isCardFile = (file: string): boolean => cardFiles.some((name) => name === file);

function described(name: Entry, card: ModelCardConfig): string {
  if (name === 'classes') return `the names of ${card.classes?.length ?? 0} classes`;
  if (name === 'layerNormEps') return `LayerNorm's eps ${written(card.layerNormEps)}`;
  const value = card[name];
  return `\`${name}\` ${Array.isArray(value) ? value.join(',') : written(value)}`;
}
