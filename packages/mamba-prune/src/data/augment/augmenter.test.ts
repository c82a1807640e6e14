import { describe, expect, it } from 'vitest';
import { Random, Stage } from '../random.js';
import { Augmenter } from './augmenter.js';
import { drawMix, noMix } from './mix.js';
import {
  augmentPreset,
  augmentPresetNames,
  type AugmentOptions,
  resolveAugment,
} from './options.js';
import { applyOp, randAugmentOps } from './rand-augment.js';
import { imageShape } from './shape.js';

const info = (channels: 1 | 3, side = 16) => ({
  channels,
  height: side,
  width: side,
  mean: [0.5, 0.4, 0.3].slice(0, channels),
});
const picture = (channels: 1 | 3, side = 16) =>
  Uint8Array.from({ length: channels * side * side }, (_, i) => (i * 37 + (i >> 3) * 11) & 255);

function augmented(
  options: AugmentOptions,
  channels: 1 | 3,
  seed: number,
  epoch: number,
  sample: number,
) {
  const shape = imageShape(info(channels));
  const pixels = picture(channels);
  new Augmenter(resolveAugment(options, shape), shape, seed, false).apply(pixels, 0, epoch, sample);
  return pixels;
}

describe.each([1, 3] as const)('Augmenter, %i channels', (channels) => {
  it('depends on seed, epoch and sample only, not on what was done before', () => {
    const options = augmentPreset('strong', info(channels));
    const shape = imageShape(info(channels));
    const used = new Augmenter(resolveAugment(options, shape), shape, 5, false);
    for (let sample = 0; sample < 30; sample++) used.apply(picture(channels), 0, 1, sample);
    const padded = new Uint8Array(3 * picture(channels).length);
    padded.set(picture(channels), picture(channels).length);
    used.apply(padded, picture(channels).length, 2, 77);
    const alone = augmented(options, channels, 5, 2, 77);
    expect(padded.subarray(alone.length, 2 * alone.length)).toEqual(alone);
    // Nothing beside the image is touched.
    expect(padded.subarray(0, alone.length).every((v) => v === 0)).toBe(true);
    expect(padded.subarray(2 * alone.length).every((v) => v === 0)).toBe(true);
    expect(augmented(options, channels, 5, 3, 77)).not.toEqual(alone);
    expect(augmented(options, channels, 6, 2, 77)).not.toEqual(alone);
    expect(augmented(options, channels, 5, 2, 78)).not.toEqual(alone);
  });

  it('does nothing without options', () => {
    expect(augmented({}, channels, 1, 1, 1)).toEqual(picture(channels));
  });

  it('crops and flips the same whether or not other steps are on', () => {
    const plain = augmented({ padCrop: 2, flip: true }, channels, 3, 0, 9);
    const more = augmented({ padCrop: 2, flip: true, cutout: 2 }, channels, 3, 0, 9);
    const changed = plain.reduce((n, v, i) => n + (v === more[i] ? 0 : 1), 0);
    expect(changed).toBeLessThanOrEqual(4 * channels); // the hidden square only
    expect(changed).toBeGreaterThan(0);
  });

  it('applies every RandAugment operation within the image', () => {
    const shape = imageShape(info(channels));
    for (const op of randAugmentOps) {
      for (const sign of [1, -1]) {
        const canvas = {
          image: picture(channels),
          spare: new Uint8Array(picture(channels).length),
        };
        applyOp(canvas, shape, op, 0.9, sign, 'bilinear');
        const same = canvas.image.every((v, i) => v === picture(channels)[i]);
        // This picture has all values from 0 to 255 already, so autocontrast finds nothing to do.
        const idle = ['identity', 'autocontrast', ...(channels === 1 ? ['colour'] : [])];
        // Fewer than 510 pixels: equalize has a step of zero or one and changes little or nothing.
        if (op !== 'equalize') expect(same, `${op} ${sign}`).toBe(idle.includes(op));
      }
    }
  });
});

describe('a strength of zero', () => {
  it('leaves all operations without effect but those that have no strength', () => {
    const shape = imageShape(info(3));
    const unsteered = ['invert', 'autocontrast', 'equalize'];
    for (const op of randAugmentOps.filter((name) => !unsteered.includes(name))) {
      const canvas = { image: picture(3), spare: new Uint8Array(picture(3).length) };
      applyOp(canvas, shape, op, 0, 1, 'bilinear');
      expect(canvas.image, op).toEqual(picture(3));
    }
  });
});

describe('drawMix', () => {
  const draw = (
    options: { mixup: number; cutmix: number; mixProbability: number },
    batch: number,
    size = 8,
  ) => drawMix(noMix(), options, new Random(), { seed: 1, epoch: 2, batch }, size, 32, 32);

  it('is the same for the same batch and never mixes a sample with itself', () => {
    for (let batch = 0; batch < 50; batch++) {
      const plan = draw({ mixup: 0.8, cutmix: 1, mixProbability: 1 }, batch);
      expect(plan).toEqual(draw({ mixup: 0.8, cutmix: 1, mixProbability: 1 }, batch));
      expect(plan.shift % 8).not.toBe(0);
      expect(plan.lambda).toBeGreaterThanOrEqual(0);
      expect(plan.lambda).toBeLessThanOrEqual(1);
    }
  });

  it('gives cutmix the share of the rectangle left after the border', () => {
    for (let batch = 0; batch < 50; batch++) {
      const plan = draw({ mixup: 0, cutmix: 1, mixProbability: 1 }, batch);
      expect(plan.kind).toBe('cutmix');
      const area = (plan.right - plan.left) * (plan.bottom - plan.top);
      expect(plan.lambda).toBe(1 - area / 1024);
      expect(plan.left >= 0 && plan.right <= 32 && plan.top >= 0 && plan.bottom <= 32).toBe(true);
    }
  });

  it('takes one of the two kinds, as often as asked, and nothing for a single sample', () => {
    const kinds = Array.from(
      { length: 400 },
      (_, batch) => draw({ mixup: 1, cutmix: 1, mixProbability: 0.5 }, batch).kind,
    );
    const share = (kind: string) => kinds.filter((k) => k === kind).length / 400;
    // Deviation of a share of 400 is at most 0.025; three of these, and the seed is fixed.
    expect(Math.abs(share('none') - 0.5)).toBeLessThan(0.075);
    expect(Math.abs(share('mixup') - 0.25)).toBeLessThan(0.075);
    expect(Math.abs(share('cutmix') - 0.25)).toBeLessThan(0.075);
    expect(draw({ mixup: 1, cutmix: 1, mixProbability: 1 }, 0, 1).kind).toBe('none');
  });
});

describe('augmentation options', () => {
  const resolve = (options: AugmentOptions) => () =>
    resolveAugment(options, { height: 32, width: 32 });

  it('are checked by name', () => {
    expect(resolve({ padCrop: -1 })).toThrow(
      'AugmentOptions: padCrop: got -1, expected an integer from 0 to 32.',
    );
    expect(resolve({ cutout: 1.5 })).toThrow('cutout: got 1.5, expected an integer from 0 to 64.');
    expect(resolve({ mixup: NaN })).toThrow('mixup: got NaN, expected a number from 0 to 100.');
    expect(resolve({ mixProbability: 2 })).toThrow(
      'mixProbability: got 2, expected a number from 0 to 1.',
    );
    expect(resolve({ randAugment: { magnitude: 11 } })).toThrow('randAugment.magnitude: got 11');
    expect(resolve({ randAugment: { ops: -2 } })).toThrow('randAugment.ops: got -2');
    expect(resolve({ resizedCrop: { scale: [0.5, 2] } })).toThrow(
      'resizedCrop.scale: got [0.5, 2], expected two numbers above 0 and at most 1, the smaller first.',
    );
    expect(resolve({ resizedCrop: { ratio: [2, 1] } })).toThrow('resizedCrop.ratio: got [2, 1]');
    expect(resolve({ resizedCrop: {}, padCrop: 4 })).toThrow('got both resizedCrop and padCrop');
  });

  it('come in named recipes that fit the size', () => {
    expect(augmentPresetNames()).toEqual([
      'none',
      'standard',
      'strong',
      'imagenet',
      'imagenet-strong',
    ]);
    expect(augmentPreset('standard', { height: 32, width: 32 })).toEqual({
      padCrop: 4,
      flip: true,
    });
    expect(augmentPreset('strong', { height: 32, width: 32 })).toMatchObject({
      padCrop: 4,
      cutout: 16,
    });
    for (const name of augmentPresetNames()) {
      expect(resolve(augmentPreset(name, { height: 32, width: 32 }))).not.toThrow();
    }
    expect(() => augmentPreset('stong', { height: 32, width: 32 })).toThrow(
      'augmentPreset: got "stong", expected one of: none, standard, strong, imagenet, imagenet-strong. Did you mean "strong"?',
    );
    // From JavaScript, or a config.json that was written by hand.
    expect(() => augmentPreset(7 as unknown as string, { height: 32, width: 32 })).toThrow(
      'augmentPreset: got 7, expected one of: none, standard',
    );
  });

  it('draw from a stream of their own per stage', () => {
    expect(new Set(Object.values(Stage)).size).toBe(Object.values(Stage).length);
  });
});
