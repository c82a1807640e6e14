// A classifier that stands beside its backbone, as in `self.backbone = resnet18(); self.head = Linear(512, 10)`, or under another
// name than the layout has for it.
import { listed } from '../config-checks.js';
import type { Shapes } from './layout.js';
import { cleanName, isNoWeight } from './names.js';

/** Of a layout: what its classifier is called. */
export interface ClassifierNames {
  /** In our models: `fc`. */
  readonly name: string;
  /** Names of tensors that the layout itself takes for the classifier's. */
  readonly own: RegExp;
}

/** What people call the last layer, alone or the only one with weights in a Sequential. */
const usual =
  /(?:^|\.)(?:fc|cls|head|heads|linear|classifier|classifier_head|cls_head|class_head|last_linear|logits|out|output|output_layer|new_fc)(?:\.(?:\d+|fc|head|linear|classifier))?\.(weight|bias)$/;

/** What is no parameter that a forward pass of the model reads. */
const besides = /(?:^|\.)(?:num_batches_tracked|\w*(?:loss|criterion|metric)\w*)(?:\.|$)/i;

/**
 * Names of a model, with those of the classifier that its backbone is followed by, where it has none of its own.
 *
 * @param shapes - of all tensors of the file's dict
 * @param prefix - what the model's names begin with there, a point at the end
 * @param names - the model's names, with those of the dict
 * @param calledOf - what the classifier of a model of such shapes is called
 * @returns the names, and whole sentences on what was taken
 */
export function withClassifier(
  { shapes, prefix, names }: Backbone,
  calledOf: (shapes: Shapes) => ClassifierNames | undefined,
): { readonly names: ReadonlyMap<string, string>; readonly notes: readonly string[] } {
  const own = new Map(Array.from(names, ([name, stored]) => [name, shapes.get(stored) ?? []]));
  const called = calledOf(own);
  const apart = called && apartClassifier({ shapes, prefix, names }, called);
  if (apart === undefined) return { names, notes: [] };
  const moved = new Set(apart.names.values());
  const rest = [...names].filter(([, stored]) => !moved.has(stored));
  return {
    names: new Map([...rest, ...apart.names]),
    notes: [
      `The layer ${listed([`"${apart.layer}"`])} was taken for the classifier of this backbone: it is the only one that can be. It is taken to read ` +
        'the features as the backbone gives them, for no shape tells more.',
    ],
  };
}

/** What `withClassifier` is told of a model in a dict. */
interface Backbone {
  readonly shapes: Shapes;
  readonly prefix: string;
  readonly names: ReadonlyMap<string, string>;
}

interface ApartClassifier {
  /** Our names, with those that the dict has. */
  readonly names: ReadonlyMap<string, string>;
  /** The layer as the file names it. */
  readonly layer: string;
}

/**
 * The one linear layer that a backbone without a classifier can be followed by. None where it is not certain: where the
 * backbone has a pooler, or where anything else with parameters stands beside it, such as a norm or a second layer.
 */
function apartClassifier(
  { shapes, prefix, names }: Backbone,
  { name, own }: ClassifierNames,
): ApartClassifier | undefined {
  const inside = [...names.keys()];
  if (inside.some((mine) => own.test(mine) || /(?:^|\.)pooler\./.test(mine))) return undefined;
  const taken = new Set(names.values());
  const isParameter = (stored: string): boolean =>
    !besides.test(stored) && !isBuffer(stored, shapes.get(stored) ?? []);
  const beside = [...shapes.keys()].filter(
    (stored) =>
      !taken.has(stored) &&
      !isNoWeight(cleanName(stored), shapes.get(stored) ?? []) &&
      isParameter(stored),
  );
  // The nearest: an average of the whole model may stand in the same dict under a prefix of its own.
  const near = above(prefix)
    .map((outer) => beside.filter((stored) => cleanName(stored).startsWith(outer)))
    .find((found) => found.length > 0);
  const within = [...names].flatMap(([mine, stored]) => (usual.test(mine) ? [stored] : []));
  const parameters = [...(near ?? []), ...within.filter(isParameter)];
  const [weight, ...more] = parameters.filter((stored) => stored.endsWith('.weight'));
  if (weight === undefined || more.length > 0) return undefined;
  if (!usual.test(cleanName(weight)) && !isLater(prefix, cleanName(weight))) return undefined;
  if (shapes.get(weight)?.length !== 2) return undefined;
  const layer = weight.slice(0, -'.weight'.length);
  if (parameters.some((stored) => stored !== weight && stored !== `${layer}.bias`)) {
    return undefined;
  }
  return {
    layer,
    names: new Map(parameters.map((stored) => [name + stored.slice(layer.length), stored])),
  };
}

/** Whether a layer stands behind its backbone in the same Sequential, `model.1` or `model.2.1` behind `model.0.`, so that it needs no name. */
function isLater(prefix: string, weight: string): boolean {
  const [, outer, at] = /^(.*\.|)(\d+)\.$/.exec(prefix) ?? [];
  if (outer === undefined || !weight.startsWith(outer)) return false;
  const [, later] = /^(\d+)\.(?:\d+\.)?weight$/.exec(weight.slice(outer.length)) ?? [];
  return later !== undefined && Number(later) > Number(at);
}

/**
 * Such as the mean of the pixels; a parameter of a layer is called weight or bias, and one of a model has dimensions. The
 * exponent p of a generalised mean (GeM) has none, and makes other features than the average.
 */
const isBuffer = (stored: string, shape: readonly number[]): boolean =>
  !/\.(?:weight|bias|running_mean|running_var|p)$/.test(stored) && shape.length < 2;

/** `a.b.` and `a.` and `` of `a.b.c.`; of nothing itself. */
function above(prefix: string): string[] {
  const steps = prefix.split('.').slice(0, -1);
  const outer = steps.map((_, at) =>
    steps
      .slice(0, at)
      .map((step) => `${step}.`)
      .join(''),
  );
  return outer.length === 0 ? [''] : outer.reverse();
}
