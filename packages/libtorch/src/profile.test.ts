import { describe, expect, it } from 'vitest';
import { F, noGrad, profileOperators, randn, scope } from './index.js';
import { blockCases, blockInputs, type BlockCase } from './kernels/testing/compare-block.js';
import { mambaBlock } from './kernels/index.js';

const numbersOf = (work: () => void) => {
  const { ms, operators } = profileOperators(work);
  const within = operators.reduce((sum, operator) => sum + operator.ms, 0);
  return { ms, operators, within, names: operators.map(({ name }) => name) };
};

describe('profileOperators', () => {
  it('counts the calls of each operator, and times none twice', () => {
    scope(() => {
      const x = randn([64, 64]);
      const { ms, within, operators } = numbersOf(() => {
        for (let i = 0; i < 3; i++) x.matmul(x).neg();
      });
      const calls = new Map(operators.map(({ name, calls }) => [name, calls]));
      expect(calls.get('aten::neg')).toBe(3);
      // matmul calls mm: both are there, and what mm took is not matmul's.
      expect(calls.get('aten::matmul')).toBe(3);
      expect(calls.get('aten::mm')).toBe(3);
      // Both clocks are steady: the parts lie within the whole, and the rounding of sums is all that may differ.
      expect(within).toBeLessThanOrEqual(ms + 1e-6);
      for (const { name, ms: own } of operators) expect(own, name).toBeGreaterThanOrEqual(0);
    });
  });

  it('has the operators of a backward pass, and names the nodes of our own operators', () => {
    scope(() => {
      const [x, bias] = [randn([8, 6]), randn([6])];
      bias.requiresGrad = true;
      const y = F.biasGelu(x, bias).mul(2).sum();
      const { names, operators } = numbersOf(() => {
        y.backward();
      });
      expect(operators.find(({ name }) => /^MulBackward\d$/.test(name))?.calls).toBe(1);
      expect(
        operators.find(({ name }) => name === 'mamba_prune::bias_gelu (backward)')?.calls,
      ).toBe(1);
      expect(names.filter((name) => /CppNode|evaluate_function/.test(name))).toEqual([]);
    });
  });

  it.each([1, 5])('names every stage of a block for inference (batch %i)', (batch) => {
    scope(() => {
      const { x, weights } = blockInputs({ ...(blockCases[1] as BlockCase), batch });
      const { names, ms, within } = numbersOf(() => {
        noGrad(() => mambaBlock(x, weights, 1e-5));
      });
      const stages = [
        'norm',
        'in_proj',
        'conv',
        'x_proj',
        'dt_proj',
        'scan',
        'out_proj',
        'fc1',
        'fc2',
      ];
      expect(names).toEqual(expect.arrayContaining([...stages, 'mamba_prune::mamba_block']));
      expect(within).toBeLessThanOrEqual(ms + 1e-6);
    });
  });

  it('refuses asynchronous work, most of which it would not see', () => {
    const work = async (): Promise<void> => {
      await Promise.resolve();
      throw new RangeError('nobody waits for this');
    };
    expect(() => profileOperators(work as () => void)).toThrow(
      /profileOperators: got an async function, expected a synchronous one/,
    );
    expect(profileOperators(() => undefined).operators).toEqual([]);
  });

  it('takes one profile at a time, and ends it where the work throws', () => {
    expect(() => profileOperators(() => void profileOperators(() => undefined))).toThrow(
      /a profile is being taken already/,
    );
    expect(() =>
      profileOperators(() => {
        throw new RangeError('stopped');
      }),
    ).toThrow('stopped');
    scope(() => {
      expect(numbersOf(() => void randn([2])).names).toContain('aten::randn');
    });
  });
});
