// Which importances there are, and which slices of a unit they are taken over: facts without native code, from
// which the command line, the settings and the messages take their lists. What an importance computes stands in a
// file of its own under importances/, what a score adds up in one under scores/; `registerImportance` adds to them.
import type { Tensor } from '@mamba-prune/libtorch';
import { UsageError } from '../errors.js';
import type { GroupMember, PruningGroup } from '../models/groups.js';
import type { ImageModel } from '../models/image-model.js';
import { type OptionKinds, requireOptions } from '../option-checks.js';
import { registeredBy } from '../plugins.js';
import { printableLine } from '../printable.js';
import type { Calibration } from './calibration.js';
import { type RefillScore, refillScoreFacts } from './refill-choices.js';

/** What there is to say of an importance. */
export interface ImportanceFacts {
  /** One line for help: what of a unit's weights w is added up, where L is the loss. */
  readonly description: string;
  /** Whether it measures on real images. Without them it is an error. */
  readonly needsImages: boolean;
  readonly paper?: string;
}

const importances = {
  l1: {
    description: 'sum of |w|',
    needsImages: false,
    paper: 'Li et al. 2017, arXiv 1608.08710',
  },
  l2: {
    description: 'root of the sum of w²',
    needsImages: false,
  },
  taylor: {
    description: 'sum of |w dL/dw|, of the mean gradient',
    needsImages: true,
    paper:
      'Molchanov et al. 2019, arXiv 1906.10771, section 3.1, absolute values in place of squares',
  },
  fisher: {
    description: 'sum of (w dL/dw)², mean over batches',
    needsImages: true,
    paper: 'Molchanov et al. 2019, arXiv 1906.10771, section 3.1',
  },
  obd: {
    description: 'half the sum of (w dL/dw)², mean over single images',
    needsImages: true,
    paper: 'LeCun et al. 1990, Optimal Brain Damage; Theis et al. 2018, arXiv 1801.05787',
  },
} as const satisfies Readonly<Record<string, ImportanceFacts>>;

export type BuiltInImportance = keyof typeof importances;

/** Of a built-in importance, or of one that `registerImportance` was told. */
export type ImportanceName = BuiltInImportance | (string & Record<never, never>);

interface ScoreFacts {
  /** For help: which weights of a unit count. */
  readonly description: string;
  readonly needsImages: boolean;
}

const scores = {
  consumer: {
    description: 'the weights that read a unit, and of neurons and filters those that make it',
    needsImages: false,
  },
  group: {
    description: 'all weights of a unit, each layer by its mean',
    needsImages: false,
  },
  activation: {
    description: 'the weights that read a unit, times its mean output',
    needsImages: true,
  },
} as const satisfies Readonly<Record<string, ScoreFacts>>;

/**
 * Which slices count. consumer: the members that the model marks `scored`, their norms added up: the weights by which
 * the next layer reads a unit and, of neurons, heads and filters, those that make it (docs/methods.md has the table).
 * group: every parameter of the group, each member's norms divided by their mean over the units, so that no member
 * drowns the others. activation: mean |output| of the unit on real images times the norm of the weights that read it:
 * what the unit really adds to the next layer.
 */
export type UnitScore = keyof typeof scores;

const keysOf = <K extends string>(table: Readonly<Record<K, unknown>>): K[] =>
  Object.keys(table) as K[];

export const unitScores: readonly UnitScore[] = keysOf(scores);
export const defaultScore = 'consumer' satisfies UnitScore;

/** Batches of real images that are looked at where nobody says how many. */
export const defaultScoreBatches = 8;

/** What `ImportanceFunction` works with. */
export interface ImportanceContext {
  /** In whatever mode it is; to be left as it was, its gradients too. */
  readonly model: ImageModel;
  /** Those to score. */
  readonly groups: readonly PruningGroup[];
  /** By group name: the members that count under the score that was chosen, parameters alone. */
  readonly members: ReadonlyMap<string, readonly GroupMember[]>;
  /** Real images, one pass a call; undefined where there are none. */
  readonly calibration: Calibration | undefined;
  /**
   * Adds up, in float64, one value for every weight over the slices of `members`, as the score has it.
   * @param values - by name of the parameter and of its shape
   * @param norm - of the values of one slice
   * @returns per group name, `size` scores
   */
  readonly sumOf: (
    values: ReadonlyMap<string, Tensor>,
    norm: 'l1' | 'l2',
  ) => Map<string, Float64Array>;
}

/**
 * Scores the units of every group, larger is better.
 * @returns per group name, one finite number for each of its `size` units
 */
export type ImportanceFunction = (
  context: ImportanceContext,
) => ReadonlyMap<string, ArrayLike<number>> | Promise<ReadonlyMap<string, ArrayLike<number>>>;

/** An importance of one's own, by a name that config.json can hold. */
export interface RegisteredImportance {
  /** Letters, digits, `-` and `_`, beginning with a letter. */
  readonly name: string;
  /** One line for help. */
  readonly description: string;
  /** Whether it cannot do without real images: they are asked for before any work. Default `false`. */
  readonly needsImages?: boolean;
  readonly score: ImportanceFunction;
}

const registeredKinds: OptionKinds<RegisteredImportance> = {
  name: 'string',
  description: 'string',
  needsImages: 'boolean',
  score: 'function',
};

const registered = new Map<string, ImportanceFacts & Pick<RegisteredImportance, 'score'>>();

/**
 * Makes an importance known by a name, so that runs can be told it, go on with it, and the command line lists it. To be
 * called before anything is pruned by that name, in every process that does.
 * @throws UsageError for a name that is taken, or is none
 */
export function registerImportance(importance: RegisteredImportance): void {
  const where = 'registerImportance';
  requireOptions(where, importance, registeredKinds, ['name', 'description', 'score']);
  const { name, description, needsImages = false, score } = importance;
  if (!/^[a-z][\w-]*$/i.test(name)) {
    throw new UsageError(
      `${where}: got the name '${printableLine(name)}', expected letters, digits, - and _, beginning with a letter.`,
    );
  }
  if (importanceNames().includes(name)) {
    throw new UsageError(
      `${where}: got the name '${name}', which is taken. Expected another one than ${importanceNames().join(', ')}.`,
    );
  }
  registeredBy(undefined);
  registered.set(name, { description, needsImages, score });
}

/** What `registerImportance` was told to call; undefined for another name. */
export const registeredFunction = (name: string): ImportanceFunction | undefined =>
  registered.get(name)?.score;

/** All there are by name, those that were registered last. */
export const importanceFacts = (): Map<string, ImportanceFacts> =>
  new Map<string, ImportanceFacts>([...Object.entries(importances), ...registered]);

export const importanceNames = (): string[] => [...importanceFacts().keys()];

export const isBuiltIn = (name: string): name is BuiltInImportance =>
  Object.hasOwn(importances, name);

const described = (
  facts: Iterable<readonly [string, { readonly description: string }]>,
): Record<string, string> =>
  Object.fromEntries(Array.from(facts, ([name, { description }]) => [name, description]));

/** The line of help for each. */
export const importanceDescriptions = (): Record<string, string> => described(importanceFacts());
export const scoreDescriptions: Readonly<Record<string, string>> = described(
  Object.entries(scores),
);

/** Those that see nothing but weights: what the score `activation` can multiply. */
export const importancesOfWeights = (): string[] =>
  Array.from(importanceFacts())
    .filter(([, { needsImages }]) => !needsImages)
    .map(([name]) => name);

/** What is taken where no importance is given. */
const defaults = { images: 'taylor', weights: 'l1' } as const satisfies Record<
  string,
  BuiltInImportance
>;

interface WithDefault {
  readonly title: string;
  readonly importance?: string;
}

/** What help says of `defaultImportance` where there are images. @param families - those with one of their own count */
export const defaultWithImages = (families: readonly WithDefault[]): string =>
  [
    defaults.images,
    ...families.flatMap(({ title, importance }) =>
      importance === undefined ? [] : [`${title} ${importance}`],
    ),
  ].join('; ');

/** The same where there may be none. */
export const defaultInWords = (families: readonly WithDefault[]): string =>
  `${defaultWithImages(families)}; without images ${defaults.weights}`;

/**
 * The importance that is taken where none is given, by what is left of a Mamba right after a cut
 * (docs/methods.md, "Which importance", has the measurement and where others do better). `taylor` looks at real
 * images; without them `l1` is the best of those that see the weights alone. The score `activation` multiplies
 * by a norm of weights, and takes `l1`.
 *
 * @param hasImages - whether there are real images to measure on
 * @param ofFamily - that of the model's family, in place of `taylor`
 */
export function defaultImportance(
  hasImages: boolean,
  score: UnitScore = defaultScore,
  ofFamily: ImportanceName = defaults.images,
): ImportanceName {
  return hasImages && score !== 'activation' ? ofFamily : defaults.weights;
}

/** @throws UsageError naming the importances there are */
export function checkImportance(name: string): void {
  const names = importanceNames();
  if (names.includes(name)) return;
  throw new UsageError(
    `importance: got '${printableLine(name)}', expected one of ${names.join(', ')}, ` +
      'or a name that registerImportance was told before (`loadPlugin` loads the module that does so).',
  );
}

/** How units are chosen, as far as it tells whether real images are needed. */
export interface ImageNeeds {
  readonly importance?: ImportanceName | undefined;
  readonly score?: UnitScore | undefined;
  readonly refillScore?: RefillScore | undefined;
}

/** What of a choice needs passes over real images, in words; undefined if nothing does. */
export function needForImages({ importance, score, refillScore }: ImageNeeds): string | undefined {
  if (importance !== undefined && importanceFacts().get(importance)?.needsImages === true) {
    return `\`importance\` ${importance}`;
  }
  // Settings that were stored are asked before they are checked.
  const scoreFacts: Readonly<Record<string, ScoreFacts>> = scores;
  if (score !== undefined && scoreFacts[score]?.needsImages === true) return `\`score\` ${score}`;
  return refillScore !== undefined && refillScoreFacts[refillScore].needsImages
    ? `\`refill.score\` ${refillScore}`
    : undefined;
}
