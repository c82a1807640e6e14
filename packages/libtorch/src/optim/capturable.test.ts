import { describe, expect, it } from 'vitest';
import { optim, scope, tensor, type Tensor } from '../index.js';

const start = [0.5, -1.25, 2, -3];
const gradAt = (t: number): number[] => start.map((_, i) => Math.sin(3 * t + i * i) * (1 + i));

const makers: Record<string, (params: Tensor[]) => optim.Optimizer> = {
  AdamW: (params) => new optim.AdamW(params, { lr: 0.1, betas: [0.8, 0.999], weightDecay: 0.2 }),
  'AdamW without averages': (params) => new optim.AdamW(params, { lr: 0.1, betas: [0, 0] }),
  SGD: (params) => new optim.SGD(params, { lr: 0.1, weightDecay: 0.1 }),
  'SGD with Nesterov momentum': (params) =>
    new optim.SGD(params, { lr: 0.1, momentum: 0.9, weightDecay: 0.05, nesterov: true }),
};

/** Steps from..to under a schedule; on the device `step` is its two halves. */
function steps(
  optimizer: optim.Optimizer,
  param: Tensor,
  from: number,
  to: number,
  halves = false,
) {
  scope(() => {
    for (let t = from; t <= to; t++) {
      optimizer.setLrFactor(1 / t);
      param.grad = tensor(gradAt(t), { dtype: 'float64' });
      if (halves) {
        optimizer.launch();
        optimizer.count();
      } else {
        optimizer.step();
      }
    }
  });
}

const parameter = () => tensor(start, { dtype: 'float64', requiresGrad: true });

function expectClose(got: Tensor, expected: Tensor): void {
  const want = expected.toNumbers();
  const far = got.toNumbers().map((value, i) => Math.abs(value - (want[i] as number)));
  // Rates and bias corrections are float32: 6e-8 of steps of 0.1, over six steps.
  expect(Math.max(...far)).toBeLessThan(1e-6);
}

describe.each(Object.entries(makers))('%s with its scalars on the device', (_name, make) => {
  it('makes the steps of the one without, under a changing learning rate', () => {
    const [a, b] = [parameter(), parameter()];
    const [plain, capturable] = [make([a]), make([b])];
    capturable.makeCapturable();
    steps(plain, a, 1, 6);
    steps(capturable, b, 1, 6, true);
    expectClose(b, a);
    expect(capturable.stateDict().scalars).toEqual(plain.stateDict().scalars);
  });

  it('goes on from the state of one without, and the other way round', () => {
    const [a, b, c] = [parameter(), parameter(), parameter()];
    const [whole, first, second] = [make([a]), make([b]), make([c])];
    steps(whole, a, 1, 6);
    first.makeCapturable();
    steps(first, b, 1, 2);
    second.loadStateDict(first.stateDict());
    scope(() => c.setValues(b.toTypedArray()));
    steps(second, c, 3, 4);
    first.loadStateDict(second.stateDict());
    scope(() => b.setValues(c.toTypedArray()));
    steps(first, b, 5, 6);
    expectClose(b, a);
    expect(first.stateDict().scalars.steps).toEqual([6]);
  });
});

describe('launch', () => {
  it('throws before makeCapturable, saying what to do', () => {
    const optimizer = new optim.SGD([parameter()], { lr: 1 });
    expect(() => {
      optimizer.launch();
    }).toThrow('SGD.launch: expected makeCapturable() before. Call step() otherwise.');
  });
});

describe('clipGradNormOnDevice', () => {
  it('scales as clipGradNorm does, and leaves smaller gradients alone', () => {
    for (const scale of [10, 0.001]) {
      const [a, b] = [parameter(), parameter()];
      for (const param of [a, b])
        param.grad = tensor(
          [3, 0, 4, 0].map((v) => v * scale),
          { dtype: 'float64' },
        );
      const norm = optim.clipGradNorm([a], 1);
      expect(optim.clipGradNormOnDevice([b], 1)?.item()).toBeCloseTo(norm, 5);
      const [got, expected] = [b.grad?.toNumbers() ?? [], a.grad?.toNumbers() ?? []];
      // The factor is float32.
      got.forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i] as number, 6);
      });
    }
    expect(optim.clipGradNormOnDevice([parameter()], 1)).toBeUndefined();
  });
});
