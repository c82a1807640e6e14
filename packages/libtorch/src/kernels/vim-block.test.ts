// The operator for a whole block of Vim against the single operators in float64.
import { describe, expect, it } from 'vitest';
import {
  F,
  type Tensor,
  TorchError,
  manualSeed,
  noGrad,
  rand,
  randn,
  scope,
  setNumThreads,
  zeros,
} from '../index.js';
import { packWeights } from './inference-blocks.js';
import { type VimBlockWeights, vimBlock } from './vim-block.js';

const matrix = (rows: number, columns: number): Tensor =>
  randn([rows, columns]).div(Math.sqrt(columns));
const near = (size: number, value: number): Tensor => randn([size]).mul(0.1).add(value);

function inputs(sizes: readonly number[], directions: number) {
  const [batch, length, model, inner, states, rank, taps] = sizes as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const scans = Array.from({ length: directions }, () => [
    randn([inner, 1, taps]).mul(0.5),
    near(inner, 0),
    matrix(rank + 2 * states, inner),
    matrix(inner, rank),
    near(inner, -3),
    rand([inner, states]).mul(3),
    near(inner, 1),
  ]).flat();
  const [inProj, outProj] = [matrix(2 * inner, model), matrix(model, inner)];
  return {
    x: randn([batch, length, model]),
    weights: { norm: near(model, 1), inProj, scans, outProj },
  };
}

function plain(input: Tensor, weights: VimBlockWeights, eps: number): Tensor {
  const [x, norm, inProj, outProj, ...scans] = [
    input,
    weights.norm,
    weights.inProj,
    weights.outProj,
    ...weights.scans,
  ].map((tensor) => tensor.to('float64')) as [Tensor, Tensor, Tensor, Tensor, ...Tensor[]];
  const xz = x.mul(x.mul(x).mean(-1, true).add(eps).pow(-0.5)).mul(norm).matmul(inProj.t());
  const inner = outProj.size(1);
  const results = [scans.slice(0, 7), scans.slice(7)]
    .filter((of) => of.length > 0)
    .map((of, i) => {
      const [conv, convBias, xProj, dt, dtBias, aLog, d] = of as [
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
        Tensor,
      ];
      const ordered = (tensor: Tensor): Tensor => (i === 0 ? tensor : tensor.flip(1));
      const u = F.causalConv1d(ordered(xz.narrow(-1, 0, inner)), conv, { bias: convBias });
      const [rank, states] = [dt.size(1), aLog.size(1)];
      const projected = u.matmul(xProj.t());
      const { y } = F.selectiveScan(
        u,
        projected.narrow(-1, 0, rank).matmul(dt.t()),
        aLog.exp().neg(),
        projected.narrow(-1, rank, states),
        projected.narrow(-1, rank + states, states),
        { D: d, z: ordered(xz.narrow(-1, inner, inner)), deltaBias: dtBias, deltaSoftplus: true },
      );
      return ordered(y);
    });
  const sum = results.reduce((a, b) => a.add(b)).div(results.length);
  return x.add(sum.matmul(outProj.t()));
}

describe('vimBlock', () => {
  it.each([
    [[1, 1, 1, 1, 1, 1, 1]],
    [[1, 197, 192, 115, 16, 12, 4]],
    [[3, 17, 33, 47, 8, 3, 4]],
    [[5, 33, 24, 300, 5, 2, 3]],
  ])('computes what the single operators do, in any number of threads: %j', (sizes) => {
    manualSeed(1);
    scope(() => {
      noGrad(() => {
        for (const directions of [1, 2]) {
          const { x, weights } = inputs(sizes, directions);
          const expected = plain(x, weights, 1e-5);
          const results = [1, 2, 3].map((threads) => {
            setNumThreads(threads);
            return vimBlock(x, weights, 1e-5);
          });
          const error = (results[0] as Tensor).to('float64').sub(expected).abs().max().item();
          // Float32 sums of up to 300 terms, several products deep: some tens of roundings of 6e-8.
          expect(error / expected.abs().max().item()).toBeLessThan(3e-6);
          for (const other of results) expect(other.equal(results[0] as Tensor)).toBe(true);
        }
      });
    });
  });

  it('takes its matrices in panels too, with the same result', () => {
    scope(() => {
      noGrad(() => {
        const { x, weights } = inputs([3, 17, 33, 47, 8, 3, 4], 2);
        const panels = (matrix: Tensor) => packWeights(matrix.unsqueeze(0));
        const packed = {
          ...weights,
          inProj: panels(weights.inProj),
          outProj: panels(weights.outProj),
          // The third of a direction's seven is x_proj.
          scans: weights.scans.map((tensor, i) => (i % 7 === 2 ? panels(tensor) : tensor)),
        };
        expect(vimBlock(x, packed, 1e-5).equal(vimBlock(x, weights, 1e-5))).toBe(true);
        const wrong = { ...packed, outProj: packed.inProj };
        expect(() => vimBlock(x, wrong, 1e-5)).toThrow(/got out_proj .*pack_weights/);
      });
    });
  });

  it('refuses other shapes, types and counts, and gives an empty batch back', () => {
    scope(() => {
      const { x, weights } = inputs([2, 3, 5, 3, 2, 1, 2], 2);
      const call = (change: Partial<VimBlockWeights>, of = x) =>
        vimBlock(of, { ...weights, ...change }, 1e-5);
      expect(() => call({ scans: weights.scans.slice(1) })).toThrow(/got 13 weights of scans/);
      expect(() => call({ outProj: randn([4, 3]) })).toThrow(/got out_proj of shape \[4, 3\]/);
      expect(() => call({}, x.to('float64'))).toThrow(TorchError);
      expect(call({}, zeros([0, 3, 5])).shape).toEqual([0, 3, 5]);
      weights.inProj.requiresGrad = true;
      expect(() => call({})).toThrow(/vim_block: got tensors that require/);
    });
  });
});
