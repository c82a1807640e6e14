// A classifier that stands beside its backbone, as in `self.backbone = resnet18(); self.head = Linear(512, 10)`, or under another
// name than the layout has for it.
import { FormatError } from '@mamba-prune/libtorch';
import { listed } from '../../printable.js';
import {
  type Backbone,
  type ClassifierNames,
  isBatchNorm,
  isInside,
  isOfLinear,
  isParameter,
  layerOf,
  layerText,
  numberOf,
  otherwise,
  parametersBeside,
  partsOf,
} from './classifier-layers.js';
import type { Shapes } from './layout.js';
import { cleanName } from './names.js';
import { besideAdvice, severalAdvice } from './classifier-advice.js';
import { namedClassifier } from './named-classifier.js';

/** What people call the last layer, alone or the only one with weights in a Sequential. */
const usual =
  /(?:^|\.)(?:fc|cls|head|heads|linear|classifier|classifier_head|cls_head|class_head|last_linear|logits|out|output|output_layer|new_fc)(?:\.(?:\d+|fc|head|linear|classifier))?\.(weight|bias|running_mean|running_var)$/;

/**
 * Names of a model, with those of the classifier that its backbone is followed by, where it has none of its own.
 *
 * @param backbone - the model in the dict
 * @param calledOf - what the classifier of a model of such shapes is called
 * @param asked - what the caller said of it
 * @throws FormatError where a classifier stands beside a model that has one, which is not what the caller asked for;
 *   UsageError for a classifier that there is not
 */
export function withClassifier(
  backbone: Backbone,
  calledOf: (shapes: Shapes) => ClassifierNames | undefined,
  asked: Asked = {},
): ClassifiedNames {
  const { shapes, names } = backbone;
  const own = new Map(Array.from(names, ([name, stored]) => [name, shapes.get(stored) ?? []]));
  const called = calledOf(own);
  if (called === undefined) {
    return { names, notes: [], advice: [] };
  }
  const beside = parametersBeside(backbone);
  if (asked.classifier !== undefined) {
    return { ...namedClassifier(backbone, called, beside, asked.classifier), advice: [] };
  }
  if ([...own.keys()].some((mine) => called.own.test(mine))) {
    if (asked.isModel !== true) refuseSecond(backbone, called, beside);
    return { names, notes: [], advice: severalAdvice(backbone, called) };
  }
  const apart = apartClassifier(backbone, called, beside);
  if (apart === undefined) return { names, notes: [], advice: besideAdvice(backbone, beside) };
  // With what they count (num_batches_tracked), which nothing reads.
  const moved = new Set([...apart.names.values()].map(layerOf));
  const rest = [...names].filter(([, stored]) => !moved.has(layerOf(stored)));
  return {
    names: new Map([...rest, ...apart.names]),
    notes: [
      `The layer ${listed([`"${apart.layer}"`])} was taken for the classifier of this backbone: it is the only one that can be. It is taken to read ` +
        `the features as the backbone gives them${apart.isNumbered ? ', or through a dropout' : ''}, for no shape tells more.`,
      ...apart.notes,
    ],
    advice: [],
  };
}

/** The model's names, with those of the dict. */
interface ClassifiedNames {
  readonly names: ReadonlyMap<string, string>;
  /** Whole sentences on what was taken. */
  readonly notes: readonly string[];
  /** Whole sentences for whoever hears that the model cannot be read. */
  readonly advice: readonly string[];
}

/** What the caller said of the classifier of a model. */
export interface Asked {
  /** Whether this very model was named. */
  readonly isModel?: boolean;
  /** As the option of that name. */
  readonly classifier?: string | undefined;
}

interface ApartClassifier {
  /** Our names, with those that the dict has. */
  readonly names: ReadonlyMap<string, string>;
  /** The layer as the file names it. */
  readonly layer: string;
  /** Whether it has a number, and others without weights may stand before it. */
  readonly isNumbered: boolean;
  /** On norms beside it, in whole sentences. */
  readonly notes: readonly string[];
}

/**
 * The one linear layer that a backbone without a classifier can be followed by, with norms over the batch in its Sequential, or beside it where
 * their width tells on which side they stand. None where it is not certain: where the backbone has a pooler, or where anything else with
 * parameters stands beside it, such as a second layer.
 */
function apartClassifier(
  { shapes, prefix, names }: Backbone,
  { name }: ClassifierNames,
  beside: readonly string[],
): ApartClassifier | undefined {
  if ([...names.keys()].some((mine) => /(?:^|\.)pooler\./.test(mine))) return undefined;
  const norms = besideNorms(names);
  const within = [...names].flatMap(([mine, stored]) =>
    usual.test(mine) || norms.has(layerOf(stored)) ? [stored] : [],
  );
  const parameters = [...beside, ...within.filter((stored) => isParameter(stored, shapes))];
  const layers = [...new Set(parameters.map(layerOf))];
  const [layer, ...more] = layers.filter(
    (each) =>
      shapes.get(`${each}.weight`)?.length === 2 && partsOf(each, parameters).every(isOfLinear),
  );
  if (layer === undefined || more.length > 0 || !isNamed(prefix, cleanName(layer)))
    return undefined;
  const others = layers.filter((each) => each !== layer);
  if (!others.every((norm) => isBatchNorm(partsOf(norm, parameters)))) return undefined;
  const isNumbered = numberOf(layer) !== undefined;
  const areInSequential = others.every(
    (norm) => isNumbered && numberOf(norm) !== undefined && layerOf(norm) === layerOf(layer),
  );
  const order = areInSequential ? undefined : orderByWidth(layer, others, shapes);
  if (!areInSequential && order === undefined) return undefined;
  const called = (own: string): string =>
    others.length === 0 ? name : `${name}.${order?.indexOf(own) ?? numberOf(own) ?? ''}`;
  return {
    layer,
    isNumbered,
    names: new Map(
      parameters.map((stored) => {
        const own = layerOf(stored);
        return [called(own) + stored.slice(own.length), stored];
      }),
    ),
    notes: order === undefined ? [] : [orderNote(layer, order, shapes)],
  };
}

/** Norms over the batch among the names of a model that has none in its blocks: those of a class around it, whose prefix the model's names keep. */
function besideNorms(names: Backbone['names']): ReadonlySet<string> {
  const means = [...names].filter(([name]) => name.endsWith('.running_mean'));
  return new Set(
    means.some(([name]) => isInside(name)) ? [] : means.map(([, stored]) => layerOf(stored)),
  );
}

/** The layer and norms in the order in which they run, as far as there is one norm of the width of its inputs, and one of its outputs. */
function orderByWidth(
  layer: string,
  norms: readonly string[],
  shapes: Shapes,
): readonly string[] | undefined {
  const [outputs, inputs] = shapes.get(`${layer}.weight`) ?? [];
  const widthOf = (norm: string): number | undefined => shapes.get(`${norm}.running_mean`)?.[0];
  const before = norms.filter((norm) => widthOf(norm) === inputs);
  const behind = norms.filter((norm) => widthOf(norm) === outputs);
  const isCertain =
    inputs !== outputs &&
    before.length < 2 &&
    behind.length < 2 &&
    before.length + behind.length === norms.length;
  return isCertain ? [...before, layer, ...behind] : undefined;
}

function orderNote(layer: string, order: readonly string[], shapes: Shapes): string {
  const at = order.indexOf(layer);
  const sides = order
    .filter((each) => each !== layer)
    .map(
      (norm) => `${layerText(norm, shapes)} ${order.indexOf(norm) < at ? 'before' : 'behind'} it`,
    );
  return (
    `No tensor tells in which order layers run: the BatchNorm ${listed(sides)} is taken to run where its width fits, with nothing ` +
    `between them but a dropout. \`classifier\` names the layers that run, in their order.`
  );
}

/** Whether a layer can be a classifier by its name, or by its place behind the backbone. */
function isNamed(prefix: string, layer: string): boolean {
  const weight = `${layer}.weight`;
  if (usual.test(weight) || isLater(prefix, weight)) return true;
  // In the Sequential of the backbone, and not behind it.
  const outer = /^(.*\.|)\d+\.$/.exec(prefix)?.[1];
  if (outer !== undefined && layer.startsWith(outer)) return false;
  return !otherwise.test(layer);
}

/** A classifier beside a model that has one of its own: no tensor tells which of them the forward pass reads, or whether both. */
function refuseSecond(
  { shapes, names, others, key }: Backbone,
  { own }: ClassifierNames,
  beside: readonly string[],
): void {
  const first = [...names].find(
    ([name, stored]) =>
      own.test(name) && name.endsWith('.weight') && shapes.get(stored)?.length === 2,
  )?.[1];
  if (first === undefined) return;
  const [outputs, inputs] = shapes.get(first) ?? [];
  const second = beside.find((stored) => {
    const shape = shapes.get(stored) ?? [];
    const reads = shape[1] === outputs || shape[1] === inputs;
    if (others?.has(stored) === true) return false;
    return (
      stored.endsWith('.weight') && shape.length === 2 && reads && usual.test(cleanName(stored))
    );
  });
  if (second === undefined) return;
  const [mine, other] = [first, second].map((stored) => listed([`'${layerOf(stored)}'`]));
  throw new FormatError(
    `import: got ${described(first, shapes)} as the classifier of a model, and ${described(second, shapes)} beside it, expected one classifier: no tensor tells ` +
      `whether the forward pass reads the one, the other or both in turn. Give \`classifier\` ${mine} or ${other} if it reads that one alone; if both in turn, ` +
      `replace them by one layer. To take the model with the classifier of its own, \`key\` ${key} does too.`,
  );
}

const described = (stored: string, shapes: Shapes): string =>
  `${listed([`'${stored}'`])} of shape [${(shapes.get(stored) ?? []).join(', ')}]`;

/** Whether a layer stands behind its backbone in the same Sequential, `model.1` or `model.2.1` behind `model.0.`, so that it needs no name. */
function isLater(prefix: string, weight: string): boolean {
  const [, outer, at] = /^(.*\.|)(\d+)\.$/.exec(prefix) ?? [];
  if (outer === undefined || !weight.startsWith(outer)) return false;
  const [, later] = /^(\d+)\.(?:\d+\.)?weight$/.exec(weight.slice(outer.length)) ?? [];
  return later !== undefined && Number(later) > Number(at);
}
