import { F, nn, noGrad, scope, tensor } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../errors.js';
import type { ImageModel } from '../models/image-model.js';
import { VisionMamba } from '../models/mamba/model.js';
import { mambaConfig } from '../models/mamba/config.js';
import { scoreUnits } from './score-units.js';
import { computeStructuredRegularization } from './rsst/index.js';
import {
  calculateChannelImportance,
  calculateNeuronImportance,
  computeMambaStructuredRegularization,
  pruneMambaHybrid,
  pruneMambaMlpStructured,
  pruneMambaSsmStructured,
} from './mamba-structured.js';
import { TwoLayer, randomImages, smallMamba, smallSizes, weightOf } from './testing/models.js';

const widthsOf = (model: { readonly config: { readonly widths: object } }): object =>
  model.config.widths;

describe('calculateChannelImportance', () => {
  // [out, in]: three input channels, two output channels.
  const layer = { weight: tensor([3, 0, 1, -4, 2, 1]).reshape(2, 3) };

  it('scores input channels, the columns of the weight', () => {
    expect([...calculateChannelImportance(layer)]).toEqual([7, 2, 2]);
    const [first, second, third] = calculateChannelImportance(layer, 'l2');
    expect([first, second]).toEqual([5, 2]);
    // libtorch's norm of two ones is a rounding away from that on some processors.
    expect(Math.abs((third ?? NaN) - Math.SQRT2)).toBeLessThanOrEqual(2 ** -51);
  });

  it('takes the gradient that the weight holds for taylor', () => {
    const linear = new nn.Linear(3, 2, { bias: false });
    noGrad(() => linear.weight.copy_(layer.weight));
    // L = 2 y0 - y1 at x = (1, 2, 3): dL/dw = [2x, -x].
    const y = linear.forward(tensor([1, 2, 3]).reshape(1, 3));
    y.mul(tensor([2, -1]))
      .sum()
      .backward();
    expect([...calculateChannelImportance(linear, 'taylor')]).toEqual([
      3 * 2 + 4 * 1,
      0 + 2 * 2,
      1 * 6 + 1 * 3,
    ]);
  });

  it('never takes l1 for taylor', () => {
    const attempt = (): unknown => calculateChannelImportance(layer, 'taylor');
    expect(attempt).toThrow(UsageError);
    expect(attempt).toThrow(/got importance taylor for a weight without a gradient.*scoreUnits/);
  });

  it('refuses other importances and other shapes', () => {
    expect(() => calculateChannelImportance(layer, 'max' as 'l1')).toThrow(
      /calculateChannelImportance: importance: got 'max', expected one of l1, l2, taylor/,
    );
    expect(() => calculateChannelImportance({ weight: tensor([1, 2]) })).toThrow(
      /got a weight of shape \[2\], expected that of a linear layer/,
    );
  });
});

describe('calculateNeuronImportance', () => {
  it('adds the norms of the row of fc1 and the column of fc2', () => {
    const fc1 = { weight: tensor([3, -4, 0, 1]).reshape(2, 2) };
    const fc2 = { weight: tensor([1, 5, -1, 12]).reshape(2, 2) };
    expect([...calculateNeuronImportance(fc1, fc2)]).toEqual([9, 18]);
    expect([...calculateNeuronImportance(fc1, fc2, 'l2')]).toEqual([5 + Math.SQRT2, 14]);
  });

  it('gives the scores that groups get', async () => {
    const model = new VisionMamba(mambaConfig('mamba_tiny', smallSizes));
    for await (const { images, labels } of randomImages(model, [3])()) {
      F.crossEntropy(model.forward(images), labels).backward();
    }
    const layer = (name: string) => ({ weight: weightOf(model, `blocks.1.${name}.weight`) });
    for (const importance of ['l1', 'l2', 'taylor'] as const) {
      const scores = await scoreUnits(
        model,
        model.pruningGroups(),
        { importance },
        randomImages(model, [3]),
      );
      for (const [name, got] of [
        ['blocks.1.mlp', calculateNeuronImportance(layer('mlp.0'), layer('mlp.2'), importance)],
        ['blocks.1.ssm', calculateChannelImportance(layer('ssm.out_proj'), importance)],
      ] as const) {
        const expected = scores.get(name);
        got.forEach((score, unit) => {
          // Gradients are means of float32 numbers either way.
          expect(score / (expected?.[unit] ?? NaN), `${name} ${importance}`).toBeCloseTo(1, 6);
        });
      }
    }
  });

  it('refuses layers that do not follow each other', () => {
    const fc = { weight: tensor([1, 2, 3, 4, 5, 6]).reshape(2, 3) };
    expect(() => calculateNeuronImportance(fc, fc)).toThrow(
      /got fc1 with 2 outputs and fc2 with 3 inputs/,
    );
  });
});

describe('the pruning functions under their Python names', () => {
  it('cut 70% unless told otherwise, each its own kind', async () => {
    const model = smallMamba();
    const ssm = await pruneMambaSsmStructured(model, { ranking: 'layer' });
    expect(widthsOf(ssm.model)).toMatchObject({ 'blocks.0.ssm': 10, 'blocks.1.mlp': 64 });
    const mlp = await pruneMambaMlpStructured(model, { ranking: 'layer' });
    expect(widthsOf(mlp.model)).toMatchObject({ 'blocks.0.ssm': 32, 'blocks.1.mlp': 19 });
    const both = await pruneMambaHybrid(model, {
      ssmRatio: 0.5,
      mlpRatio: 0.25,
      ranking: 'layer',
      importance: 'taylor',
      calibration: randomImages(model, [2]),
    });
    expect(widthsOf(both.model)).toMatchObject({ 'blocks.0.ssm': 16, 'blocks.1.mlp': 48 });
    expect(widthsOf(model)).toMatchObject({ 'blocks.0.ssm': 32, 'blocks.1.mlp': 64 });
  });

  it('take ratio and ranking one after the other too, as in Python', async () => {
    const model = smallMamba();
    const widths = async (result: ReturnType<typeof pruneMambaHybrid>) =>
      widthsOf((await result).model);
    expect(await widths(pruneMambaSsmStructured(model, 0.25, 'layer'))).toEqual(
      await widths(pruneMambaSsmStructured(model, { pruneRatio: 0.25, ranking: 'layer' })),
    );
    expect(await widths(pruneMambaSsmStructured(model, 0.25, 'layer'))).toMatchObject({
      'blocks.0.ssm': 24,
      'blocks.1.ssm': 24,
      'blocks.0.mlp': 64,
    });
    expect(await widths(pruneMambaMlpStructured(model, 0.5))).toEqual(
      await widths(pruneMambaMlpStructured(model, { pruneRatio: 0.5 })),
    );
    expect(await widths(pruneMambaHybrid(model, 0.5, 0.25))).toEqual(
      await widths(pruneMambaHybrid(model, { ssmRatio: 0.5, mlpRatio: 0.25 })),
    );
  });

  it('refuse what they would pass over', async () => {
    const model = smallMamba();
    const wrong: [Promise<unknown>, RegExp][] = [
      [
        pruneMambaSsmStructured(model, { rat: 0.2 } as never),
        /option `rat`, expected some of `pruneRatio`, `ranking`/,
      ],
      [
        pruneMambaSsmStructured(model, { pruneRatio: '0.2' } as never),
        /pruneRatio: got the string '0.2'/,
      ],
      [
        pruneMambaSsmStructured(model, '0.2' as never),
        /got the string '0.2' in place of the options/,
      ],
      [pruneMambaSsmStructured(model, null as never), /got null in place of the options/],
      [pruneMambaSsmStructured(model, [0.2] as never), /in place of the options/],
      [pruneMambaSsmStructured(model, {}, 'layer'), /got "layer" after the options/],
      [pruneMambaMlpStructured(model, 0.2, 'layers' as never), /ranking: got 'layers'/],
      [
        pruneMambaHybrid(model, { pruneRatio: 0.2 } as never),
        /option `pruneRatio`, expected some of `ssmRatio`/,
      ],
      [pruneMambaHybrid(model, 0.2, 'layer' as never), /mlpRatio: got the string 'layer'/],
      [pruneMambaHybrid(model, NaN), /got ssmRatio NaN/],
    ];
    for (const [result, words] of wrong) {
      await expect(result).rejects.toThrow(UsageError);
      await expect(result).rejects.toThrow(words);
    }
  });

  it('rank all blocks together unless told otherwise', async () => {
    const model = smallMamba();
    noGrad(() => weightOf(model, 'blocks.1.mlp.2.weight').narrow(1, 0, 32).mul_(0));
    noGrad(() => weightOf(model, 'blocks.1.mlp.0.weight').narrow(0, 0, 32).mul_(0));
    const { kept } = await pruneMambaMlpStructured(model, { pruneRatio: 0.25 });
    expect(kept.get('blocks.0.mlp')).toHaveLength(64);
    expect(kept.get('blocks.1.mlp')).toEqual(Array.from({ length: 32 }, (_, i) => 32 + i));
  });

  it('refuse bad arguments under their own names', async () => {
    const model = smallMamba();
    await expect(pruneMambaSsmStructured(model, { pruneRatio: 1 })).rejects.toThrow(
      /pruneMambaSsmStructured: got pruneRatio 1, expected the fraction to remove/,
    );
    await expect(pruneMambaHybrid(model, { mlpRatio: -1 })).rejects.toThrow(
      /pruneMambaHybrid: got mlpRatio -1/,
    );
    await expect(pruneMambaMlpStructured(model, { ranking: 'local' as 'global' })).rejects.toThrow(
      /pruneMambaMlpStructured: ranking: got 'local', expected one of global/,
    );
    await expect(pruneMambaHybrid(new TwoLayer({ units: 4 }))).rejects.toThrow(
      /pruneMambaHybrid: got two_layer, expected a Mamba model. Use pruneOneShot/,
    );
    await expect(pruneMambaHybrid(model, { importance: 'taylor' })).rejects.toThrow(
      /`importance` taylor: got no images/,
    );
  });

  it('takes taylor with images and l1 without them unless an importance is given', async () => {
    const model = smallMamba();
    const calibration = randomImages(model, [4]);
    const kept = async (options: object) => (await pruneMambaHybrid(model, options)).kept;
    expect(await kept({})).toEqual(await kept({ importance: 'l1' }));
    const taylor = await kept({ importance: 'taylor', calibration });
    expect(await kept({ calibration })).toEqual(taylor);
    expect(taylor).not.toEqual(await kept({ importance: 'l1', calibration }));
  });
});

function regularization(model: ImageModel, targets: readonly string[]): number {
  const groups = model.pruningGroups();
  return scope(() =>
    noGrad(() => computeStructuredRegularization(model, groups, { norm: 'l1', targets }).item()),
  );
}

describe('computeMambaStructuredRegularization', () => {
  it('is the strength times the l1 norms of the targets', () => {
    const model = smallMamba();
    const l1 = (targets: string[]) => regularization(model, targets);
    const term = (...args: [number?, ('ssm' | 'mlp' | 'both')?]) =>
      scope(() => noGrad(() => computeMambaStructuredRegularization(model, ...args).item()));
    // float32: one rounding of the product.
    expect(term() / (1e-4 * (l1(['ssm']) + l1(['mlp'])))).toBeCloseTo(1, 5);
    expect(term(2, 'ssm') / (2 * l1(['ssm']))).toBeCloseTo(1, 5);
    expect(term(2, 'mlp') / (2 * l1(['mlp']))).toBeCloseTo(1, 5);
  });

  it('can be differentiated', () => {
    const model = smallMamba();
    computeMambaStructuredRegularization(model, 0.5, 'mlp').backward();
    const gradient = weightOf(model, 'blocks.0.mlp.0.weight').grad?.toNumbers() ?? [];
    expect(new Set(gradient.map(Math.abs))).toEqual(new Set([0.5]));
  });

  it('refuses another strength, and a model without such groups', () => {
    expect(() => computeMambaStructuredRegularization(smallMamba(), -1)).toThrow(/got -1/);
    expect(() => computeMambaStructuredRegularization(new TwoLayer({ units: 2 }))).toThrow(
      /got 'ssm', expected/,
    );
  });
});
