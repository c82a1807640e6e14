import { noGrad } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { gateGradients } from './measure.js';
import { chooseUnits } from './select-units.js';
import { maskModel } from './surgery.js';
import { randomImages, smallMamba } from './testing/models.js';

describe('gateGradients', () => {
  it('agrees with finite differences of the loss on an SSM and an MLP', async () => {
    const model = smallMamba({ scan: 'bi' });
    model.to('float64');
    const source = randomImages(model, [3]);
    const doubles = async function* () {
      for await (const { images: values, labels } of source()) {
        yield { images: values.to('float64'), labels };
      }
    };
    const keep = Array.from({ length: 16 }, (_, unit) => 2 * unit);
    const kept = new Map([
      ['blocks.0.ssm', keep],
      ['blocks.1.mlp', keep],
    ]);
    const groups = model.pruningGroups().filter(({ name }) => kept.has(name));
    const gradients = await gateGradients(model, groups, kept, doubles);
    const lossWith = async (group: string, unit: number, gate: number): Promise<number> => {
      let loss = NaN;
      for await (const { images: values, labels } of doubles()) {
        const logits = noGrad(() =>
          model.forward(values, {
            gate(name, x, dim) {
              const units = kept.get(name);
              if (!units) return x;
              const factors = x.detach().mul(0);
              for (const index of units) factors.select(dim, index).fill_(1);
              if (name === group) factors.select(dim, unit).fill_(gate);
              return x.mul(factors);
            },
          }),
        );
        const chosen = logits.logSoftmax(1).gather(1, labels.unsqueeze(1));
        loss = -chosen.mean().item();
      }
      return loss;
    };
    for (const group of kept.keys()) {
      for (const unit of [1, 7, 31]) {
        const step = 1e-4;
        const up = await lossWith(group, unit, step);
        const down = await lossWith(group, unit, -step);
        const expected = Math.abs(up - down) / (2 * step);
        // Central differences are off by step² = 1e-8 of the third derivative; gates are float32, and
        // round their gradients of about 1e-2 by 1e-9.
        expect(Math.abs((gradients.get(group)?.[unit] ?? NaN) - expected)).toBeLessThan(1e-7);
        expect(expected).toBeGreaterThan(1e-6);
      }
    }
  });

  it('sees the model as it is with the removed units masked', async () => {
    const model = smallMamba();
    const kept = await chooseUnits(model, {
      rates: { ssm: 0.7, mlp: 0.6 },
      importance: 'l2',
      ranking: 'global',
    });
    const groups = model.pruningGroups().filter(({ optional }) => !optional);
    const data = randomImages(model, [3]);
    const gated = await gateGradients(model, groups, kept, data);
    maskModel(model, kept);
    const masked = await gateGradients(model, groups, new Map(), data);
    for (const [name, units] of kept) {
      for (const unit of units) {
        const [a = NaN, b = NaN] = [gated, masked].map((values) => values.get(name)?.[unit]);
        // The same products with zeros in other places; float32 gradients of a size of about 1e-2.
        expect(Math.abs(a - b)).toBeLessThan(1e-6);
      }
    }
  });
});
