// Scores and refill on every architecture: nothing in them may know what a model is made of.
import { noGrad } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { memberOffset, memberUnitSize } from '../models/groups.js';
import { type ScoreOptions, scoreUnits } from './score-units.js';
import { pruneWithRefill } from './refill.js';
import { chooseUnits, defaultKinds } from './select-units.js';
import { families } from './testing/families.js';
import { randomImages, weightOf } from './testing/models.js';

const ways: (ScoreOptions & { readonly importance: string })[] = [
  { importance: 'l1' },
  { importance: 'l2', score: 'group' },
  { importance: 'taylor' },
  { importance: 'taylor', score: 'group' },
  { importance: 'fisher' },
  { importance: 'obd', score: 'group' },
  { importance: 'l2', score: 'activation' },
];

describe.each(Object.entries(families))('%s', (_, make) => {
  it.each(ways.map((way) => [`${way.importance}, ${way.score ?? 'consumer'}`, way] as const))(
    'gives a unit without weights the score 0 and the others more: %s',
    async (__, way) => {
      const model = make();
      const watched = model.pruningGroups().filter(({ optional }) => !optional);
      noGrad(() => {
        for (const { members } of watched) {
          for (const member of members) {
            const unitSize = memberUnitSize(member);
            weightOf(model, member.parameter)
              .narrow(member.dim, memberOffset(member) + unitSize, unitSize)
              .zero_(); // unit 1
          }
        }
      });
      const scores = await scoreUnits(model, watched, way, randomImages(model, [3, 2]));
      for (const { name, size } of watched) {
        const values = Array.from(scores.get(name) ?? []);
        expect(values, name).toHaveLength(size);
        expect(values[1], name).toBe(0);
        // A rectifier can leave a unit without output and so without gradient, but hardly every one.
        const others = values.filter((value, unit) => unit !== 1 && value > 0).length;
        expect(others / (size - 1), name).toBeGreaterThan(0.5);
      }
    },
  );

  it('is refilled by gradient to the size of plain pruning', async () => {
    const model = make();
    const rates = Object.fromEntries(defaultKinds(model).map((kind) => [kind, 0.4]));
    const cut = { rates, importance: 'l2', ranking: 'layer' } as const;
    const plain = await chooseUnits(model, cut);
    const { model: pruned, returned } = await pruneWithRefill(
      model,
      { ...cut, fillback: 0.3, refillScore: 'gradient', budget: 'keep' },
      randomImages(model, [3, 2]),
    );
    for (const [name, units] of plain) expect(pruned.config.widths[name]).toBe(units.length);
    expect(Array.from(returned.values()).flat().length).toBeGreaterThan(0);
  });
});
