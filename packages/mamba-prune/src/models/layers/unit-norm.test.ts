import { type Tensor, noGrad, randn, tensor } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UnitNorm } from './unit-norm.js';

const rows = [
  [1, 2, -3, 0.5],
  [0, 4, 1, -2],
];
const x = (): Tensor => tensor(rows);

/** By hand: mean and variance with weights, eps 1e-5. */
function weighed(row: readonly number[], weights: readonly number[]): number[] {
  const count = weights.reduce((sum, weight) => sum + weight, 0);
  const mean = row.reduce((sum, value, i) => sum + value * (weights[i] ?? NaN), 0) / count;
  const variance =
    row.reduce((sum, value, i) => sum + (value - mean) ** 2 * (weights[i] ?? NaN), 0) / count;
  return row.map((value) => (value - mean) / Math.sqrt(variance + 1e-5));
}

function expectClose(got: Tensor, expected: readonly number[]): void {
  got.toNumbers().forEach((value, i) => {
    // Roundings of float32 of values up to 2.
    expect(value).toBeCloseTo(expected[i] ?? NaN, 5);
  });
}

describe('UnitNorm', () => {
  it('is plain LayerNorm until something weighs its units, and again after unweigh', () => {
    const norm = new UnitNorm(4);
    const plain = rows.flatMap((row) => weighed(row, [1, 1, 1, 1]));
    expect(norm.isWeighing).toBe(false);
    expectClose(norm.forward(x()), plain);
    noGrad(() => norm.weigh().copy_(tensor([1, 0.25, 0.5, 0])));
    expect(norm.isWeighing).toBe(true);
    expectClose(
      norm.forward(x()),
      rows.flatMap((row) => weighed(row, [1, 0.25, 0.5, 0])),
    );
    norm.unweigh();
    expectClose(norm.forward(x()), plain);
    expect(norm.weigh().toNumbers()).toEqual([1, 1, 1, 1]);
  });

  it('multiplies what a unit gives by its gate, and not by its share', () => {
    const norm = new UnitNorm(4);
    noGrad(() => norm.weigh().copy_(tensor([1, 0.5, 1, 1])));
    const gates = [1, 0.5, 0, 1];
    expectClose(
      norm.forward(x(), tensor([gates])),
      rows.flatMap((row) =>
        weighed(row, [1, 0.25, 0, 1]).map((value, i) => value * (gates[i] ?? NaN)),
      ),
    );
  });

  it('gives the same whatever a unit without a share is, and no gradient from the mean to it', () => {
    const norm = new UnitNorm(4);
    noGrad(() => norm.weigh().copy_(tensor([1, 1, 1, 0])));
    const input = randn([3, 4]);
    input.requiresGrad = true;
    norm.forward(input).narrow(1, 0, 3).square().sum().backward();
    expect(input.grad?.narrow(1, 3, 1).abs().max().item()).toBe(0);
  });

  it('has the shares in no state dict, moves them with the module and frees them with it', () => {
    const norm = new UnitNorm(4);
    const shares = norm.weigh();
    expect([...norm.stateDict().keys()]).toEqual(['weight', 'bias']);
    norm.to('float64');
    expect(shares.dtype).toBe('float64');
    norm.dispose();
    expect(shares.disposed).toBe(true);
  });
});
