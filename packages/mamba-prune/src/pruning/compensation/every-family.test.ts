// Compensation on every architecture: nothing in it may know what a model is made of.
import { noGrad } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import type { ImageModel } from '../../models/image-model.js';
import { families } from '../testing/families.js';
import { randomImages, weightOf } from '../testing/models.js';
import { chooseUnits, defaultKinds } from '../select-units.js';
import { maskModel, pruneModel } from '../surgery.js';
import { compensationTargetNames } from './choices.js';
import { type Compensation, compensate } from './compensate.js';

async function halved(model: ImageModel) {
  const rates = Object.fromEntries(defaultKinds(model).map((kind) => [kind, 0.5]));
  const kept = await chooseUnits(model, { rates, importance: 'l1', ranking: 'layer' });
  return { kept, cut: pruneModel(model, kept) };
}

describe.each(Object.entries(families))('%s', (_, make) => {
  it.each(compensationTargetNames)('loses less of every layer: %s', async (target) => {
    const model = make();
    const { kept, cut } = await halved(model);
    const images = randomImages(model, [16, 16, 8]);
    const { groups } = await compensate(model, cut, kept, images, { target, judge: 'error' });
    expect(groups.map(({ group }) => group)).toEqual([...kept.keys()]);
    for (const { group, error, damping } of groups) {
      expect(error.after, group).toBeLessThanOrEqual(error.before);
      if (damping > 0) expect(error.after, group).toBeLessThan(error.before);
    }
    expect(groups.filter(({ damping }) => damping > 0).length).toBeGreaterThan(groups.length / 2);
  });

  it('is never further from the dense model than without it, by class probabilities', async () => {
    const model = make();
    const { kept, cut } = await halved(model);
    const images = randomImages(model, [16, 16, 8]);
    const { divergence }: Compensation = await compensate(model, cut, kept, images, {
      judge: 'divergence',
    });
    expect(divergence.after).toBeLessThan(divergence.before);
  });

  it('computes what the masked model with the same readers does', async () => {
    const model = make();
    const { kept, cut } = await halved(model);
    const images = randomImages(model, [16, 8]);
    await compensate(model, cut, kept, images, { judge: 'error' });
    maskModel(model, kept);
    noGrad(() => {
      for (const { name, size, members } of model.pruningGroups()) {
        const units = kept.get(name);
        const reader = members.find(({ consumer }) => consumer);
        if (!units || !reader) continue;
        const [wide, narrow] = [model, cut].map((each) => weightOf(each, reader.parameter));
        if (!wide || !narrow) continue;
        // Those of a bottleneck's middle convolution are themselves units of a group.
        const makes = model
          .pruningGroups()
          .find((each) =>
            each.members.some(({ parameter, dim }) => parameter === reader.parameter && dim === 0),
          );
        const rows =
          kept.get(makes?.name ?? '') ?? Array.from({ length: wide.size(0) }, (__, i) => i);
        const unitSize = wide.size(1) / size;
        rows.forEach((row, at) => {
          units.forEach((unit, place) => {
            const [from, to] = [place * unitSize, unit * unitSize];
            wide
              .select(0, row)
              .narrow(0, to, unitSize)
              .copy_(narrow.select(0, at).narrow(0, from, unitSize));
          });
        });
        const bias = reader.parameter.replace(/weight$/, 'bias');
        if (model.stateDict().has(bias)) weightOf(model, bias).copy_(weightOf(cut, bias));
      }
    });
    for await (const batch of images()) {
      const [masked, pruned] = [model, cut].map((each) =>
        noGrad(() => each.forward(batch.images)).toNumbers(),
      );
      const largest = Math.max(...(masked ?? []).map(Math.abs));
      // Sums of float32 in another order.
      pruned?.forEach((logit, i) => {
        expect(Math.abs(logit - (masked?.[i] ?? NaN))).toBeLessThan(1e-4 * largest);
      });
    }
  });
});
