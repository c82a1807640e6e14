// Our own operators: values and every gradient, for every instruction set that this processor has.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { endsWithTests } from '../../../../test/support/children.js';
import { support, transpiledLibtorch } from '../../../../test/support/transpiled.js';
import { F, type Tensor, grad, manualSeed, noGrad, randn, scope, zeros } from '../index.js';
import type { Worst } from './testing/compare-kernels.js';
import { type KernelCase, convCase, geluCase, rmsCase, scanCase } from './testing/kernel-cases.js';

const built = transpiledLibtorch();
afterAll(() => {
  built.remove();
});

type Found = Record<
  'float64' | 'float32',
  Record<'scan' | 'conv' | 'gelu' | 'rms', Worst> & { readonly threads: readonly string[] }
> &
  Record<'block' | 'inference', Worst & { readonly threads: readonly string[] }>;

/** What the child found; undefined if this processor (or build) has no such instruction set. */
function withInstructions(isa: string): Promise<Found | undefined> {
  const child = endsWithTests(
    spawn(process.execPath, [join(support, 'kernel-child.mjs'), built.src], {
      env: { ...process.env, MAMBA_PRUNE_ISA: isa },
    }),
  );
  let [out, errors] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (out += data.toString()));
  child.stderr.on('data', (data: Buffer) => (errors += data.toString()));
  return new Promise((resolve, reject) => {
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(out) as Found);
      else if (/MAMBA_PRUNE_ISA: got .*expected one of/.test(errors)) resolve(undefined);
      else reject(new Error(`${isa}: ended with ${code}: ${errors.slice(-2000)}`));
    });
  });
}

describe.each(['baseline', 'avx2', 'avx512'])('the kernels with %s', (isa) => {
  it('compute what plain loops of tensor operations do, and so do their gradients', async (test) => {
    const found = await withInstructions(isa);
    if (found === undefined) {
      expect(isa, 'every processor has the baseline').not.toBe('baseline');
      test.skip(`this processor has no ${isa}`);
      return;
    }
    // Relative to the largest element of a tensor. Where it has few, all may be small differences of
    // large terms, and 1 + erf in the plain loop loses digits far below zero: measured 5e-12. For
    // float32 the plain loop is in float64, so what is left is the kernel's own rounding, 6e-8, times
    // that cancellation: measured 3e-6.
    const { float64, float32 } = found;
    for (const operator of ['scan', 'conv', 'gelu', 'rms'] as const) {
      expect(float64[operator].error, float64[operator].at).toBeLessThan(1e-10);
      expect(float32[operator].error, float32[operator].at).toBeLessThan(1e-5);
    }
    // Float32 sums of up to 513 terms, several products deep: some tens of roundings of 6e-8.
    expect(found.block.error, found.block.at).toBeLessThan(3e-6);
    expect(found.block.threads).toEqual([]);
    // As above; Winograd's transforms multiply by up to 8 and subtract, which costs two or three bits.
    expect(found.inference.error, found.inference.at).toBeLessThan(3e-6);
    expect(found.inference.threads).toEqual([]);
    expect(found.float64.threads).toEqual([]);
    expect(found.float32.threads).toEqual([]);
  });
});

/** Every element of every gradient against (f(x + h) - f(x - h)) / 2h, for the sum of weighted outputs. */
function finiteDifferenceError(test: KernelCase): number {
  return scope(() => {
    const of = test.inputs();
    const weights = noGrad(() =>
      test.kernel(of).map((output) => randn(output.shape, { dtype: 'float64' })),
    );
    const value = (): Tensor =>
      test
        .kernel(of)
        .map((output, i) => output.mul(weights[i] as Tensor).sum())
        .reduce((a, b) => a.add(b));
    for (const tensor of Object.values(of)) tensor.requiresGrad = true;
    const gradients = grad([value()], Object.values(of));
    let worst = 0;
    const h = 1e-5;
    noGrad(() => {
      Object.values(of).forEach((tensor, i) => {
        const flat = tensor.view(-1);
        const exact = gradients[i]?.toNumbers() ?? [];
        for (let at = 0; at < flat.numel; at++) {
          const element = flat.narrow(0, at, 1);
          const before = element.item();
          const above = (element.fill_(before + h), value().item());
          const below = (element.fill_(before - h), value().item());
          element.fill_(before);
          worst = Math.max(worst, Math.abs((above - below) / (2 * h) - (exact[at] ?? NaN)));
        }
      });
    });
    return worst;
  });
}

describe('gradients', () => {
  it.each([
    scanCase({ batch: 2, length: 3, channels: 2, states: 2 }, 15, 'contiguous', [0, 1]),
    scanCase({ batch: 1, length: 3, channels: 2, states: 2 }, 31, 'contiguous', [0, 1]),
    convCase([2, 3, 2, 4], { bias: true, silu: true }, 'contiguous'),
    geluCase([3, 5], 'contiguous'),
    rmsCase([3, 5], 'contiguous'),
  ])('are finite differences: $name', (test) => {
    manualSeed(12);
    // Error of the formula: h^2 f'''/6, 1e-10 for third derivatives up to 10, of rounding: 1e-16 / h,
    // 1e-11. Values here are of order 1 to 100.
    expect(finiteDifferenceError(test)).toBeLessThan(1e-6);
  });

  it('of an empty batch are zeros or empty', () => {
    const u = zeros([0, 3, 5]);
    const A = zeros([5, 2], { requiresGrad: true });
    const B = zeros([0, 3, 2]);
    const { y, lastState } = F.selectiveScan(u, u, A, B, B);
    expect(y.shape).toEqual([0, 3, 5]);
    expect(lastState.shape).toEqual([0, 5, 2]);
    expect(grad([y.sum()], [A])[0]?.toNumbers()).toEqual(Array(10).fill(0));
  });
});
