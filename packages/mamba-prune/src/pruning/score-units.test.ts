import { F, type Tensor, noGrad } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../errors.js';
import type { ImageModel } from '../models/image-model.js';
import type { ImportanceName } from './importances.js';
import { type ScoreOptions, scoreUnits } from './score-units.js';
import type { Calibration } from './calibration.js';
import { chooseUnits } from './select-units.js';
import {
  TwoLayer,
  calibrationOf,
  pixels,
  randomImages,
  setWeight,
  smallMamba,
  threeNeurons,
  weightOf,
} from './testing/models.js';

async function scoresOf(
  model: ImageModel,
  group: string,
  options: ScoreOptions,
  calibration?: Calibration,
): Promise<number[]> {
  const groups = model.pruningGroups().filter(({ name }) => name === group);
  return Array.from((await scoreUnits(model, groups, options, calibration)).get(group) ?? []);
}

const expectClose = (got: readonly number[], expected: readonly number[], digits: number): void => {
  expect(got).toHaveLength(expected.length);
  expected.forEach((value, i) => {
    expect(got[i], `unit ${i}`).toBeCloseTo(value, digits);
  });
};

describe('score consumer', () => {
  it('is the norm of the out_proj column for SSM channels', async () => {
    const model = smallMamba();
    noGrad(() => {
      const weight = weightOf(model, 'blocks.0.ssm.out_proj.weight');
      weight.zero_();
      weight.select(1, 3).fill_(2); // 16 rows
      weight.select(0, 0).narrow(0, 5, 1).fill_(-3);
    });
    const scores = (importance: ImportanceName): Promise<number[]> =>
      scoresOf(model, 'blocks.0.ssm', { importance });
    expect((await scores('l1')).slice(2, 6)).toEqual([0, 32, 0, 3]);
    expect((await scores('l2')).slice(2, 6)).toEqual([0, 8, 0, 3]);
  });

  it('is the norm of the fc1 row plus the norm of the fc2 column for neurons', async () => {
    const model = new TwoLayer({ units: 2 });
    setWeight(model, 'fc1.weight', [3, -4, 0, 1]);
    setWeight(model, 'fc2.weight', [1, 5, -1, 12]);
    expect(await scoresOf(model, 'hidden', { importance: 'l1' })).toEqual([9, 18]);
    expectClose(await scoresOf(model, 'hidden', { importance: 'l2' }), [5 + Math.SQRT2, 14], 12);
  });

  it('is the norms of the rows that make B and C for states, of both directions', async () => {
    const model = smallMamba({ scan: 'bi' });
    noGrad(() => {
      for (const [suffix, value] of [
        ['', 1],
        ['_b', 2],
      ] as const) {
        const weight = weightOf(model, `blocks.1.ssm.x_proj${suffix}.weight`); // rank 1, 4 states
        weight.zero_();
        weight.select(0, 1 + 2).fill_(value); // B of state 2: 32 channels
        weight.select(0, 1 + 4 + 3).fill_(-value); // C of state 3
      }
    });
    const scores = await scoresOf(model, 'blocks.1.state', { importance: 'l1' });
    expect(scores).toEqual([0, 0, 96, 96]);
  });

  it('is the x_proj row plus the dt_proj column for ranks', async () => {
    const model = smallMamba({ dModel: 32 }); // rank 2
    noGrad(() => {
      weightOf(model, 'blocks.0.ssm.x_proj.weight').narrow(0, 0, 2).zero_().select(0, 1).fill_(0.5);
      weightOf(model, 'blocks.0.ssm.dt_proj.weight').zero_().select(1, 0).fill_(-1);
    });
    // 64 channels: column of dt_proj 64 * 1, row of x_proj 64 * 0.5.
    const scores = await scoresOf(model, 'blocks.0.dt_rank', { importance: 'l1' });
    expect(scores).toEqual([64, 32]);
  });
});

describe('score group', () => {
  it('divides the norms of every member by their mean over the units', async () => {
    const model = new TwoLayer({ units: 2 });
    setWeight(model, 'fc1.weight', [3, -4, 0, 1]); // l1: 7, 1, mean 4
    setWeight(model, 'fc1.bias', [0.01, -0.03]); // l1: 0.01, 0.03, mean 0.02
    setWeight(model, 'fc2.weight', [100, 200, -100, 400]); // l1: 200, 600, mean 400
    const scores = await scoresOf(model, 'hidden', { importance: 'l1', score: 'group' });
    // The bias is float32: 0.01 is rounded in the eighth digit.
    expectClose(scores, [7 / 4 + 0.5 + 0.5, 1 / 4 + 1.5 + 1.5], 6);
  });

  it('counts a member of zeros for nothing, and batch statistics neither', async () => {
    const model = new TwoLayer({ units: 2, batchNorm: true });
    setWeight(model, 'fc1.weight', [3, -4, 0, 1]);
    setWeight(model, 'fc1.bias', [0, 0]);
    setWeight(model, 'fc2.weight', [1, 1, 1, 1]);
    setWeight(model, 'norm.weight', [1, 3]); // mean 2
    setWeight(model, 'norm.bias', [0, 0]);
    setWeight(model, 'norm.running_mean', [50, 1]);
    setWeight(model, 'norm.running_var', [1, 90]);
    const scores = await scoresOf(model, 'hidden', { importance: 'l1', score: 'group' });
    expectClose(scores, [7 / 4 + 1 + 0.5, 1 / 4 + 1 + 1.5], 12);
  });

  it('takes every member of an SSM channel into account', async () => {
    const model = smallMamba();
    const before = await scoresOf(model, 'blocks.0.ssm', { importance: 'l2', score: 'group' });
    const [group] = model.pruningGroups();
    for (const { parameter, dim, offset = 0 } of group?.members ?? []) {
      const slice = weightOf(model, parameter).detach().narrow(dim, offset, 32).select(dim, 9);
      noGrad(() => slice.mul_(3));
      const after = await scoresOf(model, 'blocks.0.ssm', { importance: 'l2', score: 'group' });
      expect(after[9], parameter).toBeGreaterThan(before[9] as number);
      noGrad(() => slice.div_(3));
    }
  });
});

describe('importance taylor', () => {
  it('sums |w dL/dw| with the gradients averaged over the images, as a hand computes', async () => {
    const model = threeNeurons([2, 3, 5]);
    // h = relu(p + q, 2p, -p): image (1, 2) gives (3, 2, 0), image (2, -1) gives (1, 4, 0).
    const images = pixels([
      [1, 2],
      [2, -1],
    ]);
    // Classes 0 and 1: dL/dlogits is (-1/2, 1/2) and (1/2, -1/2), so the mean gradient of column j
    // is (h2 - h1) / 4 for class 0 and its negative for class 1, and the score |a_j (h2 - h1)| / 2.
    // Equal readers pass nothing back to fc1.
    for (const sizes of [[2], [1, 1]]) {
      const calibration = calibrationOf(images, [0, 1], sizes);
      const scores = await scoresOf(model, 'hidden', { importance: 'taylor' }, calibration);
      // Sums of a few exact binary fractions; softmax of equal logits is exactly 1/2.
      expectClose(scores, [(2 * 2) / 2, (3 * 2) / 2, 0], 6);
    }
  });

  it('is the same however the images are cut into batches', async () => {
    const model = smallMamba();
    const scores = (sizes: readonly number[]): Promise<number[]> =>
      scoresOf(model, 'blocks.1.ssm', { importance: 'taylor' }, randomImages(model, sizes));
    const whole = await scores([6]);
    const cut = await scores([4, 2]);
    // float32 gradients, summed in another order: 24 bits, a few hundred roundings.
    whole.forEach((score, i) => {
      expect(Math.abs((cut[i] as number) / score - 1)).toBeLessThan(1e-4);
    });
  });

  it('equals what backward gives, for every member under score group too', async () => {
    const model = smallMamba();
    const calibration = randomImages(model, [4]);
    const got = await scoresOf(
      model,
      'blocks.0.mlp',
      { importance: 'taylor', score: 'group' },
      calibration,
    );
    for await (const { images, labels } of calibration()) {
      F.crossEntropy(model.forward(images), labels).backward();
    }
    const expected = new Float64Array(64);
    for (const [name, unitsFirst] of [
      ['mlp.0.weight', true],
      ['mlp.0.bias', true],
      ['mlp.2.weight', false],
    ] as const) {
      const weight = weightOf(model, `blocks.0.${name}`);
      const product = weight.detach().mul(weight.grad as Tensor);
      const rows = (unitsFirst ? product : product.t()).reshape(64, -1).toArray() as number[][];
      const sums = rows.map((row) => row.reduce((sum, value) => sum + Math.abs(value), 0));
      const mean = sums.reduce((a, b) => a + b) / 64;
      sums.forEach((sum, unit) => (expected[unit] = (expected[unit] as number) + sum / mean));
    }
    // The product is in float32 here and in float64 there.
    expectClose(got, Array.from(expected), 5);
  });

  it('refuses to be computed without images', async () => {
    const model = smallMamba();
    const attempt = scoresOf(model, 'blocks.0.ssm', { importance: 'taylor' });
    await expect(attempt).rejects.toThrow(UsageError);
    await expect(attempt).rejects.toThrow(/`importance` taylor: got no images, expected batches/);
  });
});

describe('score activation', () => {
  it('is mean |output| times the norm of the weights that read it, as a hand computes', async () => {
    const model = new TwoLayer({ units: 3 });
    setWeight(model, 'fc1.weight', [1, 1, 2, 0, -1, 0]);
    setWeight(model, 'fc1.bias', [0, 0, 0]);
    setWeight(model, 'fc2.weight', [3, 1, 1, -4, 2, 1]);
    const images = pixels([
      [1, 2],
      [2, -1],
      [-1, 0],
    ]);
    // Outputs (3, 2, 0), (1, 4, 0), (0, 0, 1): means 4/3, 2, 1/3. Batches of 2 and 1 count by images.
    const calibration = calibrationOf(images, [0, 1, 0], [2, 1]);
    const scores = (importance: ImportanceName): Promise<number[]> =>
      scoresOf(model, 'hidden', { importance, score: 'activation' }, calibration);
    expectClose(await scores('l1'), [(4 / 3) * 7, 2 * 3, (1 / 3) * 2], 12);
    expectClose(await scores('l2'), [(4 / 3) * 5, 2 * Math.sqrt(5), Math.sqrt(2) / 3], 12);
  });

  it('measures the gated scan of an SSM, both directions together', async () => {
    const model = smallMamba({ scan: 'bi' });
    noGrad(() => {
      // A channel that gets nothing from either convolution gives nothing, however it is read.
      for (const suffix of ['', '_b']) {
        weightOf(model, `blocks.0.ssm.conv1d${suffix}.weight`).select(0, 6).zero_();
        weightOf(model, `blocks.0.ssm.conv1d${suffix}.bias`).narrow(0, 6, 1).zero_();
      }
      weightOf(model, 'blocks.0.ssm.out_proj.weight').select(1, 6).fill_(100);
    });
    const calibration = randomImages(model, [2]);
    const options = { importance: 'l2', score: 'activation' } as const;
    const scores = await scoresOf(model, 'blocks.0.ssm', options, calibration);
    expect(scores[6]).toBe(0);
    expect(Math.min(...scores.filter((_, unit) => unit !== 6))).toBeGreaterThan(0);
  });

  it('refuses taylor, missing images, and kinds whose units cannot be watched', async () => {
    const model = smallMamba();
    const images = randomImages(model, [2]);
    const score = 'activation';
    await expect(
      scoresOf(model, 'blocks.0.ssm', { importance: 'taylor', score }, images),
    ).rejects.toThrow(/`score` activation: got `importance` taylor, expected l1 or l2/);
    await expect(scoresOf(model, 'blocks.0.ssm', { importance: 'l1', score })).rejects.toThrow(
      /`score` activation: got no images, expected batches of real data/,
    );
    await expect(
      scoresOf(model, 'blocks.0.state', { importance: 'l1', score }, images),
    ).rejects.toThrow(/`score` activation: got group 'blocks.0.state' of kind state.*Use `score`/);
  });
});

describe('planted useless units', () => {
  const useless = [4, 11, 30];

  /** Channels of each block that a cut of 3 in all removes. */
  async function removed(
    model: ImageModel,
    options: ScoreOptions,
    calibration?: Calibration,
  ): Promise<number[][]> {
    const kept = await chooseUnits(
      model,
      { ...options, rates: { ssm: 3 / 64 }, ranking: 'global' },
      calibration,
    );
    return ['blocks.0.ssm', 'blocks.1.ssm'].map((name) => {
      const stays = new Set(kept.get(name));
      return Array.from({ length: 32 }, (_, unit) => unit).filter((unit) => !stays.has(unit));
    });
  }

  const cases: (ScoreOptions & { readonly importance: string })[] = [
    { importance: 'l1' },
    { importance: 'l2' },
    { importance: 'taylor' },
    { importance: 'fisher' },
    { importance: 'obd' },
    { importance: 'l1', score: 'activation' },
    { importance: 'l2', score: 'activation' },
  ];
  for (const options of cases) {
    it(`are found by ${options.importance}, ${options.score ?? 'consumer'}`, async () => {
      const model = smallMamba();
      noGrad(() => {
        const weight = weightOf(model, 'blocks.1.ssm.out_proj.weight');
        for (const unit of useless) weight.select(1, unit).mul_(1e-3);
      });
      expect(await removed(model, options, randomImages(model, [4, 4]))).toEqual([[], useless]);
    });
  }

  for (const importance of ['l1', 'l2', 'taylor', 'fisher', 'obd'] as const) {
    it(`are found by ${importance}, group, where every member is small`, async () => {
      const model = smallMamba();
      const group = model.pruningGroups().find(({ name }) => name === 'blocks.1.ssm');
      noGrad(() => {
        for (const { parameter, dim, offset = 0 } of group?.members ?? []) {
          for (const unit of useless) {
            weightOf(model, parameter)
              .narrow(dim, offset + unit, 1)
              .mul_(1e-2);
          }
        }
      });
      const options = { importance, score: 'group' } as const;
      expect(await removed(model, options, randomImages(model, [4]))).toEqual([[], useless]);
    });
  }

  it('that are read strongly but never speak are found by taylor and activation only', async () => {
    const model = smallMamba();
    noGrad(() => {
      for (const unit of useless) {
        weightOf(model, 'blocks.1.ssm.conv1d.weight').select(0, unit).zero_();
        weightOf(model, 'blocks.1.ssm.conv1d.bias').narrow(0, unit, 1).zero_();
      }
    });
    const images = randomImages(model, [4]);
    expect(await removed(model, { importance: 'taylor' }, images)).toEqual([[], useless]);
    expect(await removed(model, { importance: 'l1', score: 'activation' }, images)).toEqual([
      [],
      useless,
    ]);
    expect(await removed(model, { importance: 'l1' })).not.toEqual([[], useless]);
  });
});

describe('scoring', () => {
  it('refuses unknown names, listing the right ones', async () => {
    const model = smallMamba();
    await expect(scoresOf(model, 'blocks.0.ssm', { importance: 'l3' })).rejects.toThrow(
      /importance: got 'l3', expected one of l1, l2, taylor, fisher, obd/,
    );
    await expect(
      scoresOf(model, 'blocks.0.ssm', { importance: 'l1', score: 'best' as 'group' }),
    ).rejects.toThrow(/score: got 'best', expected one of consumer, group, activation/);
  });

  it('refuses groups that the model does not carry out', async () => {
    const model = new TwoLayer({ units: 2 });
    const group = model.pruningGroups().at(0);
    if (!group) throw new Error('no group');
    const score = (members: typeof group.members): Promise<unknown> =>
      scoreUnits(model, [{ ...group, members }], { importance: 'l1' });
    await expect(score([{ parameter: 'fc3.weight', dim: 0, scored: true }])).rejects.toThrow(
      /group 'hidden': names the parameter 'fc3.weight', which the model does not have/,
    );
    await expect(score([{ parameter: 'fc1.weight', dim: 0 }])).rejects.toThrow(
      /group 'hidden': got no member marked as scored.*Use `score` group/,
    );
  });

  it('says so when a model never shows the units it promises to', async () => {
    const model = new TwoLayer({ units: 2 });
    const groups = model.pruningGroups().map((group) => ({ ...group, name: 'elsewhere' }));
    const options = { importance: 'l1', score: 'activation' } as const;
    await expect(scoreUnits(model, groups, options, randomImages(model, [2]))).rejects.toThrow(
      /group 'elsewhere': the model's forward pass never called.*output/,
    );
  });
});
