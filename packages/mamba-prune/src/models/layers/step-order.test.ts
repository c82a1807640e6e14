import { type Tensor, manualSeed, noGrad, randn, scope } from '@mamba-prune/libtorch';
import * as kernels from '@mamba-prune/libtorch/kernels';
import { describe, expect, it } from 'vitest';
import { type ChannelWeights, inStepOrder } from './step-order.js';

const [model, inner, states, rank] = [12, 50, 6, 3];

/** Of a direction, as `scanWeights` gives them; steps and A are of many magnitudes. */
function direction(): Tensor[] {
  return [
    randn([inner, 1, 4]),
    randn([inner]),
    randn([rank + 2 * states, inner]),
    randn([inner, rank]),
    randn([inner]).mul(2).sub(4),
    randn([inner, states]),
    randn([inner]),
  ];
}

/** The largest |dt A| of each channel of a direction, by the bias of dt alone. */
function reach(scans: readonly Tensor[], at: number): number[] {
  const [bias, aLog] = [scans[at + 4], scans[at + 5]] as [Tensor, Tensor];
  return aLog.exp().amax(1).mul(bias.softplus()).toNumbers();
}

describe('inStepOrder', () => {
  for (const directions of [1, 2]) {
    it(`leaves what an SSM of ${directions} computes, and orders its channels`, () => {
      scope(() => {
        noGrad(() => {
          manualSeed(directions);
          const weights: ChannelWeights = {
            inProj: randn([2 * inner, model]),
            outProj: randn([model, inner]),
            scans: Array.from({ length: directions }, direction).flat(),
          };
          const ordered = inStepOrder(weights);
          const [norm, x] = [randn([model]), randn([2, 17, model])];
          const before = kernels.vimBlock(x, { norm, ...weights }, 1e-5);
          const after = kernels.vimBlock(x, { norm, ...ordered }, 1e-5);
          // Sums in another order, of numbers of some hundreds.
          const size = before.abs().amax().item();
          expect(after.sub(before).abs().amax().item() / size).toBeLessThan(1e-5);

          const of = ({ scans }: ChannelWeights): number[] => {
            const each = Array.from({ length: directions }, (_, d) => reach(scans, 7 * d));
            return (each[0] ?? []).map((_, c) => Math.max(...each.map((one) => one[c] ?? NaN)));
          };
          const [given, sorted] = [of(weights), of(ordered)];
          const rising = [...given].sort((a, b) => a - b);
          // An exponential's last bit may depend on where in a register the number lies.
          const off = sorted.map((value, c) => Math.abs(value / (rising[c] ?? NaN) - 1));
          expect(Math.max(...off)).toBeLessThan(1e-5);
          expect(given).not.toEqual(rising);
        });
      });
    });
  }
});
