import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { type Tensor, manualSeed, nn, noGrad, optim, randn, scope, tensor } from '../index.js';
import { evenStacks, paddedStacks } from './muon-stacks.js';
import { orthogonalized } from './muon.js';

/** The formulas of torch.optim.Muon in Python, in float64, on one matrix after another. */
const pythonCode = `
import json, sys, torch
data = json.loads(sys.argv[1])
def run(start, grads):
    p = torch.tensor(start, dtype=torch.float64)
    buf = torch.zeros_like(p)
    for g, lr in zip(grads, data["rates"]):
        g = torch.tensor(g, dtype=torch.float64)
        buf = buf.lerp(g, 1 - data["momentum"])
        u = g.lerp(buf, data["momentum"])
        tall = u.shape[0] > u.shape[1]
        if tall: u = u.T
        u = u / u.norm().clamp(min=1e-7)
        for _ in range(5):
            s = u @ u.T
            u = 3.4445 * u + (-4.7750 * s + 2.0315 * s @ s) @ u
        if tall: u = u.T
        p = p * (1 - lr * data["decay"]) - lr * 0.2 * max(p.shape) ** 0.5 * u
    return p.tolist()
print(json.dumps([run(case["start"], case["grads"]) for case in data["cases"]]))`;

const shapes = { wide: [3, 5], tall: [6, 4], square: [4, 4] } as const;
const matrix = ([rows, columns]: readonly [number, number], phase: number): number[][] =>
  Array.from({ length: rows }, (_, i) =>
    Array.from({ length: columns }, (_, j) =>
      Math.sin(1 + 3 * i * i + 7 * j + phase * (i + 2 * j)),
    ),
  );
const rates = [0.01, 0.02, 0.005];

/** Three steps under changing rates; a second matrix of the same shape goes through the same stack. */
function train(shape: readonly [number, number], capturable: boolean): [Tensor, Tensor] {
  const params = [0, 9].map((phase) =>
    tensor(matrix(shape, phase), { dtype: 'float64', requiresGrad: true }),
  ) as [Tensor, Tensor];
  const optimizer = new optim.Muon([{ params, orthogonalize: true, weightDecay: 0.1 }], { lr: 1 });
  if (capturable) optimizer.makeCapturable();
  rates.forEach((rate, t) => {
    scope(() => {
      optimizer.setLrFactor(rate);
      params.forEach((param, i) => {
        param.grad = tensor(matrix(shape, 9 * i + t + 1), { dtype: 'float64' });
      });
      optimizer.step();
    });
  });
  return params;
}

/** By shape, what becomes of both matrices; undefined without PyTorch. */
function inPython(): Record<string, number[][][]> | undefined {
  const cases = Object.values(shapes).flatMap((shape) =>
    [0, 9].map((phase) => ({
      start: matrix(shape, phase),
      grads: rates.map((_, t) => matrix(shape, phase + t + 1)),
    })),
  );
  const data = { rates: rates, momentum: 0.95, decay: 0.1, cases };
  try {
    const args = ['-c', pythonCode, JSON.stringify(data)];
    const text = execFileSync('/usr/bin/python3', args, { stdio: ['ignore', 'pipe', 'ignore'] });
    const found = JSON.parse(text.toString()) as number[][][];
    return Object.fromEntries(
      Object.keys(shapes).map((name, i) => [name, found.slice(2 * i, 2 * i + 2)]),
    );
  } catch {
    return undefined;
  }
}
const reference = inPython();
const withTorch = it.skipIf(reference === undefined); // skipped when /usr/bin/python3 has no PyTorch

const largestError = (got: Tensor, expected: number[][] | undefined): number => {
  const want = expected?.flat() ?? [];
  return Math.max(...got.toNumbers().map((value, i) => Math.abs(value - (want[i] ?? NaN))));
};

describe('Muon', () => {
  describe.each(Object.entries(shapes))('on %s matrices', (name, shape) => {
    // Order 1 after three steps of some hundred roundings; the rates on the device are float32,
    // 6e-8 of steps of 0.01 and of the weights they shrink.
    withTorch.each([
      [false, 1e-13],
      [true, 1e-7],
    ])(
      'takes the steps of the formulas in PyTorch (rates on the device: %s)',
      (device, tolerance) => {
        const params = train(shape, device);
        params.forEach((param, i) => {
          expect(largestError(param, reference?.[name]?.[i])).toBeLessThan(tolerance);
        });
      },
    );
  });

  it('treats the kernels of a convolution as matrices of [first, all others]', () => {
    const steps = (
      [
        [4, 3, 2, 2],
        [4, 12],
      ] as const
    ).map((shape) => {
      const param = tensor(matrix([4, 12], 0))
        .reshape(...shape)
        .detach();
      param.requiresGrad = true;
      const optimizer = new optim.Muon([{ params: [param], orthogonalize: true }], { lr: 0.1 });
      param.grad = tensor(matrix([4, 12], 1)).reshape(...shape);
      optimizer.step();
      return param.toNumbers();
    });
    expect(steps[0]).toEqual(steps[1]);
  });

  it('gives all other groups the steps of AdamW', () => {
    const [a, b] = [0, 0].map(() => tensor([1, -2, 3], { requiresGrad: true })) as [Tensor, Tensor];
    const settings = { lr: 0.1, betas: [0.8, 0.99], weightDecay: 0.2 } as const;
    for (const [optimizer, param] of [
      [new optim.Muon([{ params: [a] }], settings), a],
      [new optim.AdamW([b], settings), b],
    ] as const) {
      for (let t = 1; t <= 3; t++) {
        param.grad = tensor([t, -1, Math.sin(t)]);
        optimizer.step();
      }
    }
    expect(a.toNumbers()).toEqual(b.toNumbers());
  });

  it('goes on from a stored state bit for bit, with one tensor a matrix and two for all else', () => {
    const make = () => {
      const params = [tensor(matrix(shapes.tall, 0)), tensor([1, 2])];
      for (const param of params) param.requiresGrad = true;
      const groups = params.map((param, i) => ({ params: [param], orthogonalize: i === 0 }));
      return { params, optimizer: new optim.Muon(groups, { lr: 0.01 }) };
    };
    const run = ({ params, optimizer }: ReturnType<typeof make>, from: number, to: number) => {
      for (let t = from; t <= to; t++) {
        (params[0] as Tensor).grad = tensor(matrix(shapes.tall, t));
        (params[1] as Tensor).grad = tensor([t, -t]);
        optimizer.step();
      }
    };
    const [whole, first, second] = [make(), make(), make()];
    run(whole, 1, 4);
    run(first, 1, 2);
    const state = first.optimizer.stateDict();
    expect([...state.tensors.keys()]).toEqual(['0.momentum_buffer', '1.exp_avg', '1.exp_avg_sq']);
    second.params.forEach((param, i) => noGrad(() => param.copy_(first.params[i] as Tensor)));
    second.optimizer.loadStateDict(state);
    run(second, 3, 4);
    expect(second.params.map((p) => p.toNumbers())).toEqual(whole.params.map((p) => p.toNumbers()));
  });

  it('refuses a vector among the matrices', () => {
    const bias = tensor([1, 2], { requiresGrad: true });
    expect(() => new optim.Muon([{ params: [bias], orthogonalize: true }])).toThrow(
      /Muon: got .* among the matrices, expected two dimensions or more/,
    );
  });
});

/** As on a GPU. */
class PaddedMuon extends optim.Muon {
  protected override padded = true;
}

describe('Muon over stacks of different shapes', () => {
  // Two blocks of different widths, as pruning leaves them: 8 is common to all but the last two, which share 3.
  const mixed: (readonly [number, number])[] = [
    [10, 8],
    [6, 8],
    [8, 5],
    [8, 3],
    [16, 8],
    [7, 3],
    [9, 3],
  ];
  const steps = (make: (params: Tensor[]) => optim.Muon, capturable: boolean): number[][] => {
    const params = mixed.map((shape, i) =>
      tensor(matrix(shape, i), { dtype: 'float64', requiresGrad: true }),
    );
    const optimizer = make(params);
    if (capturable) optimizer.makeCapturable();
    for (let t = 1; t <= 3; t++) {
      scope(() => {
        optimizer.setLrFactor(1 / t);
        params.forEach((param, i) => {
          param.grad = tensor(matrix(mixed[i] ?? [1, 1], i + 7 * t), { dtype: 'float64' });
        });
        optimizer.step();
      });
    }
    return params.map((param) => param.toNumbers());
  };
  const options = (params: Tensor[]) =>
    [[{ params, orthogonalize: true, weightDecay: 0.1 }], { lr: 0.1 }] as const;

  // Order 1 after three steps of some hundred roundings, in two orders of summation; the rates on the device are float32.
  it.each([
    [false, 1e-12],
    [true, 1e-7],
  ])('takes the steps of each matrix alone (rates on the device: %s)', (device, tolerance) => {
    const even = steps((params) => new optim.Muon(...options(params)), device);
    const padded = steps((params) => new PaddedMuon(...options(params)), device);
    const errors = padded.flatMap((values, i) =>
      values.map((value, j) => Math.abs(value - (even[i]?.[j] ?? NaN))),
    );
    expect(Math.max(...errors)).toBeLessThan(tolerance);
  });

  it('makes few stacks of a pruned model, and leaves those of equal shapes as they are', () => {
    const widths = Array.from({ length: 24 }, (_, i) => 20 + 5 * i);
    const pruned = widths.flatMap((k): [number, number][] => [
      [2 * k, 192],
      [192, k],
      [44, k],
      [k, 12],
      [3 * k, 192],
      [192, 3 * k],
    ]);
    const stacks = paddedStacks(pruned);
    expect(evenStacks(pruned).length).toBeGreaterThan(100);
    expect(stacks.length).toBeLessThan(12);
    expect(stacks.flatMap(({ members }) => members).sort((a, b) => a - b)).toEqual([
      ...pruned.keys(),
    ]);
    for (const { members, rows, columns } of stacks) {
      for (const i of members) {
        const [a, b] = pruned[i] ?? [0, 0];
        expect(
          (b === columns && a <= rows && 4 * a > rows) ||
            (a === columns && b <= rows && 4 * b > rows),
        ).toBe(true);
      }
    }
    const dense = widths.flatMap((): [number, number][] => [
      [768, 192],
      [192, 384],
      [44, 384],
    ]);
    expect(paddedStacks(dense)).toEqual(evenStacks(dense));
  });
});

describe('orthogonalized', () => {
  it('brings the singular values of random matrices near 1, keeping their directions', () => {
    manualSeed(3);
    scope(() => {
      const x = randn([4, 32, 48], { dtype: 'float64' });
      const y = orthogonalized(x);
      // With x = U S V', y = U T V': the products with x have the traces of S T.
      const square = y.matmul(y.transpose(1, 2));
      const diagonal = square.mul(square).sum([1, 2]).toNumbers();
      // Sum of T^4 over 32 values from 0.7 to 1.2: from 32 * 0.24 to 32 * 2.1.
      for (const sum of diagonal) {
        expect(sum).toBeGreaterThan(32 * 0.24);
        expect(sum).toBeLessThan(32 * 2.1);
      }
      const symmetric = y.matmul(x.transpose(1, 2));
      const skew = symmetric.sub(symmetric.transpose(1, 2)).abs().max().item();
      expect(skew).toBeLessThan(1e-10);
    });
  });

  it('leaves a matrix of zeros at zero', () => {
    const zeros = tensor([
      [
        [0, 0],
        [0, 0],
      ],
    ]);
    expect(orthogonalized(zeros).toNumbers()).toEqual([0, 0, 0, 0]);
  });
});

describe('muonGroups', () => {
  it('takes the weights inside the network, but not the first and the last', () => {
    const model = new nn.Sequential(
      new nn.Conv2d(3, 4, 3),
      new nn.Conv2d(4, 4, 3),
      new nn.LayerNorm(4),
      new nn.Linear(4, 8),
      new nn.Linear(8, 2),
    );
    const groups = optim.muonGroups(model, 0.3);
    const names = new Map([...model.namedParameters()].map(([name, param]) => [param, name]));
    expect(groups.map(({ params }) => params.map((param) => names.get(param)))).toEqual([
      ['1.weight', '3.weight'],
      ['0.weight', '4.weight'],
      ['0.bias', '1.bias', '2.weight', '2.bias', '3.bias', '4.bias'],
    ]);
    expect(groups.map(({ weightDecay }) => weightDecay)).toEqual([0.3, 0.3, 0]);
    expect(groups.map(({ orthogonalize = false }) => orthogonalize)).toEqual([true, false, false]);
  });
});
