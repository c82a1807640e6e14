import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import {
  type DType,
  ShapeError,
  StateDictError,
  type Tensor,
  memoryStats,
  nn,
  optim,
  ones,
  scope,
  tensor,
  zeros,
} from '../index.js';

const stepsTaken = 4;
const start = [0.5, -1.25, 2, -3];
/** Gradient of step t: fixed numbers without pattern. */
const gradAt = (t: number): number[] => start.map((_, i) => Math.sin(3 * t + i * i) * (1 + i));

interface Case {
  readonly make: (params: Tensor[]) => optim.Optimizer;
  /** The same optimizer in Python. */
  readonly python: string;
  /** The same formulas on one number in double precision. */
  readonly scalar: () => (p: number, g: number, t: number) => number;
}

function adamwScalar(lr: number, b1: number, b2: number, eps: number, decay: number) {
  return () => {
    let [m, v] = [0, 0];
    return (p: number, g: number, t: number): number => {
      m = b1 * m + (1 - b1) * g;
      v = b2 * v + (1 - b2) * g * g;
      const denominator = Math.sqrt(v) / Math.sqrt(1 - b2 ** t) + eps;
      return p * (1 - lr * decay) - (lr / (1 - b1 ** t)) * (m / denominator);
    };
  };
}

function sgdScalar(lr: number, momentum: number, decay: number, nesterov: boolean) {
  return () => {
    let buffer = 0;
    return (p: number, g: number, t: number): number => {
      const d = g + decay * p;
      buffer = t === 1 ? d : momentum * buffer + d;
      if (momentum === 0) return p - lr * d;
      return p - lr * (nesterov ? d + momentum * buffer : buffer);
    };
  };
}

const cases: Record<string, Case> = {
  'AdamW with defaults': {
    make: (params) => new optim.AdamW(params),
    python: 'AdamW(params)',
    scalar: adamwScalar(1e-3, 0.9, 0.999, 1e-8, 0.01),
  },
  'AdamW with everything set': {
    make: (params) =>
      new optim.AdamW(params, { lr: 0.1, betas: [0.8, 0.95], eps: 1e-3, weightDecay: 0.2 }),
    python: 'AdamW(params, lr=0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2)',
    scalar: adamwScalar(0.1, 0.8, 0.95, 1e-3, 0.2),
  },
  'plain SGD': {
    make: (params) => new optim.SGD(params, { lr: 0.1 }),
    python: 'SGD(params, lr=0.1)',
    scalar: sgdScalar(0.1, 0, 0, false),
  },
  'SGD with momentum and decay': {
    make: (params) => new optim.SGD(params, { lr: 0.1, momentum: 0.9, weightDecay: 0.05 }),
    python: 'SGD(params, lr=0.1, momentum=0.9, weight_decay=0.05)',
    scalar: sgdScalar(0.1, 0.9, 0.05, false),
  },
  'SGD with Nesterov momentum': {
    make: (params) =>
      new optim.SGD(params, { lr: 0.1, momentum: 0.9, weightDecay: 0.05, nesterov: true }),
    python: 'SGD(params, lr=0.1, momentum=0.9, weight_decay=0.05, nesterov=True)',
    scalar: sgdScalar(0.1, 0.9, 0.05, true),
  },
};

/** Final values of every case by PyTorch, in one run of Python; undefined without PyTorch. */
function askTorch(): Record<string, number[]> | undefined {
  const code = `
import json, sys, torch
data = json.loads(sys.argv[1])
def run(text):
    p = torch.tensor(data["start"], dtype=torch.float64, requires_grad=True)
    optimizer = eval("torch.optim." + text, {"torch": torch, "params": [p]})
    for g in data["grads"]:
        p.grad = torch.tensor(g, dtype=torch.float64)
        optimizer.step()
    return p.tolist()
print(json.dumps({text: run(text) for text in data["cases"]}))`;
  const grads = Array.from({ length: stepsTaken }, (_, i) => gradAt(i + 1));
  const data = { start, grads, cases: Object.values(cases).map((c) => c.python) };
  try {
    const args = ['-c', code, JSON.stringify(data)];
    const text = execFileSync('/usr/bin/python3', args, { stdio: ['ignore', 'pipe', 'ignore'] });
    return JSON.parse(text.toString()) as Record<string, number[]>;
  } catch {
    return undefined;
  }
}
const torch = askTorch();
const withTorch = it.skipIf(torch === undefined); // skipped when /usr/bin/python3 has no PyTorch

function expectClose(got: number[], expected: readonly number[], tolerance: number): void {
  const errors = got.map((v, i) => Math.abs(v - (expected[i] ?? NaN)));
  expect(Math.max(...errors), `got ${got.join()}, expected ${expected.join()}`).toBeLessThan(
    tolerance,
  );
}

/** Runs all steps on a parameter, which may be a view without dense memory. */
function train(
  make: Case['make'],
  dtype: DType,
  strided = false,
  from = 0,
): { values: number[]; optimizer: optim.Optimizer; param: Tensor } {
  let param = tensor(start, { dtype });
  // Every second element of a larger tensor: our kernels do not take it, the foreach path does.
  if (strided) param = zeros([4, 2], { dtype }).select(1, 0).copy_(param).detach();
  param.requiresGrad = true;
  const optimizer = make([param]);
  for (let t = from + 1; t <= stepsTaken; t++) {
    param.grad = tensor(gradAt(t), { dtype });
    optimizer.step();
  }
  return { values: param.toNumbers(), optimizer, param };
}

describe.each(Object.keys(cases))('%s', (name) => {
  const { make, scalar, python } = cases[name] as Case;
  const expected = start.map((value, i) => {
    const update = scalar();
    let p = value;
    for (let t = 1; t <= stepsTaken; t++) p = update(p, gradAt(t)[i] ?? NaN, t);
    return p;
  });

  // Values of order 1 after 4 steps of a few roundings each: float64 2^-52 * 20 = 4e-15,
  // float32 2^-24 * 20 = 1.2e-6.
  it.each([
    ['float64', false, 5e-15],
    ['float64', true, 5e-15],
    ['float32', false, 1.5e-6],
    ['float32', true, 1.5e-6],
  ] as const)('follows the formula in %s (strided: %s)', (dtype, strided, tolerance) => {
    expectClose(train(make, dtype, strided).values, expected, tolerance);
  });

  it('follows the formula in bfloat16 to its own rounding', () => {
    // 2^-8 relative on values up to 4, a few times.
    expectClose(train(make, 'bfloat16').values, expected, 0.06);
  });

  withTorch('agrees with the PyTorch installed', () => {
    expectClose(train(make, 'float64').values, torch?.[python] ?? [], 5e-15);
  });

  it('goes on from a stored state bit for bit', () => {
    const whole = train(make, 'float32').values;
    const first = tensor(start, { requiresGrad: true });
    const before = make([first]);
    for (let t = 1; t <= 2; t++) {
      first.grad = tensor(gradAt(t));
      before.step();
    }
    const second = tensor(first.toNumbers(), { requiresGrad: true });
    const after = make([second]);
    const { tensors, scalars } = before.stateDict();
    const json = JSON.parse(JSON.stringify(scalars)) as optim.OptimizerScalars;
    after.loadStateDict({ tensors, scalars: json });
    for (let t = 3; t <= stepsTaken; t++) {
      second.grad = tensor(gradAt(t));
      after.step();
    }
    expect(second.toNumbers()).toEqual(whole);
  });
});

describe('Optimizer', () => {
  it('leaves parameters without a gradient alone, and starts their state at their first', () => {
    const [a, b] = [ones([2], { requiresGrad: true }), ones([2], { requiresGrad: true })];
    const optimizer = new optim.AdamW([a, b], { lr: 0.1, weightDecay: 0.5 });
    a.grad = ones([2]);
    optimizer.step();
    expect(b.toNumbers()).toEqual([1, 1]);
    const afterFirst = a.toNumbers();
    expect([...optimizer.stateDict().tensors.keys()]).toEqual(['0.exp_avg', '0.exp_avg_sq']);
    expect(optimizer.stateDict().scalars.steps).toEqual([1, 0]);
    optimizer.zeroGrad();
    expect(a.grad).toBeNull();
    b.grad = ones([2]);
    optimizer.step();
    expect(a.toNumbers()).toEqual(afterFirst);
    expect(b.toNumbers()).toEqual(afterFirst);
  });

  it('has a rate and a decay for each group, and a schedule acts on all rates', () => {
    const [a, b] = [ones([1], { requiresGrad: true }), ones([1], { requiresGrad: true })];
    const groups = [{ params: [a], lr: 0.5 }, { params: [b] }];
    const optimizer = new optim.SGD(groups, { lr: 0.25 });
    optimizer.setLrFactor(0.5);
    a.grad = ones([1]);
    b.grad = ones([1]);
    optimizer.step();
    expect([a.item(), b.item()]).toEqual([0.75, 0.875]);
    optimizer.setLrFactor(1);
    expect(optimizer.groups.map((g) => g.lr)).toEqual([0.5, 0.25]);
  });

  it('keeps its state alive when the step is inside a scope', () => {
    const p = ones([3], { requiresGrad: true });
    const optimizer = new optim.AdamW([p]);
    const before = memoryStats().tensors;
    for (let i = 0; i < 3; i++) {
      scope(() => {
        p.grad = ones([3]);
        optimizer.step();
      });
      expect(memoryStats().tensors).toBe(before + 2);
    }
    optimizer.dispose();
    expect(memoryStats().tensors).toBe(before);
  });

  it('accepts gradients in any memory layout', () => {
    const p = zeros([2, 3], { requiresGrad: true });
    const optimizer = new optim.SGD([p], { lr: 1 });
    p.grad = tensor([
      [1, 2],
      [3, 4],
      [5, 6],
    ]).t();
    expect(p.grad.isContiguous).toBe(false);
    optimizer.step();
    expect(p.toArray()).toEqual([
      [-1, -3, -5],
      [-2, -4, -6],
    ]);
  });

  it('refuses settings and parameters that make no sense', () => {
    const p = ones([1], { requiresGrad: true });
    expect(() => new optim.AdamW([p], { lr: -1 })).toThrow(/AdamW: got lr -1, expected at least 0/);
    expect(() => new optim.AdamW([p], { lr: NaN })).toThrow(RangeError);
    expect(() => new optim.AdamW([p], { betas: [0.9, 1] })).toThrow(/got beta 1/);
    expect(() => new optim.SGD([p], { lr: 1, nesterov: true })).toThrow(/momentum above 0/);
    expect(() => new optim.SGD([p, p], { lr: 1 })).toThrow(/twice/);
    expect(() => new optim.SGD([ones([1])], { lr: 1 })).toThrow(/does not require grad/);
    expect(() => new optim.SGD([p.mul(2)], { lr: 1 })).toThrow(/was computed from others/);
  });

  it('refuses the state of another optimizer and changes nothing', () => {
    const p = ones([2], { requiresGrad: true });
    const q = ones([3], { requiresGrad: true });
    const [adamw, other] = [new optim.AdamW([p]), new optim.AdamW([q])];
    p.grad = ones([2]);
    q.grad = ones([3]);
    adamw.step();
    other.step();
    const before = adamw.stateDict().tensors.get('0.exp_avg')?.toNumbers();
    const sgd = new optim.SGD([p], { lr: 1 }).stateDict();
    expect(() => {
      adamw.loadStateDict(sgd);
    }).toThrow(/state of SGD .* expected AdamW/);
    expect(() => {
      adamw.loadStateDict(other.stateDict());
    }).toThrow(ShapeError);
    const lacking = adamw.stateDict();
    lacking.tensors.delete('0.exp_avg_sq');
    expect(() => {
      adamw.loadStateDict(lacking);
    }).toThrow(StateDictError);
    expect(adamw.stateDict().tensors.get('0.exp_avg')?.toNumbers()).toEqual(before);
  });
});

describe('clipGradNorm', () => {
  it.each(['float32', 'float64', 'bfloat16'] as const)('scales %s gradients as one', (dtype) => {
    const [a, b] = [zeros([2], { dtype }), zeros([1], { dtype })];
    const unused = ones([1], { requiresGrad: true });
    for (const p of [a, b]) p.requiresGrad = true;
    a.grad = tensor([2, 3], { dtype });
    b.grad = tensor([6], { dtype });
    expect(optim.clipGradNorm([a, unused, b], 14)).toBe(7);
    expect(b.grad.item()).toBe(6);
    expect(optim.clipGradNorm([a, unused, b], 3.5)).toBe(7);
    // Halved, but for the guard of 1e-6 in the divisor: 1e-7 relative; 16-bit floats round it away.
    expect(a.grad.toNumbers()[0]).toBeCloseTo(1, 5);
    expect(b.grad.item()).toBeCloseTo(3, 5);
  });

  it('tells of gradients that are not finite and leaves them', () => {
    const p = zeros([2], { requiresGrad: true });
    p.grad = tensor([1, Infinity]);
    expect(optim.clipGradNorm([p], 1)).toBe(Infinity);
    p.grad = tensor([1, NaN]);
    expect(optim.clipGradNorm([p], 1)).toBeNaN();
    expect(p.grad.toNumbers()).toEqual([1, NaN]);
    expect(() => optim.clipGradNorm([p], 0)).toThrow(RangeError);
    expect(optim.clipGradNorm([], 1)).toBe(0);
  });
});

describe('decayGroups', () => {
  it('decays weights but no biases, norms or exempt names', () => {
    class Model extends nn.Module {
      readonly linear = this.child('linear', new nn.Linear(2, 3));
      readonly norm = this.child('norm', new nn.LayerNorm([2, 2]));
      readonly aLog = this.parameter('A_log', ones([2, 2]));
      readonly extra = this.parameter('extra', ones([2, 2]));
      forward(): void {
        throw new Error('not needed');
      }
    }
    const model = new Model();
    const [decayed, rest] = optim.decayGroups(model, 0.1);
    expect(decayed).toEqual({ params: [model.extra, model.linear.weight], weightDecay: 0.1 });
    expect(rest.weightDecay).toBe(0);
    expect(rest.params).toHaveLength(4);
    expect(optim.decayGroups(model, 0.1, ['extra'])[0].params).toEqual([
      model.aLog,
      model.linear.weight,
    ]);
  });
});

describe('schedules', () => {
  it('warm up, then follow half a cosine down to the minimum', () => {
    const schedule = optim.warmupCosine({ warmupSteps: 4, minFactor: 0.1 });
    const factors = [0, 3, 4, 9, 14, 99].map((step) => schedule(step, 14));
    [0.25, 1, 1, 0.55, 0.1, 0.1].forEach((v, i) => {
      expect(factors[i]).toBeCloseTo(v, 12);
    });
  });

  it('can have an end of their own', () => {
    expect(optim.linear({ totalSteps: 10 })(5, 1000)).toBe(0.5);
  });

  it('are linear, constant or stepwise', () => {
    expect([0, 5, 10].map((s) => optim.linear({ minFactor: 0.5 })(s, 10))).toEqual([1, 0.75, 0.5]);
    expect([0, 1, 50].map((s) => optim.constant({ warmupSteps: 2 })(s, 100))).toEqual([0.5, 1, 1]);
    const steps = optim.multiStep({ milestones: [10, 20], gamma: 0.5 });
    expect([9, 10, 20].map((s) => steps(s, 100))).toEqual([1, 0.5, 0.25]);
  });
});
