import { describe, expect, it } from 'vitest';
import {
  F,
  type Tensor,
  TorchError,
  grad,
  noGrad,
  ones,
  ops,
  randn,
  tensor,
  zeros,
} from '../index.js';

/** ||a - b|| / ||b||, in double precision. */
function difference(a: Tensor, b: Tensor): number {
  const wide = b.detach().to('float64');
  return a.detach().to('float64').sub(wide).norm().item() / Math.max(wide.norm().item(), 1e-30);
}

const leaf = (t: Tensor): Tensor => {
  const copy = t.detach().clone();
  copy.requiresGrad = true;
  return copy;
};

// float32 rounds to 6e-8; sums of up to 768 terms in another order than the reference's (which is
// computed in double) stay well under 1e-5 of their norm.
const rounding = 1e-5;

const shapes = [
  { lead: [32], k: 192, n: 768 },
  { lead: [2, 7], k: 12, n: 384 },
  { lead: [3, 5], k: 384, n: 44 },
  { lead: [2, 3, 4], k: 5, n: 1 },
  { lead: [1], k: 1, n: 1 },
  { lead: [4, 9], k: 115, n: 57 },
] as const;

describe('F.linear', () => {
  for (const { lead, k, n } of shapes) {
    for (const options of ['', 'bias', 'residual', 'bias and residual']) {
      it(`is x Wᵀ${options && ` with ${options}`} for [${lead.join(', ')}, ${k}] to ${n}, gradients too`, () => {
        const given = [
          randn([...lead, k]).abs(),
          randn([n, k]).abs(),
          ...(options.includes('bias') ? [randn([n]).abs()] : []),
          ...(options.includes('residual') ? [randn([...lead, n]).abs()] : []),
        ];
        const run = (inputs: Tensor[]): Tensor => {
          const [x, weight, ...rest] = inputs as [Tensor, Tensor, ...Tensor[]];
          const bias = options.includes('bias') ? rest.shift() : undefined;
          return F.linear(x, weight, { bias, residual: rest.shift() });
        };
        const reference = (inputs: Tensor[]): Tensor => {
          const [x, weight, ...rest] = inputs as [Tensor, Tensor, ...Tensor[]];
          return rest.reduce((sum, t) => sum.add(t), ops.linear(x, weight));
        };
        // All of one sign: a sum that cancels has no relative error to speak of.
        const gradient = randn([...lead, n]).abs();
        const narrow = given.map(leaf);
        const wide = given.map((t) => leaf(t.to('float64')));
        const [y, expected] = [run(narrow), reference(wide)];
        expect(difference(y, expected)).toBeLessThan(rounding);
        expect(noGrad(() => run(narrow)).equal(y.detach())).toBe(true);
        const got = grad([y], narrow, { gradOutputs: [gradient] });
        const want = grad([expected], wide, { gradOutputs: [gradient.to('float64')] });
        got.forEach((g, i) => {
          expect(difference(g as Tensor, want[i] as Tensor), `input ${i}`).toBeLessThan(rounding);
        });
      });
    }
  }

  it('reads slices of a wider tensor in place and transposed weights rightly', () => {
    const wide = randn([2, 6, 20]);
    const weight = randn([4, 7]);
    const slice = wide.narrow(2, 3, 4);
    const expected = slice.contiguous().matmul(weight);
    expect(difference(F.linear(slice, weight.t()), expected)).toBeLessThan(rounding);
    expect(
      difference(
        F.linear(wide.transpose(0, 1).narrow(2, 3, 4), weight.t()),
        expected.transpose(0, 1),
      ),
    ).toBeLessThan(rounding);
  });

  it('takes an incoming gradient that is expanded, as sum() gives', () => {
    const [x, weight] = [leaf(randn([3, 4])), leaf(randn([5, 4]))];
    F.linear(x, weight).sum().backward();
    expect(difference(x.grad as Tensor, weight.sum(0).expand(3, 4))).toBeLessThan(rounding);
  });

  it('has second derivatives', () => {
    const [x, weight] = [leaf(tensor([[2]])), leaf(tensor([[3]]))];
    const [first] = grad([F.linear(x, weight).square()], [x], {
      gradOutputs: [tensor([[1]])],
      createGraph: true,
    });
    expect(first?.item()).toBe(36); // 2 w² x
    expect(grad([first as Tensor], [weight], { gradOutputs: [tensor([[1]])] })[0]?.item()).toBe(24); // 4 w x
  });

  it('works in other types and on empty input', () => {
    for (const dtype of ['float64', 'bfloat16'] as const) {
      const [x, weight] = [tensor([[1, 2]], { dtype }), tensor([[3, 4]], { dtype })];
      expect(F.linear(x, weight, { bias: tensor([0.5], { dtype }) }).toNumbers()).toEqual([11.5]);
    }
    expect(F.linear(randn([0, 4]), randn([5, 4])).shape).toEqual([0, 5]);
  });

  it('is bias and residual where there is nothing to sum over, and has gradients of zeros', () => {
    for (const dtype of ['float32', 'float64', 'bfloat16'] as const) {
      const [x, weight] = [zeros([2, 0], { dtype }), zeros([3, 0], { dtype })];
      const [bias, residual] = [tensor([1, 2, 3], { dtype }), ones([2, 3], { dtype })];
      expect(F.linear(x, weight).toNumbers()).toEqual([0, 0, 0, 0, 0, 0]);
      expect(F.linear(x, weight, { bias, residual }).toNumbers()).toEqual([2, 3, 4, 2, 3, 4]);
    }
    const weight = ones([3, 4], { requiresGrad: true });
    F.linear(zeros([0, 4]), weight)
      .sum()
      .backward();
    expect(weight.grad?.toNumbers()).toEqual(Array<number>(12).fill(0));
  });

  it('refuses shapes that do not fit, with the shapes', () => {
    expect(() => F.linear(randn([2, 3]), randn([5, 4]))).toThrow(TorchError);
    expect(() => F.linear(randn([2, 3]), randn([5, 4]))).toThrow(
      /float32\[2, 3\].*float32\[5, 4\]/,
    );
    // By our kernel, and by libtorch's operators, which would expand a residual of one row.
    for (const dtype of ['float32', 'float64'] as const) {
      const [x, weight] = [randn([2, 4], { dtype }), randn([5, 4], { dtype })];
      for (const shape of [
        [2, 4],
        [1, 5],
      ]) {
        const residual = randn(shape, { dtype });
        expect(() => F.linear(x, weight, { residual })).toThrow(
          new RegExp(`residual.*${shape.join(', ')}.*2, 5`),
        );
      }
    }
  });
});
