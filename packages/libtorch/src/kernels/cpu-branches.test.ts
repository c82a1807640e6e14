// The operators of a whole branch on the CPU against the layers that they stand for, computed in float64.
import { describe, expect, it } from 'vitest';
import {
  F,
  type Tensor,
  TorchError,
  getNumThreads,
  grad,
  manualSeed,
  noGrad,
  ops,
  rand,
  randn,
  scope,
  setNumThreads,
  zeros,
} from '../index.js';
import { mlpBranchOnCpu, ssmBranchOnCpu } from './index.js';
import type { BlockCase } from './testing/compare-block.js';

const eps = 1e-5;

interface Branch {
  readonly x: Tensor;
  readonly norm: readonly [Tensor, Tensor];
  readonly weights: readonly Tensor[];
  readonly scale: Tensor | undefined;
}

type SsmSizes = Omit<BlockCase, 'hidden'>;

const ssmCases: readonly SsmSizes[] = [
  { batch: 1, length: 1, model: 1, inner: 1, states: 1, rank: 1, taps: 1 },
  { batch: 3, length: 7, model: 5, inner: 7, states: 3, rank: 2, taps: 4 },
  // More than one chunk of the scan, tiles and panels that are not full.
  { batch: 2, length: 70, model: 33, inner: 40, states: 16, rank: 3, taps: 3 },
  // Products wide enough for oneDNN, where there is one; more rows than are summed at a time.
  { batch: 5, length: 64, model: 72, inner: 96, states: 8, rank: 64, taps: 4 },
];

interface MlpSizes {
  readonly batch: number;
  readonly length: number;
  readonly model: number;
  readonly hidden: number;
}

const mlpCases: readonly MlpSizes[] = [
  { batch: 1, length: 1, model: 1, hidden: 1 },
  { batch: 3, length: 5, model: 7, hidden: 19 },
  { batch: 5, length: 64, model: 72, hidden: 130 },
  // Both factors of fc2's gradient are packed: the rows of one lie far apart, and the other has enough tiles.
  // More tiles than are packed at a time, the last of which is not full.
  { batch: 3, length: 90, model: 100, hidden: 275 },
  // With one thread a factor of fc2's gradient is packed because its rows begin anywhere, with several it is not.
  { batch: 3, length: 90, model: 100, hidden: 115 },
];

const normOf = (width: number): [Tensor, Tensor] => [randn([width]).add(1), randn([width])];
const scaleOf = (batch: number, isScaled: boolean): Tensor | undefined =>
  isScaled ? rand([batch]).add(0.5) : undefined;

function ssmInputs(s: SsmSizes, isScaled: boolean): Branch {
  return {
    x: randn([s.batch, s.length, s.model]),
    norm: normOf(s.model),
    weights: [
      randn([2 * s.inner, s.model]).mul(s.model ** -0.5),
      randn([s.model, s.inner]).mul(s.inner ** -0.5),
      randn([s.inner, 1, s.taps]).mul(0.5),
      randn([s.inner]).mul(0.5),
      randn([s.rank + 2 * s.states, s.inner]).mul(s.inner ** -0.5),
      randn([s.inner, s.rank]).mul(s.rank ** -0.5),
      randn([s.inner]).mul(0.5),
      randn([s.inner, s.states]).mul(0.5),
      randn([s.inner]),
    ],
    scale: scaleOf(s.batch, isScaled),
  };
}

function mlpInputs(s: MlpSizes, isScaled: boolean): Branch {
  return {
    x: randn([s.batch, s.length, s.model]),
    norm: normOf(s.model),
    weights: [
      randn([s.hidden, s.model]).mul(s.model ** -0.5),
      randn([s.hidden]),
      randn([s.model, s.hidden]).mul(s.hidden ** -0.5),
      randn([s.model]),
    ],
    scale: scaleOf(s.batch, isScaled),
  };
}

function residual({ x, scale }: Branch, branch: Tensor): Tensor {
  return x.add(scale ? branch.mul(scale.reshape(-1, 1, 1)) : branch);
}

function ssmLayers(given: Branch): Tensor {
  const { x, norm, weights } = given;
  const [inProj, outProj, convWeight, convBias, xProj, dtWeight, dtBias, aLog, D] =
    weights as readonly [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
  const [inner, states] = aLog.shape as [number, number];
  const rank = dtWeight.size(1);
  const normed = F.layerNorm(x, [x.size(2)], { weight: norm[0], bias: norm[1], eps });
  const xz = ops.linear(normed, inProj);
  const u = F.causalConv1d(xz.narrow(-1, 0, inner), convWeight, { bias: convBias });
  const selection = ops.linear(u, xProj);
  const { y } = F.selectiveScan(
    u,
    ops.linear(selection.narrow(-1, 0, rank), dtWeight),
    aLog.exp().neg(),
    selection.narrow(-1, rank, states),
    selection.narrow(-1, rank + states, states),
    { D, z: xz.narrow(-1, inner, inner), deltaBias: dtBias, deltaSoftplus: true },
  );
  return residual(given, ops.linear(y, outProj));
}

function mlpLayers(given: Branch): Tensor {
  const { x, norm, weights } = given;
  const [fc1, bias1, fc2, bias2] = weights as readonly [Tensor, Tensor, Tensor, Tensor];
  const normed = F.layerNorm(x, [x.size(2)], { weight: norm[0], bias: norm[1], eps });
  return residual(given, ops.linear(F.gelu(ops.linear(normed, fc1, bias1)), fc2, bias2));
}

type Operator = typeof ssmBranchOnCpu;
const whole =
  (operator: Operator) =>
  ({ x, norm: [weight, bias], weights, scale }: Branch): Tensor =>
    operator(x, { weight, bias, eps }, weights, scale);

/** The output, then the gradients of x, of the normalisation and of the weights. */
function everything(compute: (given: Branch) => Tensor, given: Branch, dout: Tensor): Tensor[] {
  const leaf = (tensor: Tensor): Tensor => {
    const copy = tensor.detach().clone();
    copy.requiresGrad = true;
    return copy;
  };
  const [a, b] = given.norm;
  const own: Branch = {
    x: leaf(given.x),
    norm: [leaf(a), leaf(b)],
    weights: given.weights.map(leaf),
    scale: given.scale,
  };
  const out = compute(own);
  const inputs = [own.x, ...own.norm, ...own.weights];
  const gradients = grad([out], inputs, { gradOutputs: [dout.to(out.dtype)] });
  return [out.detach(), ...gradients.map((tensor) => tensor ?? zeros([0]))];
}

function inFloat64({ x, norm, weights, scale }: Branch): Branch {
  const wide = (tensor: Tensor): Tensor => tensor.to('float64');
  return {
    x: wide(x),
    norm: [wide(norm[0]), wide(norm[1])],
    weights: weights.map(wide),
    scale: scale && wide(scale),
  };
}

/** ||a - b|| / ||b||, and the norm itself where b is zero: x normalised over one number is a constant. */
function difference(a: Tensor, b: Tensor): number {
  const size = b.norm().item();
  return a.to('float64').sub(b).norm().item() / (size > 1e-9 ? size : 1);
}

const names = (count: number): string[] => [
  'output',
  'x',
  'norm weight',
  'norm bias',
  ...Array.from({ length: count }, (_, i) => `weight ${i}`),
];

/**
 * One rounding of float32 is 6e-8. A number here has gone through some ten sums of up to 320 terms, whose errors grow with the root of the
 * number of terms; through norms and gates they are passed on at their size. 2e-5 is far below what a wrong formula would do.
 */
const tolerance = 2e-5;

const branches = [
  ...ssmCases.map((sizes) => ({
    name: `ssmBranchOnCpu of ${JSON.stringify(sizes)}`,
    inputs: (isScaled: boolean) => ssmInputs(sizes, isScaled),
    operator: whole(ssmBranchOnCpu),
    layers: ssmLayers,
  })),
  ...mlpCases.map((sizes) => ({
    name: `mlpBranchOnCpu of ${JSON.stringify(sizes)}`,
    inputs: (isScaled: boolean) => mlpInputs(sizes, isScaled),
    operator: whole(mlpBranchOnCpu),
    layers: mlpLayers,
  })),
];

describe.each(branches)('$name', ({ inputs, operator, layers }) => {
  it.each([false, true])('has the values and gradients of the layers (scaled: %s)', (isScaled) => {
    scope(() => {
      manualSeed(1);
      const given = inputs(isScaled);
      const dout = randn(given.x.shape);
      const found = everything(operator, given, dout);
      const expected = everything(layers, inFloat64(given), dout);
      for (const [i, name] of names(given.weights.length).entries()) {
        expect(found[i]?.shape, name).toEqual(expected[i]?.shape);
        expect(difference(found[i] as Tensor, expected[i] as Tensor), name).toBeLessThan(tolerance);
      }
    });
  });

  it('gives the same bits without gradients, and with any number of threads', () => {
    scope(() => {
      manualSeed(2);
      const given = inputs(true);
      const dout = randn(given.x.shape);
      const threads = getNumThreads();
      try {
        setNumThreads(1);
        const one = everything(operator, given, dout);
        setNumThreads(3);
        const three = everything(operator, given, dout);
        expect(three.map((tensor) => tensor.toNumbers())).toEqual(
          one.map((tensor) => tensor.toNumbers()),
        );
        expect(noGrad(() => operator(given)).toNumbers()).toEqual(one[0]?.toNumbers());
      } finally {
        setNumThreads(threads);
      }
    });
  });
});

describe('the operators of a branch on the CPU', () => {
  const ssm = ssmCases[1] as SsmSizes;
  const mlp = mlpCases[1] as MlpSizes;

  it('gives no gradient to a weight that needs none', () => {
    scope(() => {
      const given = ssmInputs(ssm, false);
      const [inProj, outProj] = given.weights as [Tensor, Tensor];
      outProj.requiresGrad = true;
      whole(ssmBranchOnCpu)(given).sum().backward();
      expect(inProj.grad).toBeNull();
      expect(outProj.grad?.shape).toEqual(outProj.shape);
    });
  });

  it('refuses second derivatives', () => {
    scope(() => {
      const given = mlpInputs(mlp, false);
      given.x.requiresGrad = true;
      const out = whole(mlpBranchOnCpu)(given).sum();
      expect(() => grad([out], [given.x], { createGraph: true })).toThrow(/first derivatives only/);
    });
  });

  it('names what does not fit', () => {
    scope(() => {
      const given = ssmInputs(ssm, false);
      const operator = whole(ssmBranchOnCpu);
      expect(() => operator({ ...given, x: given.x.to('float64') })).toThrow(TorchError);
      expect(() => operator({ ...given, x: given.x.select(0, 0) })).toThrow(
        /\[batch, length, d_model\]/,
      );
      expect(() => operator({ ...given, weights: given.weights.slice(1) })).toThrow(
        /got 8 weights, expected 9/,
      );
      const weights = [randn([3, 3]), ...given.weights.slice(1)];
      expect(() => operator({ ...given, weights })).toThrow(
        /got in_proj of shape \[3, 3\], expected .*\[14, 5\]/,
      );
      expect(() => operator({ ...given, scale: rand([4]) })).toThrow(
        /got scale of shape \[4\], expected \[batch\] = \[3\]/,
      );
      const wrong = {
        ...mlpInputs(mlp, false),
        weights: [randn([2, 7]), randn([3]), randn([7, 2]), randn([7])],
      };
      expect(() => whole(mlpBranchOnCpu)(wrong)).toThrow(
        /got fc1_bias of shape \[3\], expected \[mlp\] = \[2\]/,
      );
    });
  });

  it('gives an empty batch back as it came, with gradients of zero', () => {
    scope(() => {
      const given = ssmInputs({ ...ssm, batch: 0 }, false);
      const [inProj] = given.weights as [Tensor];
      inProj.requiresGrad = true;
      const out = whole(ssmBranchOnCpu)(given);
      expect(out.shape).toEqual([0, ssm.length, ssm.model]);
      out.sum().backward();
      expect(inProj.grad?.abs().sum().item()).toBe(0);
      const mlpOut = whole(mlpBranchOnCpu)(mlpInputs({ ...mlp, batch: 0 }, true));
      expect(mlpOut.shape).toEqual([0, mlp.length, mlp.model]);
    });
  });
});
