// Products in low precision where the processor has none: elsewhere than on x86-64, and on x86-64 the oldest instruction
// set is asked for. There is then a reason, which is given in place of a result.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { randn, scope } from '../index.js';
import { lowLinear, packProduct, productKernels, productsMissing } from './low-precision.js';

beforeAll(() => {
  // Read when the addon first needs kernels, which is below.
  vi.stubEnv('MAMBA_PRUNE_ISA', 'baseline');
});
afterAll(() => {
  vi.unstubAllEnvs();
});

const reason =
  process.arch === 'x64'
    ? 'MAMBA_PRUNE_ISA asks for the instruction set baseline'
    : 'there are kernels for it on x86-64 only';

describe.each(['bf16', 'int8'] as const)('%s without kernels for it', (precision) => {
  it('has a reason and no instructions', () => {
    expect(productsMissing(precision)).toBe(reason);
    expect(productKernels(precision)).toBe('');
  });

  it('multiplies by no matrix, which can be packed all the same', () => {
    scope(() => {
      const packed = packProduct(randn([3, 6]), precision);
      expect(() => lowLinear(randn([2, 6]), packed)).toThrow(
        `low_linear: got weights in ${precision}, but ${reason}. Use float32.`,
      );
      // What is no packed matrix is told so, and not that a processor is missing something.
      expect(() => lowLinear(randn([2, 6]), randn([3, 6]))).toThrow(/that pack_low made/);
    });
  });
});
