import { describe, expect, it } from 'vitest';
import { UsageError } from '../errors.js';
import type { Calibration } from './calibration.js';
import { type CutOptions, chooseUnits, defaultKinds } from './select-units.js';
import { randomImages, smallMamba } from './testing/models.js';

const options: CutOptions = { rates: { ssm: 0.5 }, importance: 'l1', ranking: 'layer' };

describe('chooseUnits', () => {
  it('cuts the kinds that have a rate, each by its own, in the order of the network', async () => {
    const rates = { mlp: 0.25, dt_rank: 0, state: 0.5, ssm: 0.75 };
    const kept = await chooseUnits(smallMamba(), { ...options, rates });
    expect(Array.from(kept, ([name, { length }]) => [name, length])).toEqual([
      ['blocks.0.ssm', 8],
      ['blocks.0.state', 2],
      ['blocks.0.dt_rank', 1],
      ['blocks.0.mlp', 48],
      ['blocks.1.ssm', 8],
      ['blocks.1.state', 2],
      ['blocks.1.dt_rank', 1],
      ['blocks.1.mlp', 48],
    ]);
  });

  it('leaves states and ranks whole unless they are named', async () => {
    const kept = await chooseUnits(smallMamba(), { ...options, rates: { ssm: 0.5, mlp: 0.5 } });
    expect([...kept.keys()].filter((name) => /state|dt_rank/.test(name))).toEqual([]);
    expect(defaultKinds(smallMamba())).toEqual(['ssm', 'mlp']);
  });

  it('takes the best importance that the inputs allow unless one is given', async () => {
    const model = smallMamba();
    const images = randomImages(model, [4]);
    const { rates, ranking } = options;
    const kept = (given: Partial<CutOptions>, calibration?: Calibration) =>
      chooseUnits(model, { rates, ranking, ...given }, calibration);
    const [l1, taylor] = [
      await kept({ importance: 'l1' }),
      await kept({ importance: 'taylor' }, images),
    ];
    expect(taylor).not.toEqual(l1);
    expect(await kept({})).toEqual(l1);
    expect(await kept({ importance: undefined }, images)).toEqual(taylor);
    expect(await kept({ importance: 'l1' }, images)).toEqual(l1);
    const score = 'activation';
    expect(await kept({ score }, images)).toEqual(await kept({ score, importance: 'l1' }, images));
    await expect(kept({ score })).rejects.toThrow(/`score` activation: got no images/);
  });

  it('finds mistakes before it reads any data', async () => {
    let passes = 0;
    // eslint-disable-next-line require-yield, @typescript-eslint/require-await -- must not be read
    const untouched: Calibration = async function* () {
      passes++;
    };
    const attempt = (wrong: Partial<CutOptions>): Promise<unknown> =>
      chooseUnits(smallMamba(), { ...options, importance: 'taylor', ...wrong }, untouched);
    for (const [wrong, message] of [
      [{ rates: { heads: 0.5 } }, /pruning target: got 'heads', expected one of ssm, state/],
      [{ rates: { ssm: 0.5, mlp: 1 } }, /rate: got 1 for mlp, expected the fraction to remove/],
      [{ roundTo: 0 }, /`roundTo`: got 0/],
      [{ maxRate: 2 }, /`maxRate`: got 2/],
      [{ score: 'activation' }, /`score` activation: got `importance` taylor/],
    ] as const) {
      await expect(attempt(wrong)).rejects.toThrow(UsageError);
      await expect(attempt(wrong)).rejects.toThrow(message);
    }
    expect(passes).toBe(0);
  });
});
