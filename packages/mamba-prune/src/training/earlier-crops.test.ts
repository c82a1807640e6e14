import { expect, it } from 'vitest';
import { checkResumeOptions, resolveTrainOptions } from './options.js';
import { withCropsAsBegun } from './earlier-crops.js';

const info = { height: 224, width: 224 };
const now = resolveTrainOptions({ epochs: 3, augment: 'imagenet' }, info);
const none = { lastCheckpoint: '/nowhere/last', previousCheckpoint: '/nowhere/previous' };
const runOf = (train: object | undefined) =>
  ({ ...none, config: { train } }) as unknown as Parameters<typeof withCropsAsBegun>[1];

it('a run that began with crops of libvips goes on with them', () => {
  // As version 0.1 wrote it.
  const before = { ...now, augment: { resizedCrop: {}, flip: true } };
  expect(() => checkResumeOptions(before, now, 'config.json')).toThrow(/augment: got/);
  const resumed = withCropsAsBegun(now, runOf(before));
  expect(resumed).toEqual(before);
  expect(checkResumeOptions(before, resumed, 'config.json')).toBeUndefined();
});

it('a run that began with crops of Pillow goes on with those, and any other option stays as asked for', () => {
  expect(withCropsAsBegun(now, runOf(now))).toEqual(now);
  expect(withCropsAsBegun(now, runOf(undefined))).toEqual(now);
  const before = { ...now, augment: { resizedCrop: { scale: [0.5, 1] as const }, flip: false } };
  const resumed = withCropsAsBegun(now, runOf(before));
  expect(resumed.augment).toEqual({ resizedCrop: {}, flip: true });
  expect(() => checkResumeOptions(before, resumed, 'config.json')).toThrow(/augment: got/);
  const plain = { ...now, augment: {} };
  expect(withCropsAsBegun(plain, runOf(before))).toEqual(plain);
});

it('new trainings on folders crop as Pillow does', () => {
  expect(now.augment.resizedCrop).toEqual({ resize: 'pillow' });
});
