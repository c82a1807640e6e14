// What to say of layers that may classify, or run before what does, to whoever hears that a model cannot be read.
import { listed } from '../../printable.js';
import {
  type Backbone,
  type ClassifierNames,
  isBatchNorm,
  isInside,
  layerOf,
  layerText,
  linearLayers,
  partsOf,
} from './classifier-layers.js';
import type { Shapes } from './layout.js';

/** Why no classifier was found for a backbone beside which there is something. */
export function besideAdvice(backbone: Backbone, beside: readonly string[]): string[] {
  const { shapes, others } = backbone;
  const linear = linearLayers(backbone, beside);
  if (linear.length > 1) return [choiceAdvice(linear, shapes)];
  const layers = [...new Set(beside.filter((each) => others?.has(each) !== true).map(layerOf))];
  const [layer] = linear;
  const norms = layers.filter((each) => isBatchNorm(partsOf(each, beside)));
  if (layer !== undefined && norms.length > 0 && norms.length === layers.length - 1) {
    return [orderAdvice('Beside the backbone', [...norms, layer], shapes)];
  }
  const weights = beside.filter(
    (stored) => stored.endsWith('.weight') && others?.has(stored) !== true,
  );
  if (weights.length === 0) return [];
  const list = weights.map((stored) => `${stored} [${(shapes.get(stored) ?? []).join(', ')}]`);
  const norm = layer === undefined ? undefined : weights.find((each) => isOwnNorm(each, shapes));
  const why =
    norm === undefined || layer === undefined
      ? '`classifier` names the layers that classify.'
      : `${listed([layerOf(norm)])}, which keeps no statistics as BatchNorm does, is a norm of another kind (LayerNorm): it divides the features of every image by ` +
        'their own deviation, which no weight of a linear layer does, and no architecture here has one there. Where the forward pass does not use it, ' +
        `\`classifier\` ${listed([layer])} leaves it out.`;
  return [
    `Beside the backbone lie ${listed(list)}: only one linear layer, alone or with BatchNorm, is taken for a classifier, unless its name tells of something else. ${why}`,
  ];
}

/** A weight of a norm that is none over the batch. */
const isOwnNorm = (stored: string, shapes: Shapes): boolean =>
  shapes.get(stored)?.length === 1 && !shapes.has(`${layerOf(stored)}.running_mean`);

const choiceAdvice = (layers: readonly string[], shapes: Shapes): string =>
  `The linear layers ${listed(layers.map((layer) => layerText(layer, shapes)))} may be its classifier: \`classifier\` names the one that is meant.`;

/** Of a model with a classifier of its own, and in it others or norms of its width, which keep it from being read. */
export function severalAdvice(backbone: Backbone, { own }: ClassifierNames): string[] {
  const { names, shapes } = backbone;
  const linear = linearLayers(backbone, []);
  const isOwn = new Set([...names].flatMap(([name, at]) => (own.test(name) ? [layerOf(at)] : [])));
  const first = linear.find((layer) => isOwn.has(layer));
  if (first === undefined) return [];
  const [, inputs] = shapes.get(`${first}.weight`) ?? [];
  const alike = linear.filter((layer) => shapes.get(`${layer}.weight`)?.[1] === inputs);
  if (alike.some((layer) => !isOwn.has(layer))) return [choiceAdvice(alike, shapes)];
  const norms = [...names].flatMap(([name, stored]) => {
    const isNorm = name.endsWith('.running_mean') && !isInside(name) && !own.test(name);
    return isNorm && shapes.get(stored)?.[0] === inputs ? [layerOf(stored)] : [];
  });
  return norms.length === 0 ? [] : [orderAdvice('In the model', [...norms, first], shapes)];
}

/** @param layers - those that may run, the classifier the last */
const orderAdvice = (where: string, layers: readonly string[], shapes: Shapes): string =>
  `${where} lie ${listed(layers.map((layer) => layerText(layer, shapes)))}, and no tensor tells in which order they run: \`classifier\` names them in it, such as ` +
  `${listed([layers.join(',')])}, and leaves out what does not run.`;
