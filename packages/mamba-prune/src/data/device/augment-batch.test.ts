import {
  callOperator,
  fromTypedArray,
  scope,
  type Tensor,
  tensor,
  TorchError,
} from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import type { AugmentOptions } from '../augment/options.js';
import { augmentPreset } from '../augment/options.js';
import { randAugmentOps } from '../augment/rand-augment.js';
import { MemorySplit } from '../memory-split.js';
import { Stage } from '../random.js';
import { PhiloxRandom, philox } from './testing/philox.js';
import { makeImages, type ReferenceData, referenceBatch } from './testing/reference.js';

interface Case {
  augment?: AugmentOptions;
  seed?: number;
  epoch?: number;
  step?: number;
  batch?: number;
  firstRow?: number;
  globalBatch?: number;
  dtype?: string;
  order?: readonly number[];
  classes?: number;
}
interface Made {
  images: number[];
  labels: number[];
  targets: number[];
  state: number[];
}

/** Calls the operator on a whole split. */
function augmentBatch(data: ReferenceData, options: Case = {}): Made {
  const { info, split } = data;
  const { seed = 3, epoch = 2, step = 0, augment = {}, dtype = 'float32' } = options;
  const all = Array.from({ length: split.length }, (_, i) => i);
  const order = options.order ?? all;
  const globalBatch = options.globalBatch ?? order.length;
  const crop = augment.resizedCrop;
  return scope(() => {
    const { channels, height, width } = info;
    const state = tensor([seed, epoch, step], { dtype: 'int64' });
    const [images, labels, targets] = callOperator(
      'mamba_prune::augment_batch',
      fromTypedArray(split.read(all), [split.length, channels, height, width]),
      tensor(
        all.map((i) => split.label(i)),
        { dtype: 'int64' },
      ),
      tensor([...order], { dtype: 'int64' }),
      state,
      tensor([...info.mean]),
      tensor([...info.std]),
      dtype,
      options.batch ?? globalBatch - (options.firstRow ?? 0),
      options.firstRow ?? 0,
      globalBatch,
      options.classes ?? info.classes.length,
      augment.padCrop,
      augment.flip,
      crop ? [...(crop.scale ?? [0.08, 1]), ...(crop.ratio ?? [3 / 4, 4 / 3])] : undefined,
      augment.randAugment && (augment.randAugment.ops ?? 2),
      augment.randAugment?.magnitude,
      augment.sampling === 'nearest',
      augment.cutout,
      augment.mixup,
      augment.cutmix,
      augment.mixProbability,
      true,
      undefined,
      augment.erasing,
    ) as [Tensor, Tensor, Tensor];
    return {
      images: images.toNumbers(),
      labels: labels.toNumbers(),
      targets: targets.toNumbers(),
      state: state.toNumbers(),
    };
  });
}

/** Differences in levels of 0..255. */
function levels(data: ReferenceData, got: readonly number[], want: ArrayLike<number>): number[] {
  const { channels, height, width, std } = data.info;
  const plane = height * width;
  return got.map(
    (v, i) =>
      Math.abs(v - (want[i] as number)) * 255 * (std[Math.floor(i / plane) % channels] as number),
  );
}

/**
 * The kernel rounds as the loader does, but a compiler may contract a product and a sum where this
 * was not ruled out, which can move a value that lies between two levels to the other one.
 */
function expectSame(data: ReferenceData, got: readonly number[], want: ArrayLike<number>): void {
  expect(got.length).toBe(want.length);
  const off = levels(data, got, want);
  expect(off.reduce((most, d) => Math.max(most, d))).toBeLessThan(1.01);
  // Float32 of a normalised value, about 1, in levels: 255 * 0.3 * 2^-23 * a few roundings.
  expect(off.filter((d) => d > 1e-4).length / off.length).toBeLessThan(1e-3);
}

const rgb = makeImages(48, { channels: 3, height: 12, width: 12 });
const wide = makeImages(24, { channels: 3, height: 7, width: 10 });
const grey = makeImages(48, { channels: 1, height: 9, width: 9 });
const large = makeImages(4, { channels: 3, height: 224, width: 200 });

describe('the random words', () => {
  it('are those of Philox4x32-10, by the known answers of its authors', () => {
    expect(philox([0, 0, 0, 0], [0, 0])).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    const ones = 0xffffffff;
    expect(philox([ones, ones, ones, ones], [ones, ones])).toEqual([
      0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd,
    ]);
    expect(
      philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
    ).toEqual([0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
  });
});

describe('augment_batch', () => {
  const cases: [string, ReferenceData, AugmentOptions | undefined][] = [
    ['nothing', rgb, undefined],
    ['padded crop', wide, { padCrop: 3 }],
    ['flip', wide, { flip: true }],
    ['padded crop and flip', grey, { padCrop: 4, flip: true }],
    ['resized crop', wide, { resizedCrop: {} }],
    ['resized crop of extreme ratios', wide, { resizedCrop: { scale: [0.9, 1], ratio: [3, 5] } }],
    ['cutout', wide, { cutout: 5 }],
    ['random erasing', wide, { erasing: 0.7 }],
    ['random erasing and cutmix', wide, { erasing: 0.5, cutout: 3, cutmix: 1 }],
    ['mixup', rgb, { mixup: 0.4 }],
    ['cutmix', wide, { cutmix: 1 }],
    ['cutmix of a tiny alpha', wide, { cutmix: 0.01 }],
    ['RandAugment', rgb, { randAugment: {} }],
    ['RandAugment of grey images', grey, { randAugment: { ops: 3, magnitude: 10 } }],
    ['RandAugment, nearest', rgb, { randAugment: { magnitude: 7 }, sampling: 'nearest' }],
    ['the strong preset', rgb, augmentPreset('strong', rgb.info)],
    ['the strong preset on grey images', grey, augmentPreset('strong', grey.info)],
    ['the strong preset on large images', large, augmentPreset('strong', large.info)],
    ['the imagenet preset', rgb, augmentPreset('imagenet', rgb.info)],
    ['all at once', wide, { padCrop: 2, flip: true, randAugment: { ops: 4 }, cutout: 3, mixup: 1 }],
  ];
  it.each(cases)('equals the loader: %s', (_, data, augment) => {
    const n = data.split.length;
    const order = Array.from({ length: n }, (__, i) => (i * 7 + 3) % n);
    for (const place of [
      { seed: 3, epoch: 2, step: 0 },
      { seed: 2 ** 40 + 9, epoch: 0, step: 1 },
    ]) {
      const rows = n / 2;
      const from = place.step * rows;
      const indices = Uint32Array.from(order.slice(from, from + rows));
      const want = referenceBatch(data, augment, indices, place);
      const got = augmentBatch(data, {
        ...place,
        order,
        globalBatch: rows,
        ...(augment && { augment }),
      });
      expectSame(data, got.images, want.images);
      expect(got.labels).toEqual(Array.from(want.labels));
      const targets = want.targets ?? [];
      expect(got.targets.length).toBe(targets.length);
      // Shares are rounded to float32 once on either side.
      got.targets.forEach((t, i) => {
        expect(Math.abs(t - (targets[i] as number))).toBeLessThan(2e-7);
      });
    }
  });

  it('draws every operation of RandAugment, and each equals the loader', () => {
    const many = makeImages(300, { channels: 3, height: 8, width: 8 });
    const augment = { randAugment: { ops: 1, magnitude: 9 } };
    const place = { seed: 5, epoch: 1, step: 0 };
    const indices = Uint32Array.from({ length: 300 }, (_, i) => i);
    const want = referenceBatch(many, augment, indices, place).images;
    const got = augmentBatch(many, { ...place, augment }).images;
    const off = levels(many, got, want);
    const random = new PhiloxRandom();
    const worst = new Map<string, number>();
    for (const i of indices) {
      const drawn = random.seed(5, Stage.randAugment, 1, i).below(randAugmentOps.length);
      const op = randAugmentOps[drawn] as string;
      const most = Math.max(...off.slice(i * 192, (i + 1) * 192));
      worst.set(op, Math.max(worst.get(op) ?? 0, most));
    }
    expect([...worst.keys()].sort()).toEqual([...randAugmentOps].sort());
    // One level, should the compiler contract; see expectSame.
    for (const [op, most] of worst) expect([op, most < 1.01]).toEqual([op, true]);
    expectSame(many, got, want);
  });

  it('copies pixels exactly when it only crops and flips', () => {
    const { info } = wide;
    const made = augmentBatch(wide, { augment: { padCrop: 3, flip: true } }).images;
    const plane = info.height * info.width;
    const bytes = wide.split.read(Uint32Array.from({ length: 24 }, (_, i) => i));
    for (let n = 0; n < 24; n++) {
      const known = new Set([Math.round((info.mean[0] as number) * 255)]);
      for (let i = 0; i < plane; i++) known.add(bytes[n * 3 * plane + i] as number);
      for (let i = 0; i < plane; i++) {
        const value = made[n * 3 * plane + i] as number;
        const level = (value * (info.std[0] as number) + (info.mean[0] as number)) * 255;
        expect(Math.abs(level - Math.round(level))).toBeLessThan(1e-4);
        expect(known.has(Math.round(level))).toBe(true);
      }
    }
  });

  it('gives bfloat16 and float16, rounded as libtorch rounds', () => {
    const augment = { padCrop: 2, flip: true };
    const wanted = augmentBatch(rgb, { augment }).images;
    for (const dtype of ['bfloat16', 'float16'] as const) {
      const got = augmentBatch(rgb, { augment, dtype }).images;
      expect(got).toEqual(scope(() => tensor(wanted).to(dtype).toNumbers()));
    }
    // Subnormals, infinities and halfway cases of float16, by way of the mean.
    const tiny = { ...rgb, info: { ...rgb.info, std: [1e7, 2e-5, 4e6], mean: [0.5, 0.3, 0.1] } };
    const exact = augmentBatch(tiny).images;
    for (const dtype of ['bfloat16', 'float16'] as const) {
      const got = augmentBatch(tiny, { dtype }).images;
      expect(got).toEqual(scope(() => tensor(exact).to(dtype).toNumbers()));
    }
  });

  it('is the same for the same state, and differs by seed, epoch and step', () => {
    const augment = { padCrop: 3, flip: true };
    const order = [...Array(16).keys(), ...Array(16).keys()]; // the same images in both batches
    const make = (options: Case) =>
      augmentBatch(rgb, { augment: { ...augment, mixup: 1 }, order, globalBatch: 16, ...options });
    const first = make({});
    expect(make({})).toEqual(first);
    for (const other of [{ seed: 4 }, { seed: 3 + 2 ** 32 }, { epoch: 3 }, { step: 1 }]) {
      expect(make(other).images).not.toEqual(first.images);
    }
  });

  it('makes an image alike wherever it stands, but for mixing', () => {
    const augment = { padCrop: 3, flip: true, randAugment: {}, cutout: 4 };
    const alone = augmentBatch(rgb, { augment, order: [7] }).images;
    const late = augmentBatch(rgb, { augment, order: [1, 2, 3, 7], step: 1, globalBatch: 2 });
    expect(late.images.slice(alone.length)).toEqual(alone);
  });

  it('counts the step and begins again beyond the end of the order', () => {
    const order = [0, 1, 2, 3, 4];
    const labels = (step: number, batch: number) =>
      augmentBatch(rgb, { order, globalBatch: 2, batch, step });
    expect(labels(0, 2).state).toEqual([3, 2, 1]);
    const of = (...images: number[]) => images.map((i) => rgb.split.label(i));
    expect(labels(1, 2).labels).toEqual(of(2, 3));
    expect(labels(2, 1).labels).toEqual(of(4));
    expect(labels(2, 2).labels).toEqual(of(4, 4)); // one image left: it fills the fixed size
    expect(labels(3, 2).labels).toEqual(of(0, 1));
  });

  it('makes in parts what it makes in one go, partners of other parts included', () => {
    const augment = { padCrop: 2, flip: true, mixup: 1, cutmix: 1 };
    for (const step of [0, 1, 2, 3]) {
      const whole = augmentBatch(rgb, { augment, globalBatch: 12, step });
      const parts = [0, 4, 8].map((firstRow) =>
        augmentBatch(rgb, { augment, globalBatch: 12, step, firstRow, batch: 4 }),
      );
      expect(parts.flatMap((p) => p.images)).toEqual(whole.images);
      expect(parts.flatMap((p) => p.targets)).toEqual(whole.targets);
      expect(parts.flatMap((p) => p.labels)).toEqual(whole.labels);
    }
  });

  it('gives targets that sum to 1 and weigh the pixels', () => {
    const flat = makeImages(8, { channels: 1, height: 4, width: 4 }, 8);
    for (const kind of ['mixup', 'cutmix'] as const) {
      // Image i is all of level 30 i and of class i, so that a mean of pixels tells the shares.
      const bytes = Uint8Array.from({ length: 8 * 16 }, (_, i) => 30 * (i >> 4));
      const split = new MemorySplit(bytes, [0, 1, 2, 3, 4, 5, 6, 7], 16);
      const data = { info: flat.info, split };
      for (const step of [0, 1, 2, 3]) {
        const { images, targets } = augmentBatch(data, { augment: { [kind]: 1 }, seed: step });
        for (let n = 0; n < 8; n++) {
          const row = targets.slice(n * 8, n * 8 + 8);
          expect(row.reduce((a, b) => a + b)).toBeCloseTo(1, 6);
          const level = row.reduce((sum, share, k) => sum + share * 30 * k, 0);
          const pixels = images.slice(n * 16, n * 16 + 16);
          const mean = pixels.reduce((a, b) => a + b) / 16;
          expect((mean * 0.25 + 0.45) * 255).toBeCloseTo(level, 3);
        }
      }
    }
  });

  it('draws fairly: halves are flipped, shifts and mixes have their frequencies', () => {
    // A ramp tells how it was moved: column x has level 10 x, the fill is 115.
    const info = { ...makeImages(1, { channels: 1, height: 1, width: 9 }).info };
    const row = Uint8Array.from({ length: 9 }, (_, x) => 10 * x + 10);
    const data = { info, split: new MemorySplit(row, Uint8Array.of(0), row.length) };
    const shifts = new Map<number, number>();
    let flipped = 0;
    const runs = 1500;
    for (let epoch = 0; epoch < runs; epoch++) {
      const augment = { padCrop: 1, flip: true };
      const { images } = augmentBatch(data, { augment, epoch });
      const at = images.map((v) => Math.round((v * 0.25 + 0.45) * 255));
      if (at.every((v) => v === 115)) continue; // moved out of its one row
      const mirrored = (at[3] as number) > (at[4] as number);
      if (mirrored) flipped++;
      const middle = at[4] as number; // the middle stays the middle when mirrored
      shifts.set(middle, (shifts.get(middle) ?? 0) + 1);
    }
    const seen = [...shifts.values()].reduce((a, b) => a + b);
    // Five standard deviations of a binomial: sqrt(n p (1 - p)) is below 12 for n = 500, 18 for 1500.
    expect(Math.abs(seen - runs / 3)).toBeLessThan(5 * 18.3);
    expect(Math.abs(flipped - seen / 2)).toBeLessThan(5 * 0.5 * Math.sqrt(seen));
    expect([...shifts.keys()].sort((a, b) => a - b)).toEqual([40, 50, 60]);
    for (const count of shifts.values()) {
      expect(Math.abs(count - seen / 3)).toBeLessThan(5 * 0.48 * Math.sqrt(seen));
    }

    let mixed = 0;
    let sum = 0;
    for (let step = 0; step < 400; step++) {
      const augment = { mixup: 1, mixProbability: 0.25 };
      const pair = { ...rgb, split: rgb.split };
      const { targets } = augmentBatch(pair, { augment, epoch: step, order: [0, 1, 2] });
      if (targets.every((t) => t === 0 || t === 1)) continue;
      mixed++;
      sum += targets[rgb.split.label(0)] as number;
    }
    // Batches of 3: shares are seen unless all three are of one class, which they are not here.
    expect(new Set([0, 1, 2].map((i) => rgb.split.label(i))).size).toBeGreaterThan(1);
    expect(Math.abs(mixed - 100)).toBeLessThan(5 * Math.sqrt(400 * 0.25 * 0.75));
    // Beta(1, 1) has the mean 1/2 and the deviation 0.29; a partner of the same class adds to it.
    expect(sum / mixed).toBeGreaterThan(0.5 - (5 * 0.29) / Math.sqrt(mixed));
  });
});

describe('augment_batch refuses', () => {
  const bad: [string, Case, RegExp][] = [
    [
      'an image that is not there',
      { order: [0, 48] },
      /image 48 in row 1 of order, expected 0 to 47/,
    ],
    ['a negative image', { order: [-1] }, /image -1 in row 0/],
    ['an empty order', { order: [] }, /order of shape \[0\]/],
    ['a batch beyond the order', { order: [1], globalBatch: 2 }, /global_batch 2, .* from 1 to 1/],
    [
      'rows beyond the batch',
      { firstRow: 40, batch: 9 },
      /batch 9, expected an integer from 1 to 8/,
    ],
    ['no rows', { batch: 0 }, /batch 0, expected an integer from 1/],
    ['a first row beyond the batch', { firstRow: 48, batch: 1 }, /first_row 48/],
    [
      'a type of whole numbers',
      { dtype: 'int64' },
      /output dtype Long, expected float32, bfloat16/,
    ],
    [
      'a label of no class',
      { augment: { mixup: 1 }, classes: 1 },
      /label \d of image \d+, expected 0/,
    ],
    ['a crop beyond the image', { augment: { padCrop: 13 } }, /pad_crop 13, .* from 0 to 12/],
    ['too much cutout', { augment: { cutout: 25 } }, /cutout 25/],
    ['too much erasing', { augment: { erasing: 1.5 } }, /erasing 1.5/],
    ['too many operations', { augment: { randAugment: { ops: 17 } } }, /rand_ops 17/],
    ['too strong ones', { augment: { randAugment: { magnitude: NaN } } }, /rand_magnitude nan/],
    ['a negative alpha', { augment: { mixup: -1 } }, /mixup -1/],
    ['a probability above 1', { augment: { mixProbability: 1.5 } }, /mix_probability 1.5/],
    ['a crop of nothing', { augment: { resizedCrop: { scale: [0, 1] } } }, /resized_crop/],
    ['both crops', { augment: { resizedCrop: {}, padCrop: 1 } }, /both resized_crop and pad_crop/],
    ['a negative epoch', { epoch: -1 }, /state with epoch -1/],
  ];
  it.each(bad)('%s', (_, options, message) => {
    expect(() => augmentBatch(rgb, options)).toThrow(message);
  });

  it('tensors of another type, shape or layout, and says which', () => {
    const int = { dtype: 'int64' } as const;
    const good = () => [
      tensor([[[[1, 2]]], [[[3, 4]]]], { dtype: 'uint8' }),
      tensor([0, 1], int),
      tensor([1, 0], int),
      tensor([1, 0, 0], int),
      tensor([0.5]),
      tensor([0.5]),
    ];
    const call = (at: number, wrong: () => Tensor) =>
      scope(() => {
        const inputs = good();
        inputs[at] = wrong();
        return callOperator('mamba_prune::augment_batch', ...inputs, 'float32', 2, 0, 2, 2);
      });
    expect(call(0, () => tensor([[[[1, 2]]], [[[3, 4]]]], { dtype: 'uint8' }))).toHaveLength(3);
    expect(() => call(0, () => tensor([[[[1]]]]))).toThrow(/images of dtype Float, expected Byte/);
    expect(() => call(0, () => tensor([1], { dtype: 'uint8' }))).toThrow(/images of shape \[1\]/);
    expect(() => call(1, () => tensor([0], int))).toThrow(
      /labels of shape \[1\], expected \[count\]/,
    );
    expect(() => call(2, () => tensor([1, 0]))).toThrow(/order of dtype Float, expected Long/);
    expect(() =>
      call(2, () =>
        tensor(
          [
            [1, 0],
            [0, 1],
          ],
          int,
        ).select(1, 0),
      ),
    ).toThrow(/not contiguous/);
    expect(() => call(3, () => tensor([0, 0], int))).toThrow(/state of shape \[2\]/);
    expect(() => call(4, () => tensor([0.5, 1]))).toThrow(
      /mean of shape \[2\], expected \[channels\]/,
    );
    expect(() => call(5, () => tensor([0.5], { requiresGrad: true }))).toThrow(
      /std that requires grad/,
    );
    expect(() => call(5, () => tensor([0.5], { dtype: 'float64' }))).toThrow(/std of dtype Double/);
  });

  it('or survives whatever numbers it is given with tensors that fit', () => {
    const random = new PhiloxRandom().seed(9, Stage.split);
    const pick = <T>(values: readonly T[]): T => values[random.below(values.length)] as T;
    const wild = [0, 5, -1, 2 ** 31, -(2 ** 31), 2 ** 40, 2 ** 53, -(2 ** 53)];
    const wildReal = [-1, 1e-300, 1e308, NaN, Infinity];
    const spoil = () => random.below(40) === 0;
    const whole = (good: readonly number[]) => pick(spoil() ? wild : good);
    const real = (good: readonly number[]) => pick(spoil() ? wildReal : good);
    const many = (count: number, make: () => number) => Array.from({ length: count }, make);
    const int = { dtype: 'int64' } as const;
    let worked = 0;
    for (let trial = 0; trial < 800; trial++) {
      scope(() => {
        const shape = [3, pick([1, 2, 3, 4]), pick([1, 2, 5]), pick([1, 3, 4])] as const;
        const [, channels, height, width] = shape;
        const bytes = many(3 * channels * height * width, () => random.below(256));
        const side = Math.min(height, width);
        const padCrop = whole([0, 1, side]);
        const given = [
          tensor(bytes, { dtype: 'uint8' }).reshape(...shape),
          tensor([0, whole([1]), 2], int),
          tensor([0, 2, whole([1]), 1], int),
          tensor([whole([0]), whole([1]), whole([2])], int),
          tensor(many(channels, () => real([0, 0.5, 1]))),
          tensor(many(channels, () => real([0, 0.5, 1]))),
          pick(['float32', 'float16', 'bfloat16']),
          whole([1, 2]),
          whole([0, 1]),
          whole([3, 4]),
          whole([3]),
          padCrop,
          random.below(2) === 0,
          padCrop > 0 ? [] : [real([0.1]), real([1]), real([0.01, 1]), real([1, 50])],
          whole([0, 1, 16]),
          real([0, 9, 10]),
          random.below(2) === 0,
          whole([0, 1, side]),
          real([0, 1, 100]),
          real([0, 1e-300, 1]),
          real([0, 0.5, 1]),
        ];
        try {
          callOperator('mamba_prune::augment_batch', ...given);
          worked++;
        } catch (error) {
          expect(error).toBeInstanceOf(TorchError);
        }
      });
    }
    expect(worked).toBeGreaterThan(200);
    expect(worked).toBeLessThan(700);
  });
});
