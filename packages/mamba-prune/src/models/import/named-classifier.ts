// The classifier that the caller named, by one layer or Sequential of the file or by several in the order in which they run.
import { FormatError } from '@mamba-prune/libtorch';
import { UsageError } from '../../errors.js';
import { listed } from '../../printable.js';
import {
  type Backbone,
  type ClassifierNames,
  above,
  isBatchNorm,
  isOfLinear,
  isParameter,
  layerOf,
  layerText,
  linearLayers,
  numberOf,
  otherwise,
  partsOf,
} from './classifier-layers.js';
import { modulesAround } from './module-place.js';
import { cleanName, isNoWeight } from './names.js';

/**
 * Names of a model with those of the layers that were named as its classifier, and of no other.
 *
 * @param beside - parameters beside the model, as of `parametersBeside`
 * @param said - names of layers as the file has them, or as they are called from the model on, separated by commas
 * @throws UsageError for a name that no layer has; FormatError for layers that are no classifier
 */
export function namedClassifier(
  backbone: Backbone,
  called: ClassifierNames,
  beside: readonly string[],
  said: string,
): { readonly names: ReadonlyMap<string, string>; readonly notes: readonly string[] } {
  const { names, shapes } = backbone;
  const candidates = linearLayers(backbone, beside);
  const modules = said.split(',').map((name) => moduleNamed(backbone, name.trim(), candidates));
  const layers =
    modules.length === 1
      ? wholeSequential(modules[0] ?? '', backbone)
      : modules.flatMap((module) => layersIn(module, backbone));
  const linear = checkLayers(said, layers, backbone);
  const chosen = new Set(layers.flatMap(({ stored }) => stored));
  const others = othersWithin(backbone, called, candidates, layers);
  const taken = new Set(layers.map(({ layer }) => layer));
  // With what these layers count (num_batches_tracked), which nothing reads.
  const rest = [...names].filter(
    ([, stored]) => !taken.has(layerOf(stored)) && !others.has(stored),
  );
  const isOwn = layers.every(({ stored }) =>
    stored.every((each) => isOwnName(each, backbone, called)),
  );
  const renamed = layers.flatMap(({ layer, stored }, at) =>
    stored.map((each): [string, string] => [
      (layers.length === 1 ? called.name : `${called.name}.${at}`) + each.slice(layer.length),
      each,
    ]),
  );
  const own = [...names].filter(([, stored]) => chosen.has(stored));
  return {
    // What the layout knows by its names keeps them: there may be two, each for a token of its own.
    names: new Map([...rest, ...(isOwn && modules.length === 1 ? own : renamed)]),
    notes: [
      `The classifier is ${listed([layerText(linear, shapes)])}, as \`classifier\` says` +
        `${layers.length === 1 ? '' : `, with ${listed(layers.flatMap(({ layer }) => (layer === linear ? [] : [layer])))}`}.`,
    ],
  };
}

/** A layer of the file with its parameters. */
interface NamedLayer {
  readonly layer: string;
  readonly stored: readonly string[];
}

/** The module of the file that a name means: its whole name there, or what it is called beside the model or in it. */
function moduleNamed(
  { shapes, prefix }: Backbone,
  name: string,
  candidates: readonly string[],
): string {
  const byClean = new Map<string, string>();
  for (const stored of shapes.keys()) {
    for (const path of modulesAround(stored)) byClean.set(cleanName(`${path}.`).slice(0, -1), path);
  }
  const places = [name, ...[prefix, ...above(prefix)].map((outer) => outer + name)];
  const found = name === '' ? undefined : places.map((place) => byClean.get(place)).find(Boolean);
  // What holds the model is no part of it.
  if (found !== undefined && !prefix.startsWith(cleanName(`${found}.`))) return found;
  throw new UsageError(
    `import: \`classifier\`: got ${listed([`'${name}'`])}, expected the name of a linear layer of the file${
      candidates.length === 0
        ? ', which has none that can be a classifier'
        : `: ${listed(candidates.map((layer) => layerText(layer, shapes)))}`
    }.`,
  );
}

/** In the order of their numbers, as far as they have some. */
function layersIn(module: string, { shapes, others }: Backbone): NamedLayer[] {
  const inside = module === '' ? '' : `${module}.`;
  const byLayer = new Map<string, string[]>();
  for (const stored of shapes.keys()) {
    if (!stored.startsWith(inside) || others?.has(stored) === true) continue;
    if (!isParameter(stored, shapes) || isNoWeight(cleanName(stored), shapes.get(stored) ?? [])) {
      continue;
    }
    const layer = layerOf(stored);
    byLayer.set(layer, [...(byLayer.get(layer) ?? []), stored]);
  }
  return Array.from(byLayer, ([layer, stored]) => ({ layer, stored })).sort(
    (a, b) => Number(numberOf(a.layer) ?? 0) - Number(numberOf(b.layer) ?? 0),
  );
}

/** A Sequential runs all that is in it: a linear layer alone of it is taken with the norms beside it. */
function wholeSequential(module: string, backbone: Backbone): NamedLayer[] {
  const layers = layersIn(module, backbone);
  const holder = layerOf(module);
  if (numberOf(module) === undefined || layers.some(({ layer }) => layer !== module)) return layers;
  const siblings = layersIn(holder, backbone).filter(
    ({ layer }) => layerOf(layer) === holder && numberOf(layer) !== undefined,
  );
  const inputs = backbone.shapes.get(`${module}.weight`)?.[1];
  const before = siblings.find(
    ({ layer }) => layer !== module && backbone.shapes.get(`${layer}.weight`)?.[0] === inputs,
  );
  const isNorm = before !== undefined && isBatchNorm(partsOf(before.layer, before.stored));
  if (before !== undefined && !isNorm) {
    const { shapes } = backbone;
    throw new FormatError(
      `import: \`classifier\`: got ${listed([`'${module}'`])}, beside which ${listed([layerText(before.layer, shapes)])} lies in ${holder === '' ? 'the same Sequential' : listed([holder])} and may run before it, expected ` +
        'one linear layer that reads the features: no architecture here has a hidden layer there.',
    );
  }
  const isOfOne = siblings.every(
    ({ layer, stored }) => layer === module || isBatchNorm(partsOf(layer, stored)),
  );
  return isOfOne ? siblings : layers;
}

/**
 * @returns the linear layer
 * @throws FormatError unless there is one, and all others are norms over the batch whose order is known
 */
function checkLayers(said: string, layers: readonly NamedLayer[], { shapes }: Backbone): string {
  const fail = (got: string): never => {
    throw new FormatError(
      `import: \`classifier\`: got ${listed([`'${said}'`])}, ${got}, expected one linear layer, alone or with norms over the batch (BatchNorm) before or behind it: ` +
        'no architecture here has another classifier.',
    );
  };
  const parts = (layer: NamedLayer): string[] => partsOf(layer.layer, layer.stored);
  const linear = layers.filter(
    (each) => shapes.get(`${each.layer}.weight`)?.length === 2 && parts(each).every(isOfLinear),
  );
  const [first, second] = linear;
  if (first === undefined) fail('which has no linear layer');
  if (second !== undefined) {
    fail(
      `which has ${linear.length} linear layers (${listed(linear.map(({ layer }) => layerText(layer, shapes)))})`,
    );
  }
  const other = layers.find((each) => !linear.includes(each) && !isBatchNorm(parts(each)));
  if (other !== undefined) {
    const isNorm = other.stored.every((stored) => shapes.get(stored)?.length === 1);
    fail(
      `of which ${listed([other.layer])} ${
        isNorm
          ? 'is a norm of another kind (LayerNorm): it divides the features of every image by their own deviation, which no weight of a linear layer does'
          : 'is none of the two'
      }`,
    );
  }
  // Within one Sequential numbers say the order.
  const unordered = layers.find(
    ({ layer }) =>
      numberOf(layer) === undefined && !said.split(',').some((name) => isCalled(layer, name)),
  );
  if (layers.length > 1 && unordered !== undefined) {
    fail(
      `in which no number tells the order of ${listed(layers.map(({ layer }) => layer))}: name the layers one by one, in the order in which they run`,
    );
  }
  return (first as NamedLayer).layer;
}

const isCalled = (layer: string, name: string): boolean =>
  layer === name.trim() ||
  cleanName(`${layer}.`).endsWith(`.${name.trim()}.`) ||
  cleanName(`${layer}.`) === `${name.trim()}.`;

const isOwnName = (stored: string, { names }: Backbone, { own }: ClassifierNames): boolean =>
  [...names].some(([name, each]) => each === stored && own.test(name));

/** Tensors in the model of the classifiers that were not named: those of its own names, and other linear layers with their norms. */
function othersWithin(
  backbone: Backbone,
  called: ClassifierNames,
  candidates: readonly string[],
  layers: readonly NamedLayer[],
): ReadonlySet<string> {
  const { names, prefix } = backbone;
  const taken = layers.map(({ layer }) => layer);
  const holds = (module: string): boolean =>
    module === '' ||
    prefix.startsWith(cleanName(`${module}.`)) ||
    taken.some((layer) => layer === module || layer.startsWith(`${module}.`));
  const stems = candidates
    .filter((layer) => !taken.includes(layer))
    .map((layer) => modulesAround(`${layer}.weight`).find((module) => !holds(module)) ?? layer);
  const parameters = [...names.values()];
  return new Set(
    [...names].flatMap(([name, stored]) => {
      const layer = layerOf(stored);
      // What its name tells to run before the classifier is no other one: whoever reads the model refuses it.
      if (otherwise.test(layerOf(name))) return [];
      if (called.own.test(name)) return [stored];
      const isBeside = stems.some((stem) => stored.startsWith(`${stem}.`));
      const parts = isBeside ? partsOf(layer, parameters) : [];
      return isBeside && (candidates.includes(layer) || isBatchNorm(parts)) ? [stored] : [];
    }),
  );
}
