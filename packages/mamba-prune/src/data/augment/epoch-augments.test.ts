import { describe, expect, it } from 'vitest';
import { EpochAugments } from './epoch-augments.js';
import { augmentPreset, resolveAugment } from './options.js';

const size = { height: 8, width: 8 };
const strong = augmentPreset('strong', size);

describe('EpochAugments', () => {
  it('has the same object in all epochs where nothing else is given', () => {
    const augments = new EpochAugments(strong, size);
    expect(augments.at(0)).toEqual(resolveAugment(strong, size));
    expect(augments.at(1000)).toBe(augments.at(0));
    expect(augments.haveTargets).toBe(true);
    expect(new EpochAugments(undefined, size).haveTargets).toBe(false);
  });

  it('changes at the epoch given, and has targets before and after', () => {
    const plain = { ...strong, mixup: 0, cutmix: 0 };
    const augments = new EpochAugments(strong, size, { fromEpoch: 3, augment: plain });
    expect([0, 2, 3, 9].map((epoch) => augments.at(epoch).mixProbability)).toEqual([1, 1, 0, 0]);
    expect(augments.at(2)).toEqual(resolveAugment(strong, size));
    // All but the mixing is that of the other augmentation.
    expect(augments.at(3)).toEqual({ ...augments.at(0), mixProbability: 0 });
    expect(augments.at(3)).toBe(augments.at(4));
    const standard = augmentPreset('standard', size);
    const milder = new EpochAugments(strong, size, { fromEpoch: 3, augment: standard });
    const { mixup, cutmix } = resolveAugment(strong, size);
    expect(milder.at(3)).toEqual({
      ...resolveAugment(standard, size),
      mixup,
      cutmix,
      mixProbability: 0,
    });
  });

  it('has targets from the start where images are mixed at the end only', () => {
    const augments = new EpochAugments({ flip: true }, size, { fromEpoch: 1, augment: strong });
    expect(augments.haveTargets).toBe(true);
    expect(augments.at(0)).toMatchObject({ flip: true, mixup: 0.8, mixProbability: 0 });
    expect(augments.at(1)).toEqual(resolveAugment(strong, size));
  });

  it('stays the same object where the other augmentation does the same', () => {
    const last = { fromEpoch: 1, augment: { padCrop: 1, flip: true, mixup: 0 } };
    const augments = new EpochAugments({ padCrop: 1, flip: true }, size, last);
    expect(augments.at(1)).toBe(augments.at(0));
    expect(augments.haveTargets).toBe(false);
  });

  it.each([
    [
      { fromEpoch: -1, augment: {} },
      'lastAugment: fromEpoch: got -1, expected an integer of at least 0',
    ],
    [{ fromEpoch: 0.5, augment: {} }, 'fromEpoch: got 0.5'],
    [{ fromEpoch: 1, augment: { padCrop: 9 } }, 'padCrop: got 9, expected an integer from 0 to 8'],
  ])('refuses %j', (last, message) => {
    expect(() => new EpochAugments({}, size, last)).toThrow(message);
  });
});
