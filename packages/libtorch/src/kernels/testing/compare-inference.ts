// The whole-block operators of ViT and ResNet against the single operators in float64.
import {
  F,
  type Tensor,
  getNumThreads,
  manualSeed,
  noGrad,
  ops,
  randn,
  scope,
  setNumThreads,
} from '../../index.js';
import * as kernels from '../index.js';
import type { Worst } from '../../nn/testing/compare-kernels.js';

export interface VitCase {
  readonly batch: number;
  readonly length: number;
  readonly model: number;
  readonly heads: number;
  readonly headDim: number;
  readonly hidden: number;
}

// Widths below, at and beyond a register and a panel of any instruction set (4 to 32 columns); lengths
// beyond the queries that are scored at a time (48); more neurons than are computed at a time (384); one image, fewer and
// more images than threads.
export const vitCases: readonly VitCase[] = [
  { batch: 1, length: 1, model: 1, heads: 1, headDim: 1, hidden: 1 },
  { batch: 1, length: 7, model: 5, heads: 2, headDim: 3, hidden: 9 },
  { batch: 1, length: 65, model: 96, heads: 3, headDim: 32, hidden: 115 },
  { batch: 2, length: 50, model: 33, heads: 1, headDim: 17, hidden: 801 },
  { batch: 5, length: 101, model: 24, heads: 5, headDim: 8, hidden: 31 },
];

export interface VitParts extends kernels.VitBlockWeights {
  /** The matrices as they are before packing, [out, in]. */
  readonly matrices: Record<'qkv' | 'proj' | 'fc1' | 'fc2', Tensor>;
}

export function vitInputs(c: VitCase): {
  x: Tensor;
  weights: VitParts;
  sizes: kernels.VitBlockSizes;
} {
  const { model, heads, headDim, hidden } = c;
  const inner = heads * headDim;
  const matrix = (rows: number, columns: number): Tensor =>
    randn([rows, columns]).div(Math.sqrt(columns));
  const near = (size: number, value: number): Tensor => randn([size]).mul(0.1).add(value);
  const matrices = {
    qkv: matrix(3 * inner, model).mul(2), // so that softmax has something to choose
    proj: matrix(model, inner),
    fc1: matrix(hidden, model),
    fc2: matrix(model, hidden),
  };
  const packed = (weight: Tensor): Tensor => kernels.packWeights(weight.unsqueeze(0));
  return {
    x: randn([c.batch, c.length, model]),
    sizes: { heads, headDim, eps: 1e-6 },
    weights: {
      matrices,
      norm1Weight: near(model, 1),
      norm1Bias: near(model, 0),
      qkv: packed(matrices.qkv),
      qkvBias: near(3 * inner, 0),
      proj: packed(matrices.proj),
      projBias: near(model, 0),
      norm2Weight: near(model, 1),
      norm2Bias: near(model, 0),
      fc1: packed(matrices.fc1),
      fc1Bias: near(hidden, 0),
      fc2: packed(matrices.fc2),
      fc2Bias: near(model, 0),
    },
  };
}

/** The same block from single operators, in float64. */
function plainVitBlock(x32: Tensor, w: VitParts, { heads, headDim, eps }: kernels.VitBlockSizes) {
  const exact = (t: Tensor): Tensor => t.to('float64');
  const x = exact(x32);
  const [batch, length, model] = x.shape as [number, number, number];
  const norm = (of: Tensor, weight: Tensor, bias: Tensor): Tensor =>
    F.layerNorm(of, [model], { weight: exact(weight), bias: exact(bias), eps });
  const linear = (of: Tensor, matrix: keyof VitParts['matrices'], bias: Tensor): Tensor =>
    of.matmul(exact(w.matrices[matrix]).t()).add(exact(bias));
  const [q, k, v] = linear(norm(x, w.norm1Weight, w.norm1Bias), 'qkv', w.qkvBias)
    .view(batch, length, 3, heads, headDim)
    .permute(2, 0, 3, 1, 4)
    .unbind(0) as [Tensor, Tensor, Tensor];
  const scores = q.matmul(k.transpose(-2, -1)).div(Math.sqrt(headDim));
  const seen = scores.softmax(-1).matmul(v).transpose(1, 2).reshape(batch, length, -1);
  const middle = x.add(linear(seen, 'proj', w.projBias));
  const hidden = linear(norm(middle, w.norm2Weight, w.norm2Bias), 'fc1', w.fc1Bias).gelu();
  return middle.add(linear(hidden, 'fc2', w.fc2Bias));
}

export interface ConvCase {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
  /** Of the input and after each convolution. */
  readonly channels: readonly number[];
  readonly kernels: readonly number[];
  /** Of the first convolution whose kernel is not 1, and of a projected shortcut. */
  readonly stride: number;
  readonly shortcut: kernels.Shortcut;
}

// Channels as the widths above; images that are no multiple of the squares, narrower than a kernel, and larger than
// what is computed at a time; blocks of both kinds, stems, and every shortcut.
export const convCases: readonly ConvCase[] = [
  { batch: 1, height: 1, width: 1, channels: [1, 1], kernels: [3], stride: 1, shortcut: 'none' },
  { batch: 1, height: 9, width: 6, channels: [3, 19], kernels: [7], stride: 2, shortcut: 'none' },
  {
    batch: 1,
    height: 11,
    width: 14,
    channels: [16, 5, 16],
    kernels: [3, 3],
    stride: 1,
    shortcut: 'identity',
  },
  {
    batch: 5,
    height: 32,
    width: 32,
    channels: [8, 33, 24],
    kernels: [3, 3],
    stride: 2,
    shortcut: 'projected',
  },
  {
    batch: 3,
    height: 2,
    width: 5,
    channels: [40, 7, 17, 40],
    kernels: [1, 3, 1],
    stride: 1,
    shortcut: 'identity',
  },
];

interface PlainConvolution {
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly kernel: number;
  readonly stride: number;
}

export function convInputs(c: ConvCase): { x: Tensor; convolutions: PlainConvolution[] } {
  const { channels, kernels, stride, shortcut } = c;
  const of = (from: number, to: number, kernel: number, step: number): PlainConvolution => ({
    weight: randn([to, from, kernel, kernel]).div(kernel * Math.sqrt(from)),
    bias: randn([to]),
    kernel,
    stride: step,
  });
  const strided = kernels.findIndex((kernel) => kernel !== 1);
  const convolutions = kernels.map((kernel, i) =>
    of(channels[i] as number, channels[i + 1] as number, kernel, i === strided ? stride : 1),
  );
  const beside = of(channels[0] as number, channels.at(-1) as number, 1, stride);
  return {
    x: randn([c.batch, c.height, c.width, channels[0] as number]),
    convolutions: shortcut === 'projected' ? [...convolutions, beside] : convolutions,
  };
}

/** As the operator takes them; the form is used where it can be. */
export function packedConvolutions(
  convolutions: readonly PlainConvolution[],
  form: kernels.ConvolutionForm,
): kernels.PackedConvolution[] {
  return convolutions.map(({ weight, kernel, stride, bias }) => {
    const fits = kernel === 3 && stride === 1;
    return { weight: kernels.packConvolution(weight, fits ? form : 0), bias, kernel, stride };
  });
}

/** The same block from single operators, in float64. */
function plainConvBlock(
  x: Tensor,
  convolutions: readonly PlainConvolution[],
  shortcut: kernels.Shortcut,
): Tensor {
  const apply = (of: Tensor, { weight, bias, kernel, stride }: PlainConvolution): Tensor =>
    ops.conv2d(of, weight.to('float64'), bias.to('float64'), stride, kernel >> 1);
  const input = x.to('float64').permute(0, 3, 1, 2);
  const chain = shortcut === 'projected' ? convolutions.slice(0, -1) : convolutions;
  let y = input;
  chain.forEach((conv, i) => {
    y = apply(y, conv);
    if (i < chain.length - 1) y = y.relu();
  });
  if (shortcut === 'identity') y = y.add(input);
  if (shortcut === 'projected') y = y.add(apply(input, convolutions.at(-1) as PlainConvolution));
  return y.relu().permute(0, 2, 3, 1);
}

interface Compared {
  readonly name: string;
  readonly fused: () => Tensor;
  readonly exact: () => Tensor;
}

function allCases(): Compared[] {
  const vit = vitCases.map((test): Compared => {
    const { x, weights, sizes } = vitInputs(test);
    return {
      name: `vitBlock ${JSON.stringify(test)}`,
      fused: () => kernels.vitBlock(x, weights, sizes),
      exact: () => plainVitBlock(x, weights, sizes),
    };
  });
  const conv = convCases.flatMap((test) => {
    const { x, convolutions } = convInputs(test);
    return ([0, 2, 4] as const).map((form): Compared => {
      const packed = packedConvolutions(convolutions, form);
      return {
        name: `convBlock form ${form} ${JSON.stringify(test)}`,
        fused: () => kernels.convBlock(x, packed, test.shortcut),
        exact: () => plainConvBlock(x, convolutions, test.shortcut),
      };
    });
  });
  return [...vit, ...conv];
}

/** Largest error of an operator relative to its largest output, and cases that depend on the number of threads. */
export function compareInference(): Worst & { readonly threads: string[] } {
  manualSeed(15);
  const before = getNumThreads();
  let worst: Worst = { error: -1, at: 'no case' };
  const threads: string[] = [];
  scope(() => {
    noGrad(() => {
      for (const { name, fused, exact } of allCases()) {
        const [one, ...others] = [1, 2, 3].map((count) => {
          setNumThreads(count);
          return fused();
        }) as [Tensor, ...Tensor[]];
        if (others.some((other) => !other.equal(one))) threads.push(name);
        const right = exact();
        const difference = one.to('float64').sub(right).abs().max().item();
        const error = difference / Math.max(right.abs().max().item(), 1e-3);
        if (!(error <= worst.error)) worst = { error, at: name };
      }
    });
  });
  setNumThreads(before);
  return { ...worst, threads };
}
