// Options as earlier versions spelt them.
import { describe, expect, it } from 'vitest';
import { todaysCut } from './earlier-names.js';
import { pruneMambaHybrid, pruneMambaSsmStructured } from './mamba-structured.js';
import { refillUnits } from './refill.js';
import { rsstHooks, rsstLambda, unitsByNorm } from './rsst/index.js';
import { scoreUnits } from './score-units.js';
import { chooseUnits } from './select-units.js';
import { selectUnits } from './selection.js';
import { smallMamba } from './testing/models.js';

/** Options that the types know no more. */
const earlier = (options: object): never => options as never;

const rates = { ssm: 0.4 };
const before = { rates, importance: 'l2', score: 'out_proj', scope: 'layerwise' };
const today = { rates, importance: 'l2', score: 'consumer', ranking: 'layer' } as const;

describe('earlier names of options', () => {
  it('are read by whatever chooses units', async () => {
    const model = smallMamba();
    const groups = model.pruningGroups().filter(({ kind }) => kind === 'ssm');
    expect(await chooseUnits(model, earlier(before))).toEqual(await chooseUnits(model, today));
    const fillback = { fillback: 0.2 };
    expect(await refillUnits(model, earlier({ ...before, ...fillback }))).toEqual(
      await refillUnits(model, { ...today, ...fillback }),
    );
    const scores = await scoreUnits(model, groups, { importance: 'l2', score: 'consumer' });
    expect(
      await scoreUnits(model, groups, earlier({ importance: 'l2', score: 'out_proj' })),
    ).toEqual(scores);
    expect(selectUnits(groups, scores, earlier({ rate: 0.4, scope: 'layerwise' }))).toEqual(
      selectUnits(groups, scores, { rate: 0.4, ranking: 'layer' }),
    );
    expect(unitsByNorm(model, groups, earlier({ norm: 'l1', rates, scope: 'global' }))).toEqual(
      unitsByNorm(model, groups, { norm: 'l1', rates, ranking: 'global' }),
    );
    const ratio = { pruneRatio: 0.4 };
    const { kept } = await pruneMambaSsmStructured(model, { ...ratio, ranking: 'layer' });
    for (const options of [
      { method: 'layerwise' },
      { method: 'layer' },
      { ranking: 'layerwise' },
    ]) {
      const result = await pruneMambaSsmStructured(model, earlier({ ...ratio, ...options }));
      expect(result.kept).toEqual(kept);
    }
    expect((await pruneMambaSsmStructured(model, 0.4, earlier('layerwise' as never))).kept).toEqual(
      kept,
    );
    const hybrid = await pruneMambaHybrid(model, { ssmRatio: 0.4, mlpRatio: 0, ranking: 'layer' });
    expect(
      (await pruneMambaHybrid(model, earlier({ ssmRatio: 0.4, mlpRatio: 0, method: 'layerwise' })))
        .kept,
    ).toEqual(hybrid.kept);
  });

  it('are read by RSST', () => {
    expect(rsstLambda('x', earlier({ base: 0.5 }), 0.5)).toBe(0.25);
    const model = smallMamba();
    const options = { norm: 'l1', targets: ['ssm'], schedule: 'x' } as const;
    const lambdaOf = (more: object): unknown =>
      rsstHooks(model, model.pruningGroups(), earlier({ ...options, ...more })).epochMetrics?.(
        ...([1, 2, model] as unknown as Parameters<
          NonNullable<ReturnType<typeof rsstHooks>['epochMetrics']>
        >),
      );
    expect(lambdaOf({ base: 0.5 })).toEqual(lambdaOf({ strength: 0.5 }));
    expect(lambdaOf({ base: 0.5 })).toMatchObject({ rsst: { lambda: 0.25 } });
  });

  it('beside today’s are refused, and others stay as they are', async () => {
    const both = earlier({ ...today, scope: 'global' });
    await expect(chooseUnits(smallMamba(), both)).rejects.toThrow(/got the option `scope`/);
    expect(todaysCut(today)).toBe(today);
    expect(todaysCut(null)).toBeNull();
    expect(todaysCut('layerwise')).toBe('layerwise');
  });
});
