// Which of the weights in a file are meant: a checkpoint may hold several state dicts, and a state dict
// several models under prefixes of their own.
import { FormatError } from '@mamba-prune/libtorch';
import {
  type PickledModule,
  type UnreadableTensor,
  stateDictRank,
} from '@mamba-prune/libtorch/files';
import { UsageError } from '../../errors.js';
import { listed, printableName } from '../../printable.js';
import { withClassifier } from './apart-classifier.js';
import type { ClassifierNames } from './classifier-layers.js';
import { refuseTwice, refuseUnreadable, unreadableNotes } from './choice-refusals.js';
import { joinedShapes } from './derived.js';
import type { Shapes } from './layout.js';
import {
  cleanName,
  isNoWeight,
  joined,
  prefixGroups,
  stripPrefixes,
  withoutWrappers,
} from './names.js';

/** One state dict of a file, before any tensor is read. */
export interface FoundDict {
  /** With points; '' for the top of the file. */
  readonly key: string;
  readonly shapes: Shapes;
  /** Those of `shapes` that cannot be read. */
  readonly unreadable?: ReadonlyMap<string, Pick<UnreadableTensor, 'what' | 'advice'>>;
  /** What lies among the tensors and is none, with what it is. */
  readonly others?: ReadonlyMap<string, string>;
  /** Of a whole module that was pickled: its class. */
  readonly module?: string | undefined;
  /** All modules in it by their paths. */
  readonly modules?: ReadonlyMap<string, PickledModule> | undefined;
}

export interface Choice<D extends FoundDict> {
  readonly dict: D;
  /** What `key` would choose the same by; '' for the top of the file. */
  readonly key: string;
  /** The model's names, with those that the dict has. */
  readonly names: ReadonlyMap<string, string>;
  /** Sentences on what was chosen and what was left out. */
  readonly notes: readonly string[];
  /** Sentences for whoever hears that it cannot be read. */
  readonly advice: readonly string[];
}

/** One model in a dict. */
export interface Candidate<D extends FoundDict> {
  readonly dict: D;
  /** What its names begin with, a point at the end; '' for nothing. */
  readonly prefix: string;
  readonly key: string;
  /** By the model's names, with those of the dict. */
  readonly names: ReadonlyMap<string, string>;
}

/** What is known of models, by telling names. */
export interface Telling {
  /** Whether shapes are those of a model that can be imported. */
  isModel(shapes: Shapes): boolean;
  /** What the classifier of such a model is called; undefined if it is not known. */
  classifierNames?(shapes: Shapes): ClassifierNames | undefined;
}

/**
 * @param dicts - in the file's order, at least one
 * @param key - what the caller asked for
 * @param classifier - as of the import's option
 * @throws UsageError if the key names nothing that holds tensors, or the classifier no layer
 */
export function chooseStateDict<D extends FoundDict>(
  dicts: readonly D[],
  telling: Telling,
  key?: string,
  classifier?: string,
): Choice<D> {
  const isModel = (shapes: Shapes): boolean => telling.isModel(shapes);
  const models = inUsualOrder(dicts.flatMap((dict) => modelsIn(dict, isModel)));
  const chosen = key === undefined ? (models[0] ?? usual(dicts)) : named(dicts, models, key);
  // A key that names one model leaves no choice; one that names a dict of several does.
  const others = (models.length > 0 ? models : dicts)
    .map((model) => model.key)
    .filter((other) => other !== chosen.key)
    .filter((other) => key === undefined || (key !== chosen.key && other.startsWith(`${key}.`)));
  const isKnown = models.includes(chosen);
  // Of names that nobody knows none can be said to be left out.
  const own = isKnown
    ? new Map(
        Array.from(chosen.names).filter(
          ([name, stored]) => !isNoWeight(name, chosen.dict.shapes.get(stored) ?? []),
        ),
      )
    : chosen.names;
  if (isKnown) refuseTwice(chosen);
  if (isKnown || !hasReadable(chosen)) refuseUnreadable(chosen);
  const {
    names: used,
    notes: found,
    advice,
  } = isKnown
    ? withClassifier(
        {
          shapes: chosen.dict.shapes,
          prefix: chosen.prefix,
          names: own,
          key: place(chosen.key),
          others: new Set(othersIn(chosen, models).flatMap(({ names }) => [...names.values()])),
        },
        (shapes) => telling.classifierNames?.(shapes),
        { isModel: key !== undefined && (key === top ? '' : key) === chosen.key, classifier },
      )
    : { names: own, notes: [], advice: [] };
  return {
    dict: chosen.dict,
    key: chosen.key,
    names: used,
    advice,
    notes: [
      ...(others.length > 0 ? [severalNote(chosen.key, others)] : []),
      ...found,
      ...leftOutNotes(chosen, used, models),
      ...(isKnown ? [] : unreadableNotes(chosen)),
      ...(chosen.dict.module === undefined
        ? []
        : [
            `Took the tensors of a whole pickled module (class ${listed([chosen.dict.module])}); no code was ` +
              'run, so what its forward computes is not known.',
          ]),
    ],
  };
}

const hasReadable = ({ dict, names }: Candidate<FoundDict>): boolean =>
  [...names.values()].some((stored) => dict.unreadable?.has(stored) !== true);

function severalNote(chosen: string, others: readonly string[]): string {
  return (
    `Took the weights at ${place(chosen)}; the file holds others at ${listed(others.map(place))}: ` +
    '`key` chooses.'
  );
}

/** The other models of the same dict. */
const othersIn = <D extends FoundDict>(
  { dict, prefix }: Candidate<D>,
  models: readonly Candidate<D>[],
): Candidate<D>[] => models.filter((model) => model.dict === dict && model.prefix !== prefix);

function leftOutNotes<D extends FoundDict>(
  chosen: Candidate<D>,
  used: ReadonlyMap<string, string>,
  models: readonly Candidate<D>[],
): string[] {
  const { dict } = chosen;
  const elsewhere = othersIn(chosen, models);
  const taken = new Set(
    [used, ...elsewhere.map(({ names }) => names)].flatMap((n) => [...n.values()]),
  );
  const tensors = [...dict.shapes.keys()].filter((name) => !taken.has(name));
  const values = Array.from(dict.others ?? [], ([name, what]) => `${name} (${what})`);
  const all = [...tensors, ...values];
  if (all.length === 0) return [];
  const count = all.length === 1 ? '1 entry that is' : `${all.length} entries that are`;
  return [`Left out ${count} not the model's: ${listed(all)}.`];
}

/** The models behind every prefix, each without those that lie inside of it under prefixes of their own. */
function modelsIn<D extends FoundDict>(
  dict: D,
  isModel: (shapes: Shapes) => boolean,
): Candidate<D>[] {
  const cleaned = new Map(Array.from(dict.shapes, ([name, shape]) => [cleanName(name), shape]));
  const known = Array.from(prefixGroups(cleaned)).filter(([, shapes]) =>
    isModel(joinedShapes(shapes)),
  );
  const found: Candidate<D>[] = [];
  let covered: readonly string[] = [];
  for (const [prefix, shapes] of known.sort(([a], [b]) => a.length - b.length)) {
    if (covered.some((outer) => prefix.startsWith(outer))) continue;
    const inside = known.map(([other]) => other).filter((other) => isWithin(other, prefix));
    const rest = candidate(dict, prefix, inside);
    const alone = new Map(Array.from(rest.names.keys(), (name) => [name, shapes.get(name) ?? []]));
    if (inside.length === 0 || isModel(joinedShapes(alone))) {
      found.push(rest);
    } else {
      // The inner names make the outer model, too: it is one model.
      found.push(candidate(dict, prefix));
      covered = [...covered, prefix];
    }
  }
  return withShortKeys(found);
}

const isWithin = (prefix: string, outer: string): boolean =>
  prefix !== outer && prefix.startsWith(outer);

/** @param without - prefixes of names that belong to other models */
function candidate<D extends FoundDict>(
  dict: D,
  prefix: string,
  without: readonly string[] = [],
): Candidate<D> {
  const names = Array.from(dict.shapes.keys(), (name) => [cleanName(name), name] as const).filter(
    ([name]) => name.startsWith(prefix) && !without.some((other) => name.startsWith(other)),
  );
  return {
    dict,
    prefix,
    key: joined(dict.key, prefix.slice(0, -1)),
    names: new Map(names.map(([name, stored]) => [name.slice(prefix.length), stored])),
  };
}

/** Wrappers are no part of a key, unless two models differ in nothing else. */
function withShortKeys<D extends FoundDict>(models: readonly Candidate<D>[]): Candidate<D>[] {
  const short = models.map(({ dict, prefix }) => joined(dict.key, withoutWrappers(prefix)));
  return models.map((model, at) => {
    const key = short[at] ?? model.key;
    return short.filter((other) => other === key).length > 1 ? model : { ...model, key };
  });
}

/**
 * By `stateDictRank`; an average of the parameters alone, without the statistics of batch normalisation that
 * another has, is no whole model and comes last.
 */
function inUsualOrder<D extends FoundDict>(candidates: readonly Candidate<D>[]): Candidate<D>[] {
  const ranked = candidates.map((candidate) => ({
    candidate,
    rank: stateDictRank(candidate.key),
    whole: [...candidate.names.keys()].some((name) => name.endsWith('.running_mean')),
  }));
  ranked.sort((a, b) => Number(b.whole) - Number(a.whole) || a.rank - b.rank);
  return ranked.map(({ candidate }) => candidate);
}

/** Where no model is found: the largest state dict, whose names a message can show. */
function usual<D extends FoundDict>(dicts: readonly D[]): Candidate<D> {
  const most = dicts.reduce((size, { shapes }) => Math.max(size, shapes.size), 0);
  const [first] = inUsualOrder(
    dicts.filter(({ shapes }) => 2 * shapes.size > most).map((dict) => whole(dict)),
  );
  if (first === undefined) throw new FormatError('import: got no tensors.');
  return first;
}

/** All of a dict, without what wrappers put before every name. */
function whole<D extends FoundDict>(dict: D): Candidate<D> {
  const all = candidate(dict, '');
  return { ...all, names: stripPrefixes(all.names) };
}

function named<D extends FoundDict>(
  dicts: readonly D[],
  models: readonly Candidate<D>[],
  given: string,
): Candidate<D> {
  const key = given === top ? '' : given;
  const under = (path: string): boolean => path.startsWith(`${key}.`);
  const dict = dicts.find((found) => found.key === key);
  const found =
    models.find((model) => model.key === key) ??
    (dict && (models.find((model) => model.dict === dict) ?? whole(dict))) ??
    models.find((model) => under(model.key)) ??
    models.find((model) => fullKey(model) === key || under(fullKey(model))) ??
    usualOf(dicts.filter((other) => under(other.key))) ??
    underPrefix(dicts, key);
  if (found) return found;
  const keys = [...new Set([...models, ...dicts].map((place) => place.key))].filter(
    (k) => k !== '',
  );
  throw new UsageError(
    `import: \`key\`: got "${listed([given])}", ` +
      (keys.length > 0
        ? `expected one that holds tensors: ${listed(keys.map(place), 12)}.`
        : 'expected none: the tensors lie at the top of the file, which has no keys. Leave it out.'),
  );
}

/** The key of a model as the file has it, with the steps of wrappers: `model.backbone`. */
const fullKey = ({ dict, prefix }: Candidate<FoundDict>): string =>
  [dict.key, prefix.slice(0, -1)].filter((part) => part !== '').join('.');

const usualOf = <D extends FoundDict>(dicts: readonly D[]): Candidate<D> | undefined =>
  dicts.length > 0 ? usual(dicts) : undefined;

/** A key may go on into the names of a dict: `state_dict.encoder_k`. */
function underPrefix<D extends FoundDict>(
  dicts: readonly D[],
  key: string,
): Candidate<D> | undefined {
  for (const dict of dicts) {
    const start = dict.key === '' ? '' : `${dict.key}.`;
    if (!key.startsWith(start)) continue;
    const found = candidate(dict, cleanName(`${key.slice(start.length)}.`));
    if (found.names.size > 0) return found;
  }
  return undefined;
}

/** The key that names the top of a file. */
const top = '.';

const place = (key: string): string =>
  key === '' ? `"${top}" (the top of the file)` : `"${printableName(key)}"`;
