// What the flags of compare ask for of the images.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CompareOptions } from './compare.js';
import { requestOf } from './compare-request.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mp-compare-request-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const request = (given: Partial<CompareOptions>) =>
  requestOf({ options: { threads: 1, seed: 0 } as CompareOptions, given });

const asked = async (given: Partial<CompareOptions>) => (await request(given)).train;

/** A folder of a comparison that began with these settings of its dense models. */
function begun(name: string, train: object): string {
  const out = join(folder, name);
  const settings = { seeds: [0], rates: [0.7], threads: 1, train, cut: {} };
  mkdirSync(out);
  writeFileSync(
    join(out, 'compare.json'),
    JSON.stringify({ kind: 'mamba-prune comparison', format: 1, settings }),
  );
  return out;
}

describe('the images of a comparison', () => {
  it('have the cached size that is asked for', async () => {
    expect(await asked({ dataset: 'folder', cachedSize: 64 })).toMatchObject({ cachedSize: 64 });
    expect(await asked({ dataset: 'folder' })).not.toHaveProperty('cachedSize');
  });

  it('are resized as the preset says, which is bicubic for imagenet', async () => {
    const out = join(folder, 'new');
    expect(await asked({ dataset: 'imagenet', preset: 'best', out })).toMatchObject({
      interpolation: 'bicubic',
    });
    for (const given of [{ dataset: 'imagenet' }, { dataset: 'cifar10', preset: 'best' }] as const)
      expect(await asked({ ...given, out })).not.toHaveProperty('interpolation');
  });

  it('are resized and cropped as the flags say', async () => {
    const given = { dataset: 'imagenet', preset: 'best', interpolation: 'bilinear' } as const;
    expect(await asked({ ...given, cropShare: 1 })).toMatchObject({
      interpolation: 'bilinear',
      cropShare: 1,
    });
    for (const flag of [{ interpolation: 'bicubic' }, { cropShare: 1 }] as const)
      await expect(asked({ dataset: 'imagenet', dense: ['x'], ...flag })).rejects.toThrow(
        'with --dense, whose models have their own way of preparing images',
      );
  });

  it('are resized as before where the comparison has begun', async () => {
    const given = { dataset: 'imagenet', preset: 'best' } as const;
    const old = begun('old', { dataset: 'imagenet' });
    expect(await asked({ ...given, out: old })).not.toHaveProperty('interpolation');
    expect(await asked({ ...given, out: old, overwrite: true })).toMatchObject({
      interpolation: 'bicubic',
    });
    const since = begun('since', { dataset: 'imagenet', interpolation: 'bicubic' });
    expect(await asked({ ...given, out: since })).toMatchObject({ interpolation: 'bicubic' });
  });

  it('are resized as before in a tuning that has begun', async () => {
    const given = { dataset: 'imagenet', preset: 'best', tuneLr: [1e-3, 2e-3] } as const;
    const out = join(folder, 'tuned');
    mkdirSync(out);
    cpSync(begun('tuning', { dataset: 'imagenet' }), join(out, 'tune'), { recursive: true });
    expect(await asked({ ...given, out })).not.toHaveProperty('interpolation');
  });
});

describe('flags of a comparison that would change nothing', () => {
  const refused = (given: Partial<CompareOptions>) =>
    expect(asked({ dataset: 'cifar10', ...given })).rejects;

  it('are refused, with the method or the models that they belong to', async () => {
    const methods = ['oneshot'] as const;
    await refused({ methods, regStrength: 3 }).toThrow(
      'got --reg-strength, which belongs to the method rsst, but compared are oneshot. Leave it out, or add rsst to --methods.',
    );
    await refused({ methods, fillback: 0.3 }).toThrow(
      'got --fillback, which belongs to the method refill',
    );
    const dense = ['m.safetensors'];
    await refused({ methods, dense, lr: 1e-3 }).toThrow(
      'got --lr, which is of the training of the dense models, with --dense, whose models are trained. Leave it out; ' +
        '--finetune-lr is that of the methods.',
    );
    await refused({ methods, dense, epochs: 9, finetuneEpochs: 3 }).toThrow(
      'got --epochs, which is of',
    );
  });

  it('are taken where they say something', async () => {
    expect(await asked({ dataset: 'cifar10', fillback: 0.3, regStrength: 3 })).toBeDefined();
    const dense = ['m.safetensors'];
    const given = { dataset: 'cifar10', dense } as const;
    // Half of them are those of the methods.
    expect(await asked({ ...given, epochs: 9 })).toMatchObject({ recipe: { epochs: 9 } });
    const fresh = { ...given, methods: ['oneshot', 'scratch'] } as const;
    expect(await asked({ ...fresh, epochs: 9, lr: 1e-3 })).toMatchObject({ recipe: { lr: 1e-3 } });
    // As another method of it may have begun with them.
    const out = begun('flags', { dataset: 'cifar10' });
    expect(
      await asked({ dataset: 'cifar10', out, methods: ['oneshot'], fillback: 0.3 }),
    ).toBeDefined();
  });
});

describe('the sizes of a comparison', () => {
  const dataset = 'cifar10';

  it('are rates, or amounts of a budget', async () => {
    expect(await request({ dataset })).toMatchObject({ rates: [0.7] });
    expect(await request({ dataset, rate: [0.5] })).not.toHaveProperty('amounts');
    const budgeted = await request({ dataset, targetParams: [3e6, '0.3x'] });
    expect(budgeted).toMatchObject({ budget: 'params', amounts: [3e6, '0.3x'] });
    expect(budgeted).not.toHaveProperty('rates');
    expect(await request({ quick: true, targetMacs: [3e6] })).not.toHaveProperty('rates');
  });

  it('are given once', async () => {
    await expect(request({ dataset, targetMacs: [3e6], rate: [0.7] })).rejects.toThrow(
      'got --target-macs and --rate, expected one of the two',
    );
  });
});
