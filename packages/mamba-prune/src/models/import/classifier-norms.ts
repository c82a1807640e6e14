// Norms over the batch before or behind a classifier, in its Sequential: in inference each multiplies and adds numbers, which become part
// of the classifier's weights.
import { type Tensor, noGrad } from '@mamba-prune/libtorch';
import { printableName } from '../../printable.js';
import { listed } from '../config-checks.js';
import type { ClassifierNames } from './apart-classifier.js';

/** What PyTorch adds to the variance unless told otherwise. */
export const batchNormEps = 1e-5;

/** The layers of a Sequential by their numbers, with their tensors by the last steps of the names. */
type Layers = ReadonlyMap<number, ReadonlyMap<string, Tensor>>;

/**
 * The tensors of a model whose classifier is one linear layer. Those that are made belong to the caller's scope.
 * @param called - what the classifier is called
 * @returns the same tensors where its Sequential has no norms, or more than one other layer
 */
export function foldClassifierNorms(
  tensors: ReadonlyMap<string, Tensor>,
  called: ClassifierNames | undefined,
): { readonly tensors: ReadonlyMap<string, Tensor>; readonly notes: readonly string[] } {
  const found = called && sequentialOf(tensors, called);
  if (!found) return { tensors, notes: [] };
  const { holder, layers, linear } = found;
  const parts = layers.get(linear);
  const weight = parts?.get('weight');
  if (weight === undefined) return { tensors, notes: [] };
  const folded = noGrad(() => fold(layers, linear, weight, parts?.get('bias')));
  if (folded === undefined) return { tensors, notes: [] };
  const rest = [...tensors].filter(([name]) => !name.startsWith(`${holder}.`));
  const norms = [...layers.keys()].filter((number) => number !== linear);
  // Of a classifier that stood beside its backbone the number says nothing more.
  const name = holder === called.name ? holder : `${holder}.${linear}`;
  return {
    tensors: new Map([
      ...rest,
      [`${name}.weight`, folded.weight],
      [`${name}.bias`, folded.bias],
    ]),
    notes: [
      `BatchNorm ${listed(norms.map((number) => printableName(`${holder}.${number}`)))} was multiplied into the weights of the classifier ${printableName(`${holder}.${linear}`)}, ` +
        `which compute the same in inference; its eps is taken to be ${batchNormEps}, and what may stand between them to be a dropout.`,
    ],
  };
}

/** The Sequential in which the classifier has norms; undefined where there is none, or where something else has weights in it. */
function sequentialOf(
  tensors: ReadonlyMap<string, Tensor>,
  { name: own, own: pattern }: ClassifierNames,
): { readonly holder: string; readonly layers: Layers; readonly linear: number } | undefined {
  const holders = new Map<string, Map<number, Map<string, Tensor>>>();
  for (const [name, tensor] of tensors) {
    if (!pattern.test(name) && !name.startsWith(`${own}.`)) continue;
    const [, holder, number, part] = /^(.+)\.(\d+)\.(\w+)$/.exec(name) ?? [];
    if (holder === undefined || part === undefined) continue;
    const layers = holders.get(holder) ?? new Map<number, Map<string, Tensor>>();
    const layer = layers.get(Number(number)) ?? new Map<string, Tensor>();
    holders.set(holder, layers.set(Number(number), layer.set(part, tensor)));
  }
  for (const [holder, layers] of holders) {
    const others = [...layers].filter(([, parts]) => !isBatchNorm(parts));
    const [[linear, parts] = []] = others;
    if (others.length !== 1 || layers.size < 2 || linear === undefined) continue;
    if (parts?.get('weight')?.ndim === 2) return { holder, layers, linear };
  }
  return undefined;
}

const isBatchNorm = (parts: ReadonlyMap<string, Tensor>): boolean =>
  ['running_mean', 'running_var'].every((part) => parts.get(part)?.ndim === 1);

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
  parts: ReadonlyMap<string, Tensor> | undefined,
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
