// The layers of a dict that may be the classifier of a model in it: linear ones, and norms over the batch, inside of the model and beside it.
import type { Shapes } from './layout.js';
import { cleanName, isNoWeight } from './names.js';

/** Of a layout: what its classifier is called. */
export interface ClassifierNames {
  /** In our models: `fc`. */
  readonly name: string;
  /** Names of tensors that the layout itself takes for the classifier's. */
  readonly own: RegExp;
}

/** What layers beside a backbone are called that read its features for something else than the classes. */
export const otherwise =
  /(?:^|[._])(?:proj\w*|emb\w*|decoder|reduc\w*|bottleneck|rot\w*|domain\w*|aux\w*|neck|mask\w*|pretext\w*|adv\w*|discriminator|prototypes?|critic|attn\w*|attention\w*|regress\w*|bbox\w*|box\w*|before|pre_?(?:logits|head))(?:[._]|$)/i;

/** What is no parameter that a forward pass of the model reads. */
const besides = /(?:^|\.)(?:num_batches_tracked|\w*(?:loss|criterion|metric)\w*)(?:\.|$)/i;

/** What `withClassifier` is told of a model in a dict. */
export interface Backbone {
  readonly shapes: Shapes;
  readonly prefix: string;
  readonly names: ReadonlyMap<string, string>;
  /** What the caller may choose it by, for messages. */
  readonly key: string;
  /** Tensors of other models in the dict. */
  readonly others?: ReadonlySet<string>;
}

/** Parameters beside a model, the nearest alone: an average of the whole model may stand in the same dict under a prefix of its own. */
export function parametersBeside({ shapes, prefix, names }: Backbone): readonly string[] {
  const taken = new Set(names.values());
  const beside = [...shapes.keys()].filter(
    (stored) =>
      !taken.has(stored) &&
      !isNoWeight(cleanName(stored), shapes.get(stored) ?? []) &&
      isParameter(stored, shapes),
  );
  return (
    above(prefix)
      .map((outer) => beside.filter((stored) => cleanName(stored).startsWith(outer)))
      .find((found) => found.length > 0) ?? []
  );
}

export const isParameter = (stored: string, shapes: Shapes): boolean =>
  !besides.test(stored) && !isBuffer(stored, shapes.get(stored) ?? []);

/** The module that a tensor lies in. */
export const layerOf = (stored: string): string => stored.replace(/\.?[^.]*$/, '');

/** Which of the modules of a Sequential it is; undefined for one that has no number. */
export const numberOf = (layer: string): string | undefined => /(?:^|\.)(\d+)$/.exec(layer)?.[1];

/** The last steps of the names of a layer's tensors. */
export const partsOf = (layer: string, parameters: readonly string[]): string[] =>
  parameters
    .filter((stored) => layerOf(stored) === layer)
    .map((stored) => stored.slice(layer.length + 1));

export const isOfLinear = (part: string): boolean => part === 'weight' || part === 'bias';

export const isBatchNorm = (parts: readonly string[]): boolean =>
  parts.includes('running_mean') && parts.includes('running_var');

/**
 * Such as the mean of the pixels; a parameter of a layer is called weight or bias, and one of a model has dimensions. The
 * exponent p of a generalised mean (GeM) has none, and makes other features than the average.
 */
const isBuffer = (stored: string, shape: readonly number[]): boolean =>
  !/\.(?:weight|bias|running_mean|running_var|p)$/.test(stored) && shape.length < 2;

/** `a.b.` and `a.` and `` of `a.b.c.`; of nothing itself. */
export function above(prefix: string): string[] {
  const steps = prefix.split('.').slice(0, -1);
  const outer = steps.map((_, at) =>
    steps
      .slice(0, at)
      .map((step) => `${step}.`)
      .join(''),
  );
  return outer.length === 0 ? [''] : outer.reverse();
}

/** Such as `blocks.0.attn.qkv` and `encoder.layer.3.mlp.fc1`: what lies in one of many alike is no classifier. */
const inBlock = /(?:^|\.)(?:encoder_layer_)?\d+\.[a-z_]/i;

/** What stands where classifiers do, and is none. */
const isPooler = /(?:^|\.)pooler\./;

/** Whether a tensor lies where no classifier and no norm beside one does. */
export const isInside = (name: string): boolean =>
  inBlock.test(layerOf(name)) || isPooler.test(name);

/**
 * The linear layers that may classify, as the file names them: in a model where they stand in no block, and beside it.
 * @param beside - as of `parametersBeside`
 */
export function linearLayers(
  { shapes, names, others }: Backbone,
  beside: readonly string[],
): readonly string[] {
  const named = [...names, ...beside.map((stored) => [cleanName(stored), stored] as const)];
  const byLayer = new Map<string, string[]>();
  for (const [name, stored] of named) {
    if (isInside(name) || otherwise.test(layerOf(name))) continue;
    if (others?.has(stored) === true || !isParameter(stored, shapes)) continue;
    const layer = layerOf(stored);
    byLayer.set(layer, [...(byLayer.get(layer) ?? []), stored.slice(layer.length + 1)]);
  }
  const linear = [...byLayer]
    .filter(
      ([layer, parts]) => shapes.get(`${layer}.weight`)?.length === 2 && parts.every(isOfLinear),
    )
    .map(([layer]) => layer);
  return linear.filter((layer) => !linear.some((other) => areInTurn(layer, other, shapes)));
}

/** Whether two layers of one Sequential fit behind each other: together they are a classifier with a hidden layer. */
function areInTurn(one: string, other: string, shapes: Shapes): boolean {
  if (one === other || layerOf(one) !== layerOf(other)) return false;
  if (numberOf(one) === undefined || numberOf(other) === undefined) return false;
  const [first = [], second = []] = [one, other].map((layer) => shapes.get(`${layer}.weight`));
  return first[0] === second[1] || second[0] === first[1];
}

/** `fc [10, 512]`, as messages list layers. */
export function layerText(layer: string, shapes: Shapes): string {
  const shape = shapes.get(`${layer}.weight`) ?? shapes.get(`${layer}.running_mean`) ?? [];
  return `${layer} [${shape.join(', ')}]`;
}
