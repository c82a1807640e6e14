// The whole-block operator against the single operators, which have tests of their own.
import {
  F,
  type Tensor,
  getNumThreads,
  manualSeed,
  noGrad,
  rand,
  randn,
  scope,
  setNumThreads,
} from '../../index.js';
import * as kernels from '../index.js';
import type { Worst } from '../../nn/testing/compare-kernels.js';

export interface BlockCase {
  readonly batch: number;
  readonly length: number;
  readonly model: number;
  readonly inner: number;
  readonly states: number;
  readonly rank: number;
  readonly taps: number;
  readonly hidden: number;
}

// Widths below, at and beyond every register and panel; depths beyond one packed part (256); one
// sample, fewer and more samples than threads, and lengths from one step to several chunks.
export const blockCases: readonly BlockCase[] = [
  { batch: 1, length: 1, model: 1, inner: 1, states: 1, rank: 1, taps: 1, hidden: 1 },
  { batch: 1, length: 7, model: 5, inner: 3, states: 2, rank: 1, taps: 2, hidden: 9 },
  { batch: 1, length: 64, model: 192, inner: 115, states: 16, rank: 12, taps: 4, hidden: 230 },
  { batch: 2, length: 17, model: 33, inner: 47, states: 8, rank: 3, taps: 4, hidden: 65 },
  { batch: 5, length: 16, model: 128, inner: 256, states: 8, rank: 8, taps: 4, hidden: 513 },
  { batch: 9, length: 33, model: 24, inner: 300, states: 5, rank: 2, taps: 3, hidden: 31 },
];

export function blockInputs(c: BlockCase): { x: Tensor; weights: kernels.MambaBlockWeights } {
  const { model, inner, states, rank, taps, hidden } = c;
  const matrix = (rows: number, columns: number): Tensor =>
    randn([rows, columns]).div(Math.sqrt(columns));
  const near = (size: number, value: number): Tensor => randn([size]).mul(0.1).add(value);
  return {
    x: randn([c.batch, c.length, model]),
    weights: {
      norm1Weight: near(model, 1),
      norm1Bias: near(model, 0),
      inProj: matrix(2 * inner, model),
      convWeight: randn([inner, 1, taps]).mul(0.5),
      convBias: near(inner, 0),
      xProj: matrix(rank + 2 * states, inner),
      dtWeight: matrix(inner, rank),
      dtBias: near(inner, -3),
      aLog: rand([inner, states]).mul(3),
      d: near(inner, 1),
      outProj: matrix(model, inner),
      norm2Weight: near(model, 1),
      norm2Bias: near(model, 0),
      fc1Weight: matrix(hidden, model),
      fc1Bias: near(hidden, 0),
      fc2Weight: matrix(model, hidden),
      fc2Bias: near(model, 0),
    },
  };
}

/** The same block from single operators. */
function plainBlock(x: Tensor, w: kernels.MambaBlockWeights, eps: number): Tensor {
  const [inner, states] = w.aLog.shape as [number, number];
  const rank = w.dtWeight.size(1);
  const norm = (of: Tensor, weight: Tensor, bias: Tensor): Tensor =>
    F.layerNorm(of, [of.size(-1)], { weight, bias, eps });
  const xz = norm(x, w.norm1Weight, w.norm1Bias).matmul(w.inProj.t());
  const u = F.causalConv1d(xz.narrow(-1, 0, inner), w.convWeight, { bias: w.convBias });
  const projected = u.matmul(w.xProj.t());
  const { y } = F.selectiveScan(
    u,
    projected.narrow(-1, 0, rank).matmul(w.dtWeight.t()),
    w.aLog.exp().neg(),
    projected.narrow(-1, rank, states),
    projected.narrow(-1, rank + states, states),
    { D: w.d, z: xz.narrow(-1, inner, inner), deltaBias: w.dtBias, deltaSoftplus: true },
  );
  const middle = x.add(y.matmul(w.outProj.t()));
  const hidden = norm(middle, w.norm2Weight, w.norm2Bias).matmul(w.fc1Weight.t()).add(w.fc1Bias);
  return middle.add(hidden.gelu().matmul(w.fc2Weight.t()).add(w.fc2Bias));
}

function inFloat64(weights: kernels.MambaBlockWeights): kernels.MambaBlockWeights {
  return Object.fromEntries(
    Object.entries(weights).map(([name, t]) => [name, (t as Tensor).to('float64')]),
  ) as unknown as kernels.MambaBlockWeights;
}

/** Largest error of the operator, relative to the largest output. */
export function worstOfBlock(): Worst {
  manualSeed(13);
  let worst: Worst = { error: -1, at: 'no case' };
  for (const test of blockCases) {
    const error = scope(() =>
      noGrad(() => {
        const { x, weights } = blockInputs(test);
        const exact = plainBlock(x.to('float64'), inFloat64(weights), 1e-5);
        const difference = kernels.mambaBlock(x, weights, 1e-5).to('float64').sub(exact);
        return difference.abs().max().item() / exact.abs().max().item();
      }),
    );
    if (!(error <= worst.error)) worst = { error, at: JSON.stringify(test) };
  }
  return worst;
}

/** Cases whose results are not bit for bit the same with 1, 2 and 3 threads. */
export function blockThreadDifferences(): string[] {
  manualSeed(14);
  const before = getNumThreads();
  try {
    return blockCases
      .filter((test) =>
        scope(() => {
          const { x, weights } = blockInputs(test);
          const [one, ...others] = [1, 2, 3].map((threads) => {
            setNumThreads(threads);
            return noGrad(() => kernels.mambaBlock(x, weights, 1e-5));
          }) as [Tensor, ...Tensor[]];
          return others.some((other) => !other.equal(one));
        }),
      )
      .map((test) => JSON.stringify(test));
  } finally {
    setNumThreads(before);
  }
}
