// A classifier that is a Sequential with one linear layer. Norms over the batch before or behind it multiply and add numbers in inference, which
// become part of its weights.
import { type Tensor, noGrad } from '@mamba-prune/libtorch';
import { listed, printableName } from '../../printable.js';
import type { ClassifierNames } from './classifier-layers.js';

/** What PyTorch adds to the variance unless told otherwise. */
export const batchNormEps = 1e-5;

/** The layers of a Sequential by their numbers, with their tensors by the last steps of the names. */
type Layers = ReadonlyMap<number, Layer>;
type Layer = ReadonlyMap<string, Tensor>;

/**
 * The tensors of a model whose classifier is one linear layer, with a name that its layout knows. Those that are made belong to the
 * caller's scope.
 * @param called - what the classifier is called
 * @returns the same tensors where there is nothing to change, or more than one layer
 */
export function withPlainClassifier(
  tensors: ReadonlyMap<string, Tensor>,
  called: ClassifierNames | undefined,
): { readonly tensors: ReadonlyMap<string, Tensor>; readonly notes: readonly string[] } {
  if (called === undefined) return { tensors, notes: [] };
  const notes: string[] = [];
  let changed = tensors;
  for (const [stem, layers] of classifiersIn(tensors, called)) {
    const [[path, linear] = [], ...others] = [...layers].filter(([, layer]) => !isBatchNorm(layer));
    const weight = linear?.get('weight');
    if (path === undefined || others.length > 0 || weight?.ndim !== 2) continue;
    const numbered = numberedLayers(layers, path);
    const folded =
      layers.size > 1 &&
      numbered &&
      noGrad(() => fold(numbered, Number(lastStep(path)), weight, linear?.get('bias')));
    if (folded) {
      const norms = [...layers.keys()].filter((layer) => layer !== path);
      changed = replaced(changed, stem, new Map(Object.entries(folded)));
      notes.push(
        `BatchNorm ${listed(norms.map(printableName))} was multiplied into the weights of the classifier ${printableName(path)}, which compute ` +
          `the same in inference; its eps is taken to be ${batchNormEps}, and what may stand between them to be a dropout.`,
      );
    } else if (layers.size === 1 && !isKnownTo(stem, path)) {
      changed = replaced(changed, stem, linear ?? new Map<string, Tensor>());
      notes.push(
        `The layer ${printableName(path)}, the only one of the classifier with weights, was given its name.`,
      );
    }
  }
  return { tensors: changed, notes };
}

/** What comes before the names of classifiers, with their layers by their paths. */
function classifiersIn(
  tensors: ReadonlyMap<string, Tensor>,
  { name: own, own: pattern }: ClassifierNames,
): Map<string, Map<string, Map<string, Tensor>>> {
  const found = new Map<string, Map<string, Map<string, Tensor>>>();
  for (const [name, tensor] of tensors) {
    const match = name.startsWith(`${own}.`) ? undefined : pattern.exec(name);
    if (match === null) continue;
    const stem = match === undefined ? own : name.slice(0, match.index + match[0].length - 1);
    const at = name.lastIndexOf('.');
    const path = name.slice(0, at);
    const layers = found.get(stem) ?? new Map<string, Map<string, Tensor>>();
    const layer = layers.get(path) ?? new Map<string, Tensor>();
    found.set(stem, layers.set(path, layer.set(name.slice(at + 1), tensor)));
  }
  return found;
}

/** Layouts know a classifier by its name alone, and with a number or torchvision's `head` behind it. */
const isKnownTo = (stem: string, path: string): boolean =>
  /^(?:\.head)?(?:\.\d+)?$/.test(path.slice(stem.length));

/** By their numbers, which say their order; undefined where others have names. */
function numberedLayers(layers: ReadonlyMap<string, Layer>, path: string): Layers | undefined {
  const holder = path.slice(0, -lastStep(path).length);
  const all = Array.from(layers, ([name, layer]) => [name.slice(holder.length), layer] as const);
  return all.every(([step]) => /^\d{1,6}$/.test(step)) &&
    [...layers.keys()].every((name) => name.startsWith(holder))
    ? new Map(all.map(([step, layer]) => [Number(step), layer]))
    : undefined;
}

const lastStep = (path: string): string => path.slice(path.lastIndexOf('.') + 1);

/** With one layer in place of all that a classifier has. */
const replaced = (
  tensors: ReadonlyMap<string, Tensor>,
  stem: string,
  layer: Layer,
): ReadonlyMap<string, Tensor> =>
  new Map([
    ...[...tensors].filter(([name]) => !name.startsWith(`${stem}.`)),
    ...Array.from(layer, ([part, tensor]): [string, Tensor] => [`${stem}.${part}`, tensor]),
  ]);

const isBatchNorm = (layer: Layer): boolean =>
  ['running_mean', 'running_var'].every((part) => layer.get(part)?.ndim === 1);

/** In float64, so that one rounding is left; undefined where the sizes do not fit. */
function fold(
  layers: Layers,
  linear: number,
  given: Tensor,
  givenBias: Tensor | undefined,
): { readonly weight: Tensor; readonly bias: Tensor } | undefined {
  const [outputs, inputs] = given.shape as [number, number];
  let weight = given.to('float64');
  let bias = givenBias?.to('float64') ?? weight.sum([1]).mul(0);
  if (bias.ndim !== 1 || bias.size(0) !== outputs) return undefined;
  // From the linear layer outwards on either side.
  const before = [...layers.keys()].filter((number) => number < linear).sort((a, b) => b - a);
  const behind = [...layers.keys()].filter((number) => number > linear).sort((a, b) => a - b);
  for (const number of before) {
    const norm = scaleAndShift(layers.get(number), inputs);
    if (norm === undefined) return undefined;
    bias = bias.add(weight.mul(norm.shift.view(1, inputs)).sum([1]));
    weight = weight.mul(norm.scale.view(1, inputs));
  }
  for (const number of behind) {
    const norm = scaleAndShift(layers.get(number), outputs);
    if (norm === undefined) return undefined;
    bias = bias.mul(norm.scale).add(norm.shift);
    weight = weight.mul(norm.scale.view(outputs, 1));
  }
  return { weight, bias };
}

/** BN(x) = scale x + shift, with scale = weight / sqrt(var + eps) and shift = bias - mean scale. */
function scaleAndShift(
  parts: Layer | undefined,
  width: number,
): { readonly scale: Tensor; readonly shift: Tensor } | undefined {
  const [mean, variance, weight, bias] = ['running_mean', 'running_var', 'weight', 'bias'].map(
    (part) => parts?.get(part)?.to('float64'),
  );
  const all = [mean, variance, weight, bias].filter((tensor) => tensor !== undefined);
  if (!mean || !variance || all.some(({ shape }) => shape.length !== 1 || shape[0] !== width)) {
    return undefined;
  }
  const root = variance.add(batchNormEps).sqrt();
  const scale = weight ? weight.div(root) : root.pow(-1);
  const shift = mean.mul(scale).mul(-1);
  return { scale, shift: bias ? shift.add(bias) : shift };
}
