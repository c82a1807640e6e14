// What a comparison is made of, beside its recipe: methods, learning rates, seeds, dense models, and parts of it.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { compareLimits, trainLimits } from '../../limits.js';
import type { CompareRequest } from '../../workflows/compare/compare.js';
import { compareMethods, usualMethods } from '../../workflows/compare/methods.js';
import { type CompareMethod } from '../../workflows/compare/methods.js';
import type { TuneRequest } from '../../workflows/compare/tune.js';
import { flagOf } from './flag-name.js';
import { classesOption } from './import.js';
import { addOptions, checkOnce, integerOption, numberOption, numbersOption } from './parse.js';
import { distillOptions } from './pruning.js';

export interface ComparePartFlags {
  readonly methods?: readonly CompareMethod[];
  readonly lrOf?: NonNullable<CompareRequest['lrOf']>;
  readonly seedsAt?: { readonly rates: readonly number[]; readonly seeds: number };
  readonly dense?: readonly string[];
  readonly classes?: string;
  readonly distill?: number;
  readonly distillThrough?: true;
  readonly temperature?: number;
  readonly lrThrough?: boolean;
  readonly tuneLr?: readonly number[];
  readonly tuneSeed?: number;
  readonly tuneRate?: number;
  readonly resume?: true;
  readonly only?: readonly string[];
  readonly collect?: true | readonly string[];
}

const defaultTuneSeed = 99;

/** Of the group of the comparison. */
export const seedOptions = (): Option[] => [
  new Option(
    '--seeds-at <x,...=n>',
    'number of seeds at some of the rates, such as 0.7,0.9=5; a budget of 0.3x is the rate 0.7 (default: --seeds)',
  ).argParser(seedsAt),
  new Option(
    '--dense <MODEL|RUN>',
    'dense model in place of a trained one: once for all seeds, or repeated, one for each',
  ).argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]),
  classesOption('--dense, a file of another program: names of its classes'),
];

/** Of the group of the methods. */
export const methodOptions = (): Option[] => [
  new Option(
    '--methods <name,...>',
    `what to compare: ${compareMethods.join(', ')} (default: ${usualMethods.join(',')})`,
  ).argParser(methods),
  new Option(
    '--lr-of <method=x>',
    'highest learning rate of one method; may be repeated (default: --finetune-lr; scratch --lr)',
  ).argParser(lrOf),
  ...distillOptions('the dense model'),
];

export function addPartOptions(command: Command): void {
  command.optionsGroup('Learning rates to choose from:');
  addOptions(command, [
    numbersOption(
      '--tune-lr <x,...>',
      'instead of comparing, train every method with each, and keep the best for the comparison',
      { above: 0, max: trainLimits.lr },
    ),
    integerOption(
      '--tune-seed <n>',
      `seed of these trainings, none of those compared (default: ${defaultTuneSeed})`,
      { min: 0, max: Number.MAX_SAFE_INTEGER },
    ),
    numberOption('--tune-rate <x>', 'share to remove in them (default: --rate, if it is one)', {
      above: 0,
      below: 1,
    }),
  ]);
  command.optionsGroup('Parts of a comparison, on several machines:');
  addOptions(command, [
    new Option('--resume', 'go on with the comparison in --out, with the settings that it has'),
    new Option(
      '--only <run,...>',
      "do these runs only, and those that they need, such as 'seed-0/*' or seed-1/refill-70",
    ).argParser(onlyRuns),
    new Option(
      '--collect [dir...]',
      'train nothing: take the finished runs of these folders, and write the results anew',
    ),
  ]);
}

function methods(text: string): CompareMethod[] {
  const words = text.split(',').map((word) => word.trim());
  const bad = words.find((word) => !isMethod(word));
  if (bad !== undefined) {
    throw new InvalidArgumentError(
      `Got '${bad}', expected some of ${compareMethods.join(', ')}, separated by commas.`,
    );
  }
  checkOnce(words);
  return words.filter(isMethod);
}

const isMethod = (word: string): word is CompareMethod =>
  compareMethods.some((method) => method === word);

function lrOf(
  text: string,
  before: NonNullable<CompareRequest['lrOf']> = {},
): NonNullable<CompareRequest['lrOf']> {
  const [method = '', value = '', ...rest] = text.split('=').map((part) => part.trim());
  const lr = value === '' ? NaN : Number(value);
  if (!isMethod(method) || rest.length > 0 || !(lr > 0 && lr <= trainLimits.lr)) {
    throw new InvalidArgumentError(
      `Expected a method (${compareMethods.join(', ')}) and a number above 0 and at most ${trainLimits.lr}, such as refill=4e-3.`,
    );
  }
  if (before[method] !== undefined) {
    throw new InvalidArgumentError(`Got ${method} twice, expected it once.`);
  }
  return { ...before, [method]: lr };
}

function seedsAt(text: string): NonNullable<ComparePartFlags['seedsAt']> {
  const [list = '', value = '', ...rest] = text.split('=');
  const rates = list.split(',').map((word) => (word.trim() === '' ? NaN : Number(word)));
  const seeds = value.trim() === '' ? NaN : Number(value);
  const areGood = rates.every((rate) => rate > 0 && rate < 1) && rest.length === 0;
  if (!areGood || !(Number.isInteger(seeds) && seeds >= 1 && seeds <= compareLimits.seeds)) {
    throw new InvalidArgumentError(
      `Expected rates above 0 and below 1, and a number of seeds from 1 to ${compareLimits.seeds}, such as 0.7,0.9=5.`,
    );
  }
  checkOnce(rates);
  return { rates, seeds };
}

function onlyRuns(text: string): string[] {
  const names = text.split(',').map((word) => word.trim());
  if (!names.includes('')) return names;
  throw new InvalidArgumentError(
    "Expected names of runs, separated by commas, such as 'seed-0/*' or seed-1/refill-70.",
  );
}

/** What the flags of this file ask for of a comparison. @param seed - the first one */
export function partsOf(
  given: ComparePartFlags,
  seed: number,
): Pick<CompareRequest, 'methods' | 'lrOf' | 'seedsAt' | 'distill'> {
  const { methods: typed, seedsAt: at, distill = 0, temperature, distillThrough: through } = given;
  const ofTeacher = (['temperature', 'distillThrough'] as const).find(
    (flag) => given[flag] !== undefined,
  );
  if (distill === 0 && ofTeacher !== undefined) {
    throw new UsageError(`got ${flagOf(ofTeacher)}, which belongs to --distill. Leave it out.`);
  }
  const isUsual =
    typed?.length === usualMethods.length && typed.every((m) => usualMethods.includes(m));
  return {
    ...defined({ methods: isUsual ? undefined : typed, lrOf: given.lrOf }),
    ...(at && {
      seedsAt: at.rates.map((rate) => ({
        rate,
        seeds: Array.from({ length: at.seeds }, (_, i) => seed + i),
      })),
    }),
    ...(distill > 0 && { distill: { weight: distill, ...defined({ temperature, through }) } }),
  };
}

/** @throws UsageError unless it is told at which rate */
export function tuneOf(
  { tuneLr = [], tuneSeed = defaultTuneSeed, tuneRate }: ComparePartFlags,
  { rates }: Pick<CompareRequest, 'rates'>,
): TuneRequest {
  const rate = tuneRate ?? (rates.length === 1 ? rates[0] : undefined);
  if (rate === undefined) {
    throw new UsageError(
      `--tune-rate is missing, expected the rate to choose learning rates at, such as one of ${rates.join(', ')}.`,
    );
  }
  return { lrs: tuneLr, seed: tuneSeed, rate };
}

/** @throws UsageError for flags that do not go together */
export function checkParts(given: ComparePartFlags & Readonly<Record<string, unknown>>): void {
  if (given.tuneLr === undefined) {
    refuse(given, ['tuneSeed', 'tuneRate'], 'belongs to --tune-lr');
  } else {
    const why =
      'has no say beside --tune-lr, which tries the same learning rates for every method: give it to the comparison after it';
    refuse(given, ['lrOf'], why);
  }
  const ofFolder = ['out', 'json', 'quiet', 'plugin', 'threads'];
  if (given.collect !== undefined) {
    refuseOthers(given, ['collect', ...ofFolder], '--collect, which trains nothing');
  }
  if (given.resume) {
    refuseOthers(
      given,
      [
        ...(['resume', 'only', 'jobs', 'device', 'data', 'dense'] as const),
        ...(['dataThreads', 'tensorboard', ...ofFolder] as const),
      ],
      '--resume, which takes the settings of the folder',
    );
  }
}

function refuse(given: object, names: readonly string[], why: string): void {
  const typed = names.find((name) => name in given);
  if (typed === undefined) return;
  throw new UsageError(`got ${flagOf(typed)}, which ${why}. Leave it out.`);
}

function refuseOthers(given: object, known: readonly string[], beside: string): void {
  const typed = Object.keys(given).find((name) => !known.includes(name));
  if (typed === undefined) return;
  throw new UsageError(`got ${flagOf(typed)} with ${beside}. Leave one of the two out.`);
}
