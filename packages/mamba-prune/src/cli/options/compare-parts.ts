// What a comparison is made of, beside its recipe: methods, learning rates, seeds, dense models, and parts of it.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { defined } from '../../defined.js';
import { UsageError } from '../../errors.js';
import { compareLimits, trainLimits } from '../../limits.js';
import { type Amount, shareOf } from '../../pruning/budget/amounts.js';
import {
  type CompareBudget,
  amountAt,
  amountText,
  rateOfShare,
} from '../../workflows/compare/budget.js';
import type { CompareRequest } from '../../workflows/compare/compare.js';
import { compareMethods, usualMethods } from '../../workflows/compare/methods.js';
import { type CompareMethod } from '../../workflows/compare/methods.js';
import type { TuneRequest } from '../../workflows/compare/tune.js';
import { anyAmount } from './amounts.js';
import { flagOf } from './flag-name.js';
import { classesOption } from './import.js';
import { addOptions, checkOnce, integerOption, numbersOption } from './parse.js';
import { distillOptions } from './pruning.js';

export interface ComparePartFlags {
  readonly methods?: readonly CompareMethod[];
  readonly lrOf?: NonNullable<CompareRequest['lrOf']>;
  readonly seedsAt?: { readonly sizes: readonly TypedSize[]; readonly seeds: number };
  readonly dense?: readonly string[];
  readonly classes?: string;
  readonly distill?: number;
  readonly distillThrough?: true;
  readonly temperature?: number;
  readonly lrThrough?: boolean;
  readonly tuneLr?: readonly number[];
  readonly tuneSeed?: number;
  readonly tuneRate?: TypedSize;
  readonly resume?: true;
  readonly only?: readonly string[];
  readonly collect?: true | readonly string[];
}

const defaultTuneSeed = 99;

/** A size as flags name it: a rate, or an amount of the budget. */
type TypedSize = { readonly rate: number } | { readonly amount: Amount };

/** `0.7` is a rate, `3M` and `0.3x` are amounts; undefined for anything else. */
function sizeOf(text: string): TypedSize | undefined {
  const rate = text.trim() === '' ? NaN : Number(text);
  if (rate > 0 && rate < 1) return { rate };
  const amount = anyAmount(text);
  return amount === undefined ? undefined : { amount };
}

/** A rate and the share that it leaves are the same size. */
const sizeKey = (size: TypedSize): string => {
  if ('rate' in size) return amountAt(size.rate);
  const share = shareOf(size.amount);
  return share === undefined ? String(size.amount) : amountAt(rateOfShare(share));
};

/** Of the group of the comparison. */
export const seedOptions = (): Option[] => [
  new Option(
    '--seeds-at <x,...=n>',
    'number of seeds at some of the rates or budgets, such as 0.7,0.9=5 or 3M,0.3x=5 (default: --seeds)',
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
    new Option(
      '--tune-rate <x>',
      'share to remove in them, or budget such as 3M or 0.3x (default: the one that is compared)',
    ).argParser(tuneRate),
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
  const words = list.split(',');
  const sizes = words.flatMap((word) => sizeOf(word) ?? []);
  const seeds = value.trim() === '' ? NaN : Number(value);
  const areGood = sizes.length === words.length && rest.length === 0;
  if (!areGood || !(Number.isInteger(seeds) && seeds >= 1 && seeds <= compareLimits.seeds)) {
    throw new InvalidArgumentError(
      'Expected rates above 0 and below 1, or budgets such as 3M or 0.3x, and a number of seeds from 1 to ' +
        `${compareLimits.seeds}, such as 0.7,0.9=5.`,
    );
  }
  const keys = sizes.map(sizeKey);
  const twice = words.find((_, i) => keys.indexOf(keys[i] as string) < i);
  if (twice !== undefined) {
    throw new InvalidArgumentError(`Got ${twice.trim()} twice, expected it once.`);
  }
  return { sizes, seeds };
}

function tuneRate(text: string): TypedSize {
  const size = sizeOf(text);
  if (size) return size;
  throw new InvalidArgumentError(
    'Expected a rate above 0 and below 1, or a budget, such as 0.7, 3M or 0.3x.',
  );
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
      seedsAt: at.sizes.map((size) => ({
        ...size,
        seeds: Array.from({ length: at.seeds }, (_, i) => seed + i),
      })),
    }),
    ...(distill > 0 && { distill: { weight: distill, ...defined({ temperature, through }) } }),
  };
}

/** @throws UsageError for an amount where there is no budget */
function asAmount(size: TypedSize, budget: CompareBudget | undefined): TypedSize {
  if ('rate' in size || budget !== undefined) return size;
  throw new UsageError(
    `--tune-rate: got ${size.amount}, expected a share to remove above 0 and below 1, such as 0.7: an amount is of a budget, and there is none.`,
  );
}

/** @throws UsageError unless it is told at which rate */
export function tuneOf(
  { tuneLr = [], tuneSeed = defaultTuneSeed, tuneRate: typed }: ComparePartFlags,
  { rates = [], budget, amounts = [] }: Pick<CompareRequest, 'rates' | 'budget' | 'amounts'>,
): TuneRequest {
  const sizes: TypedSize[] = [
    ...rates.map((rate) => ({ rate })),
    ...amounts.map((amount) => ({ amount })),
  ];
  const [only] = sizes;
  if (typed) return { lrs: tuneLr, seed: tuneSeed, ...asAmount(typed, budget) };
  if (only && sizes.length === 1) return { lrs: tuneLr, seed: tuneSeed, ...only };
  const listed = [
    ...rates.map(String),
    ...amounts.map((amount) => (budget ? amountText(budget, amount) : '')),
  ];
  throw new UsageError(
    `--tune-rate is missing, expected the size to choose learning rates at, such as one of ${listed.join(', ')}.`,
  );
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
