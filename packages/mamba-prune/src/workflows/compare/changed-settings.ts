// In which settings two comparisons differ, each by the name of what is asked for: defaults are filled in, and what follows
// from another setting that changed is not told beside it.
import { relativePath } from '../../shell.js';
import { datasetDefinition, isDataset } from '../../data/datasets.js';
import { denseConfig } from '../../models/dense-config.js';
import { modelOptionNames } from '../../models/families.js';
import { defaultScore } from '../../pruning/importances.js';
import { rsstDefaults } from '../../pruning/rsst/choices.js';
import { defaultExponent, defaultSchedule } from '../../pruning/rsst/schedule.js';
import { stableJson } from '../../training/options.js';
import { withTodaysNames } from '../earlier-names.js';
import { resolveCompensate } from '../prune/compensate-settings.js';
import type { RecipeSettings } from '../settings.js';
import type { CompareBudget } from './budget.js';
import { methodsOf } from './methods.js';
import type { CompareSettings } from './settings.js';

/** By whole names, such as `train.recipe.lr`. */
type Flat = ReadonlyMap<string, unknown>;

/**
 * What may be added to: results do not depend on each other. Of threads those of the beginning are kept. The last three have
 * words of their own.
 */
const free: readonly string[] = [
  'seeds',
  'rates',
  'amountsAt',
  'threads',
  'methods',
  'seedsAt',
  'lrs',
  'budget',
  'lrOf',
  'dense',
];

/** What of two comparisons is not held against each other. */
export interface IgnoredChanges {
  /** Learning rates of methods. */
  readonly lrOf?: boolean;
  readonly dense?: boolean;
}

/**
 * `train.recipe.lr: got 0.1, expected 0.01`, one for each setting that differs: what is asked for now, and what the comparison
 * has. Values that are not said are those that hold without them.
 */
export function differences(
  before: CompareSettings,
  now: CompareSettings,
  ignored: IgnoredChanges = {},
): string[] {
  const [old, given] = [flatten(before), flatten(now)];
  const names = [...new Set([...given.keys(), ...old.keys()])].filter(
    (name) => stableJson(given.get(name)) !== stableJson(old.get(name)),
  );
  const changed = new Set(names);
  const isCaused = causesOf(old, given, changed);
  return [
    ...sizesChange(before.budget, now.budget),
    ...names
      .filter((name) => !isCaused(name))
      .map((name) => changeText(name, given.get(name), old.get(name))),
    ...(ignored.lrOf === true ? [] : ratesChange(before, now)),
    ...(ignored.dense === true ? [] : denseChange(before, now)),
  ];
}

const changeText = (name: string, given: unknown, expected: unknown): string =>
  `${name}: got ${stableJson(given)}, expected ${stableJson(expected)}`;

function flatten(settings: CompareSettings): Flat {
  const { train: given, finetune, cut, rsst, refill, distill, ...rest } = settings;
  const { data, model, recipe, ...train } = withTodaysNames(given);
  const { rateOf = {}, compensate } = cut;
  const { units = 'all', norm = 'group' } = rsst;
  const { apply, strength } = rsstDefaults(units === 'doomed', norm, rsst.apply);
  const parts: Readonly<Record<string, unknown>> = {
    ...without(rest, free),
    train: {
      ...train,
      ...(isPlaced(train.dataset) && { data }),
      model: { ...usualSizes(train.arch, model), ...model },
      recipe: wholeRecipe(recipe),
    },
    finetune: wholeRecipe(finetune),
    cut: {
      score: defaultScore,
      scoreBatches: 8,
      minWidth: 1,
      rankBy: 'score',
      ...without(cut, ['importanceReason', 'rateOf']),
      compensate: compensate && resolveCompensate(compensate),
    },
    ...ratesOfGroups(rateOf),
    // `fillbackAt` is of every rate that is compared, and rates may be added.
    refill: without(refill, ['fillbackAt']),
    rsst: {
      schedule: defaultSchedule(apply),
      exponent: defaultExponent,
      strength,
      lrThrough: false,
      cutAtZero: false,
      cuts: 1,
      ...rsst,
      apply,
    },
    distill: { weight: 0, temperature: 1, through: false, ...distill },
  };
  const flat = new Map<string, unknown>();
  const add = (name: string, value: unknown): void => {
    if (value === undefined || value === null) return;
    if (typeof value !== 'object' || Array.isArray(value)) flat.set(name, value);
    else for (const [own, part] of Object.entries(value)) add(`${name}.${own}`, part);
  };
  for (const [name, value] of Object.entries(parts)) add(name, value);
  return flat;
}

/** As they are asked for: those that stay whole, and those with a rate. */
function ratesOfGroups(rateOf: Readonly<Record<string, number>>) {
  const entries = Object.entries(rateOf).sort(([a], [b]) => (a < b ? -1 : Number(a > b)));
  const whole = entries.flatMap(([name, rate]) => (rate === 0 ? [name] : []));
  const own = entries.flatMap(([name, rate]) => (rate === 0 ? [] : [`${name}=${rate}`]));
  return {
    exclude: whole.length > 0 ? whole : undefined,
    rateOf: own.length > 0 ? own : undefined,
  };
}

/** The same data wherever they lie, unless the folder decides which images these are. */
const isPlaced = (dataset: string): boolean =>
  !isDataset(dataset) || datasetDefinition(dataset).anySize === true;

/** What the architecture has where nothing else is said. */
function usualSizes(arch: string, model: CompareSettings['train']['model']): object {
  try {
    const usual: Readonly<Record<string, unknown>> = { ...denseConfig(arch, model) };
    const ofData = ['numClasses', 'imageSize', 'channels'];
    const names = modelOptionNames(arch).filter((name) => !ofData.includes(name));
    return Object.fromEntries(names.map((name) => [name, usual[name]]));
  } catch {
    return {}; // of a plugin that is not here
  }
}

function wholeRecipe(recipe: RecipeSettings): object {
  const { optimizer = 'adamw' } = recipe;
  const isSgd = optimizer === 'sgd';
  return {
    optimizer,
    batchSize: 128,
    lr: isSgd ? 0.1 : 1e-3,
    schedule: 'cosine',
    weightDecay: isSgd ? 5e-4 : 0.05,
    warmupEpochs: 0,
    labelSmoothing: 0,
    augment: 'none',
    evalEvery: 1,
    // It is each run's own.
    ...without(recipe, ['seed']),
  };
}

const without = (of: object, names: readonly string[]): object =>
  Object.fromEntries(Object.entries(of).filter(([name]) => !names.includes(name)));

/** Recipes say these of each training; all else both have of the same flag. */
const ofEachTraining: ReadonlySet<string> = new Set(['epochs', 'lr', 'warmupEpochs']);

/** Finds whether a change follows from another. */
function causesOf(old: Flat, given: Flat, changed: ReadonlySet<string>) {
  const both = (holds: (flat: Flat) => boolean): boolean => holds(old) && holds(given);
  const numberAt = (flat: Flat, name: string): number => Number(flat.get(name));
  const ratio = (flat: Flat, a: string, b: string): string =>
    (numberAt(flat, a) / numberAt(flat, b)).toFixed(9);
  const sameShare = (a: string, b: string): boolean => ratio(old, a, b) === ratio(given, a, b);
  const isHalf = (flat: Flat): boolean =>
    numberAt(flat, 'rsst.epochs') === Math.floor(numberAt(flat, 'finetune.epochs') / 2);
  const isRsstDefault =
    (what: 'apply' | 'strength') =>
    (flat: Flat): boolean => {
      const norm = flat.get('rsst.norm') === 'l1' ? 'l1' : 'group';
      const isDoomed = flat.get('rsst.units') === 'doomed';
      const apply = flat.get('rsst.apply') as Parameters<typeof rsstDefaults>[2];
      const usual = rsstDefaults(isDoomed, norm, what === 'apply' ? undefined : apply);
      return flat.get(`rsst.${what}`) === usual[what];
    };
  const has = (...names: string[]): boolean => names.some((name) => changed.has(name));
  return (name: string): boolean => {
    const [phase = '', ...rest] = name.split('.');
    const own = rest.at(-1) ?? '';
    const other = `train.recipe.${own}`;
    if (phase === 'finetune' && !ofEachTraining.has(own) && changed.has(other)) {
      return sameValues(old, given, name, other);
    }
    if (own === 'warmupEpochs') {
      const epochs = name.replace('warmupEpochs', 'epochs');
      return changed.has(epochs) && sameShare(name, epochs);
    }
    if (own === 'lr' || own === 'weightDecay') {
      const optimizer = name.replace(/\w+$/, 'optimizer');
      return changed.has(optimizer) && (own === 'weightDecay' || isHundredfold(old, given, name));
    }
    switch (name) {
      case 'finetune.epochs':
        return (
          has('train.recipe.epochs') &&
          both(
            (flat) =>
              numberAt(flat, name) ===
              Math.max(2, Math.ceil(numberAt(flat, 'train.recipe.epochs') / 2)),
          )
        );
      case 'rsst.epochs':
        return has('finetune.epochs') && both(isHalf);
      case 'rsst.apply':
        return has('rsst.units', 'rsst.norm') && both(isRsstDefault('apply'));
      case 'rsst.strength':
        return has('rsst.units', 'rsst.norm', 'rsst.apply') && both(isRsstDefault('strength'));
      case 'rsst.schedule':
        return has('rsst.apply', 'rsst.units');
      case 'cut.compensate.images':
        return [old, given].some((flat) => !flat.has('cut.compensate.target'));
      case 'rateOf':
        // A group that stays whole no more may have a rate that was typed before.
        return has('exclude') && sameBesidesExcluded(old, given);
      default:
        return own !== '' && phase === 'train' && rest[0] === 'model' && has('train.arch');
    }
  };
}

function sameValues(old: Flat, given: Flat, a: string, b: string): boolean {
  return (
    stableJson(old.get(a)) === stableJson(old.get(b)) &&
    stableJson(given.get(a)) === stableJson(given.get(b))
  );
}

/** SGD has a hundred times the learning rate of AdamW. */
function isHundredfold(old: Flat, given: Flat, name: string): boolean {
  const factor = Number(given.get(name)) / Number(old.get(name));
  return [100, 0.01].some((usual) => Math.abs(factor / usual - 1) < 1e-9);
}

function sameBesidesExcluded(old: Flat, given: Flat): boolean {
  const listOf = (flat: Flat, name: string): string[] => (flat.get(name) ?? []) as string[];
  const whole = [old, given].flatMap((flat) => listOf(flat, 'exclude'));
  const [a, b] = [old, given].map((flat) =>
    listOf(flat, 'rateOf').filter((rate) => !whole.includes(rate.slice(0, rate.lastIndexOf('=')))),
  );
  return stableJson(a) === stableJson(b);
}

/** By what the sizes are given: rates and budgets are not the same sizes, and more of each may come. */
function sizesChange(before: CompareBudget | undefined, now: CompareBudget | undefined): string[] {
  if (before === now) return [];
  const nameOf = (budget: CompareBudget | undefined): string =>
    budget === undefined ? 'rates' : `budget.${budget}`;
  return [`${nameOf(now)}: got sizes by it, expected sizes by \`${nameOf(before)}\``];
}

/** Of methods that both have: one that is added brings its own. */
function ratesChange(before: CompareSettings, now: CompareSettings): string[] {
  const methods = methodsOf(before).filter((method) => methodsOf(now).includes(method));
  const words = (lr: number | undefined, method: string): string =>
    lr === undefined ? `none of ${method}` : `${method}=${lr}`;
  return methods.flatMap((method) => {
    const [old, given] = [before.lrOf?.[method], now.lrOf?.[method]];
    return old === given
      ? []
      : [`lrOf: got ${words(given, method)}, expected ${words(old, method)}`];
  });
}

/** Of several there may be more than at the beginning. */
function denseChange({ dense: old }: CompareSettings, { dense: now }: CompareSettings): string[] {
  const [before, given] = [old, now].map((dense) =>
    dense?.length === 1 ? dense[0]?.sha256 : dense && 'several',
  );
  if (before === given) return [];
  const inWords = (dense: CompareSettings['dense']): string =>
    dense === undefined
      ? 'nothing'
      : dense.length === 1
        ? relativePath(dense[0]?.path ?? '')
        : 'one for each seed';
  const [was, is] = [inWords(old), inWords(now)];
  const file = was === is ? ', with other weights' : '';
  return [`dense: got ${is}${file}, expected ${was}${file === '' ? '' : ' as it was'}`];
}
