// A classifier that stands beside its backbone, as in `self.backbone = resnet18(); self.head = Linear(512, 10)`, or under another
// name than the layout has for it.
import { FormatError } from '@mamba-prune/libtorch';
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
  /(?:^|\.)(?:fc|cls|head|heads|linear|classifier|classifier_head|cls_head|class_head|last_linear|logits|out|output|output_layer|new_fc)(?:\.(?:\d+|fc|head|linear|classifier))?\.(weight|bias|running_mean|running_var)$/;

/** What layers beside a backbone are called that read its features for something else than the classes. */
const otherwise =
  /(?:^|[._])(?:proj\w*|emb\w*|decoder|reduc\w*|bottleneck|rot\w*|domain\w*|aux\w*|neck|mask\w*|pretext\w*|adv\w*|discriminator|prototypes?|critic|attn\w*|attention\w*|regress\w*|bbox\w*|box\w*|before|pre_?(?:logits|head))(?:[._]|$)/i;

/** What is no parameter that a forward pass of the model reads. */
const besides = /(?:^|\.)(?:num_batches_tracked|\w*(?:loss|criterion|metric)\w*)(?:\.|$)/i;

/**
 * Names of a model, with those of the classifier that its backbone is followed by, where it has none of its own.
 *
 * @param shapes - of all tensors of the file's dict
 * @param prefix - what the model's names begin with there, a point at the end
 * @param names - the model's names, with those of the dict
 * @param calledOf - what the classifier of a model of such shapes is called
 * @param isAskedFor - whether the caller named this very model
 * @returns the names, and whole sentences on what was taken
 * @throws FormatError where a classifier stands beside a model that has one, which is not what the caller asked for
 */
export function withClassifier(
  backbone: Backbone,
  calledOf: (shapes: Shapes) => ClassifierNames | undefined,
  isAskedFor = false,
): { readonly names: ReadonlyMap<string, string>; readonly notes: readonly string[] } {
  const { shapes, names } = backbone;
  const own = new Map(Array.from(names, ([name, stored]) => [name, shapes.get(stored) ?? []]));
  const called = calledOf(own);
  if (called === undefined) return { names, notes: [] };
  const beside = parametersBeside(backbone);
  if ([...own.keys()].some((mine) => called.own.test(mine))) {
    if (!isAskedFor) refuseSecond(backbone, called, beside);
    return { names, notes: [] };
  }
  const apart = apartClassifier(backbone, called, beside);
  if (apart === undefined) return { names, notes: besideNotes(backbone, beside) };
  const moved = new Set(apart.names.values());
  const rest = [...names].filter(([, stored]) => !moved.has(stored));
  return {
    names: new Map([...rest, ...apart.names]),
    notes: [
      `The layer ${listed([`"${apart.layer}"`])} was taken for the classifier of this backbone: it is the only one that can be. It is taken to read ` +
        `the features as the backbone gives them${apart.isNumbered ? ', or through a dropout' : ''}, for no shape tells more.`,
    ],
  };
}

/** What `withClassifier` is told of a model in a dict. */
interface Backbone {
  readonly shapes: Shapes;
  readonly prefix: string;
  readonly names: ReadonlyMap<string, string>;
  /** What the caller may choose it by, for messages. */
  readonly key: string;
  /** Tensors of other models in the dict. */
  readonly others?: ReadonlySet<string>;
}

interface ApartClassifier {
  /** Our names, with those that the dict has. */
  readonly names: ReadonlyMap<string, string>;
  /** The layer as the file names it. */
  readonly layer: string;
  /** Whether it has a number, and others without weights may stand before it. */
  readonly isNumbered: boolean;
}

/** Parameters beside a model, the nearest alone: an average of the whole model may stand in the same dict under a prefix of its own. */
function parametersBeside({ shapes, prefix, names }: Backbone): readonly string[] {
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

const isParameter = (stored: string, shapes: Shapes): boolean =>
  !besides.test(stored) && !isBuffer(stored, shapes.get(stored) ?? []);

/** The module that a tensor lies in. */
const layerOf = (stored: string): string => stored.replace(/\.?[^.]*$/, '');

/** Which of the modules of a Sequential it is; undefined for one that has no number. */
const numberOf = (layer: string): string | undefined => /\.(\d+)$/.exec(layer)?.[1];

/**
 * The one linear layer that a backbone without a classifier can be followed by, with norms over the batch in its Sequential. None where it
 * is not certain: where the backbone has a pooler, or where anything else with parameters stands beside it, such as a second layer.
 */
function apartClassifier(
  { shapes, prefix, names }: Backbone,
  { name }: ClassifierNames,
  beside: readonly string[],
): ApartClassifier | undefined {
  if ([...names.keys()].some((mine) => /(?:^|\.)pooler\./.test(mine))) return undefined;
  const within = [...names].flatMap(([mine, stored]) => (usual.test(mine) ? [stored] : []));
  const parameters = [...beside, ...within.filter((stored) => isParameter(stored, shapes))];
  const layers = [...new Set(parameters.map(layerOf))];
  const [layer, ...more] = layers.filter(
    (each) =>
      shapes.get(`${each}.weight`)?.length === 2 && partsOf(each, parameters).every(isOfLinear),
  );
  if (layer === undefined || more.length > 0 || !isNamed(prefix, cleanName(layer)))
    return undefined;
  const norms = layers.filter((each) => each !== layer);
  const isNumbered = numberOf(layer) !== undefined;
  const areNorms = norms.every(
    (norm) =>
      isNumbered &&
      numberOf(norm) !== undefined &&
      layerOf(norm) === layerOf(layer) &&
      isBatchNorm(partsOf(norm, parameters)),
  );
  if (!areNorms) return undefined;
  const called = (stored: string): string => {
    const own = layerOf(stored);
    return norms.length === 0 ? name : `${name}.${numberOf(own) ?? ''}`;
  };
  return {
    layer,
    isNumbered,
    names: new Map(
      parameters.map((stored) => [called(stored) + stored.slice(layerOf(stored).length), stored]),
    ),
  };
}

/** The last steps of the names of a layer's tensors. */
const partsOf = (layer: string, parameters: readonly string[]): string[] =>
  parameters
    .filter((stored) => layerOf(stored) === layer)
    .map((stored) => stored.slice(layer.length + 1));

const isOfLinear = (part: string): boolean => part === 'weight' || part === 'bias';

const isBatchNorm = (parts: readonly string[]): boolean =>
  parts.includes('running_mean') && parts.includes('running_var');

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
  throw new FormatError(
    `import: got ${described(first, shapes)} as the classifier of a model, and ${described(second, shapes)} beside it, expected one classifier: no tensor tells ` +
      `whether the forward pass reads the one, the other or both in turn. If it reads ${listed([`'${layerOf(second)}'`])} alone, replace ` +
      `${listed([`'${layerOf(first)}'`])} by torch.nn.Identity() and save the model again; if both in turn, replace them by one layer. ` +
      `To take the model with the classifier of its own, give \`key\` ${key}.`,
  );
}

const described = (stored: string, shapes: Shapes): string =>
  `${listed([`'${stored}'`])} of shape [${(shapes.get(stored) ?? []).join(', ')}]`;

/** What stands beside a backbone for which no classifier was found. */
function besideNotes({ shapes, others }: Backbone, beside: readonly string[]): string[] {
  const weights = beside.filter(
    (stored) => stored.endsWith('.weight') && others?.has(stored) !== true,
  );
  if (weights.length === 0) return [];
  const list = weights.map((stored) => `${stored} [${(shapes.get(stored) ?? []).join(', ')}]`);
  return [
    `Beside the backbone lie ${listed(list)}: only one linear layer, alone or with BatchNorm in its Sequential, is taken for a classifier, ` +
      'unless its name tells of something else. Of several, save the backbone with one of them alone.',
  ];
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
