// Cases for the kernels, over sizes that fit no vector register, layouts in memory and options.
import { F, type Tensor, randn } from '../../index.js';
import {
  type Arguments,
  given,
  plainBiasGelu,
  plainConv,
  plainRmsNorm,
  plainScan,
} from './plain-kernels.js';

/**
 * How an argument lies in memory. `narrowed`: a view of longer rows, as the halves of in_proj are.
 * `interleaved`: even the last dimension has a stride; gradients come in with strides of 0.
 */
const layouts = ['contiguous', 'narrowed', 'interleaved'] as const;
export type Layout = (typeof layouts)[number];

export interface KernelCase {
  readonly name: string;
  readonly layout: Layout;
  /** float64, contiguous */
  readonly inputs: () => Arguments;
  readonly kernel: (of: Arguments) => Tensor[];
  readonly plain: (of: Arguments) => Tensor[];
  /** The outputs that gradients come in by. */
  readonly used: readonly number[];
}

const random = (...shape: number[]): Tensor => randn(shape, { dtype: 'float64' });

interface ScanShape {
  readonly batch: number;
  readonly length: number;
  readonly channels: number;
  readonly states: number;
}

const scanOptions = ['D', 'z', 'deltaBias', 'initialState', 'softplus'] as const;

/** @param bits - which of the five options are given */
export function scanCase(
  { batch, length, channels, states }: ScanShape,
  bits: number,
  layout: Layout,
  used: readonly number[],
): KernelCase {
  const on = scanOptions.filter((_, i) => (bits >> i) & 1);
  const softplus = on.includes('softplus');
  const optional: Record<string, () => Tensor> = {
    D: () => random(channels),
    z: () => random(batch, length, channels),
    deltaBias: () => (softplus ? random(channels) : random(channels).abs()),
    initialState: () => random(batch, channels, states),
  };
  return {
    name: `scan ${batch}x${length}x${channels}x${states} ${on.join('+')} ${layout} by ${used.join('+')}`,
    layout,
    used,
    inputs: () => ({
      u: random(batch, length, channels),
      // Both branches of softplus, which is linear above 20; negative steps make no sense without it.
      delta: softplus
        ? random(batch, length, channels).mul(10)
        : random(batch, length, channels).abs(),
      A: random(channels, states).exp().neg(),
      B: random(batch, length, states),
      C: random(batch, length, states),
      ...Object.fromEntries(
        Object.entries(optional).flatMap(([name, make]) =>
          (on as readonly string[]).includes(name) ? [[name, make()]] : [],
        ),
      ),
    }),
    kernel: (of) => {
      const [u, delta, A] = [given(of, 'u'), given(of, 'delta'), given(of, 'A')];
      const { D = null, z = null, deltaBias = null, initialState = null } = of;
      const { y, lastState } = F.selectiveScan(u, delta, A, given(of, 'B'), given(of, 'C'), {
        D,
        z,
        deltaBias,
        initialState,
        deltaSoftplus: softplus,
      });
      return [y, lastState];
    },
    plain: (of) => plainScan(of, softplus),
  };
}

export function convCase(
  [batch, length, channels, taps]: readonly [number, number, number, number],
  options: { readonly bias: boolean; readonly silu: boolean },
  layout: Layout,
): KernelCase {
  const { bias, silu } = options;
  return {
    name: `conv ${batch}x${length}x${channels} taps ${taps} ${JSON.stringify(options)} ${layout}`,
    layout,
    used: [0],
    inputs: () => ({
      x: random(batch, length, channels),
      weight: random(channels, 1, taps),
      ...(bias && { bias: random(channels) }),
    }),
    kernel: (of) => [
      F.causalConv1d(given(of, 'x'), given(of, 'weight'), { bias: of.bias ?? null, silu }),
    ],
    plain: (of) => [plainConv(of, silu)],
  };
}

export function geluCase(shape: readonly number[], layout: Layout): KernelCase {
  return {
    name: `gelu ${shape.join('x')} ${layout}`,
    layout,
    used: [0],
    // Wide enough for both tails.
    inputs: () => ({ x: random(...shape).mul(3), bias: random(shape.at(-1) ?? 1) }),
    kernel: (of) => [F.biasGelu(given(of, 'x'), given(of, 'bias'))],
    plain: (of) => [plainBiasGelu(of)],
  };
}

export function rmsCase(shape: readonly number[], layout: Layout): KernelCase {
  // Of a row of one number the gradient is all cancellation, down to eps / (x² + eps) of its terms: a large one leaves digits.
  const eps = 0.5;
  return {
    name: `rms ${shape.join('x')} ${layout}`,
    layout,
    used: [0],
    inputs: () => ({ x: random(...shape), weight: random(shape.at(-1) ?? 1) }),
    kernel: (of) => [F.rmsNorm(given(of, 'x'), given(of, 'weight'), { eps })],
    plain: (of) => [plainRmsNorm(of, eps)],
  };
}

/** Every size with some options, and every combination of options with one size. */
export function allCases(): KernelCase[] {
  const cases: KernelCase[] = [];
  const layoutOf = (i: number): Layout => layouts[i % layouts.length] ?? 'contiguous';
  const usedOf = (i: number): number[] => [[0], [0, 1], [1]][i % 3] ?? [0];
  // A chunk of the scan is 16 steps long.
  for (const length of [1, 16, 19]) {
    for (const channels of [1, 5, 13, 19]) {
      for (const states of [1, 3, 8, 16, 64]) {
        const i = cases.length;
        const shape = { batch: 1 + (i % 2), length, channels, states };
        cases.push(scanCase(shape, (i * 7) % 32, layoutOf(i), usedOf(Math.floor(i / 3))));
      }
    }
  }
  cases.push(scanCase({ batch: 3, length: 50, channels: 37, states: 16 }, 31, 'narrowed', [0, 1]));
  for (let bits = 0; bits < 32; bits++) {
    const shape = { batch: 2, length: 5, channels: 5, states: 3 };
    cases.push(scanCase(shape, bits, layoutOf(bits), usedOf(Math.floor(bits / 3))));
  }
  for (const length of [1, 2, 19]) {
    for (const channels of [1, 5, 13, 19]) {
      for (const taps of [1, 2, 3, 4, 8]) {
        const i = cases.length;
        const options = { bias: i % 2 === 0, silu: i % 4 < 2 };
        cases.push(convCase([1 + (i % 2), length, channels, taps], options, layoutOf(i)));
      }
    }
  }
  for (const shape of [[1], [5], [3, 13], [2, 3, 19], [64, 37]]) {
    for (const layout of layouts) cases.push(geluCase(shape, layout), rmsCase(shape, layout));
  }
  return cases;
}
