/** The end of a training without mixing, in every way of making batches. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Dataset, ImageSplit } from '../data/index.js';
import {
  type EpochMetrics,
  RunFolder,
  type TrainControl,
  type TrainHooks,
  type TrainOptions,
} from './index.js';
import { resolveTrainOptions } from './options.js';
import { isPlainEpoch, plainEnd } from './plain-epochs.js';
import { classificationLoss } from './losses.js';
import { eachTestsFolder } from './testing/each-folder.js';
import { FakeGraphs } from './testing/fake-graphs.js';
import {
  outcomeWithoutGraph,
  stopAfter,
  toyDataset,
  toyInfo,
  toyOptions,
  toyRun,
} from './testing/toy.js';
import { type ToyTraining, trainToy } from './testing/train-toy.js';

const folder = eachTestsFolder();

const steps = 7; // in an epoch
const create = (name: string) => RunFolder.create(join(folder.path, name), toyRun);
const options: TrainOptions = {
  ...toyOptions,
  augment: { padCrop: 1, flip: true, cutout: 2, mixup: 0.8, cutmix: 1 },
  plainEpochs: 2,
};

const go = (run: RunFolder, given: ToyTraining = {}) =>
  trainToy(run, { ...given, options: { ...options, ...given.options } });

const ways: [string, () => TrainControl][] = [
  ['the loader', () => ({})],
  ['the loader, for the step of a GPU', () => ({ graphBackend: new FakeGraphs(), graph: false })],
  ['the loader, replayed', () => ({ graphBackend: new FakeGraphs() })],
  ['the device', () => ({ deviceData: true })],
  ['the device, replayed', () => ({ deviceData: true, graphBackend: new FakeGraphs() })],
];

describe('plain epochs', () => {
  it.each(ways)('mix nothing, and only they: %s', async (_, control) => {
    const run = create('run');
    /** Whether the batches were mixed, epoch by epoch. */
    const mixed: boolean[][] = [];
    const hooks: TrainHooks = {
      taskLoss: (context) => {
        const targets = context.targets?.toNumbers() ?? [];
        expect(targets).toHaveLength(16 * 3);
        (mixed[context.epoch] ??= []).push(targets.some((share) => share !== 0 && share !== 1));
        if (context.epoch >= 2) {
          // One-hot, and of the image's own class.
          const own = context.targets?.argmax(-1).toNumbers();
          expect(own).toEqual(context.labels.toNumbers());
        }
        return classificationLoss(context, 0.05);
      },
      replayable: true,
    };
    await go(run, { hooks, control: control() });
    expect(mixed.map((epoch) => epoch.length)).toEqual([steps, steps, steps, steps]);
    // Cutmix may happen to cut nothing, and partners to be of one class; not in all batches of an epoch.
    expect(mixed.map((epoch) => epoch.some(Boolean))).toEqual([true, true, false, false]);
    const lines = run.readMetrics() as EpochMetrics[];
    expect(lines.map(({ plain }) => plain)).toEqual([undefined, undefined, true, true]);
    run.release();
  });

  it.each(ways)('end bit for bit the same when the run is resumed: %s', async (_, control) => {
    const [whole, parts] = [create('whole'), create('parts')];
    await go(whole, { control: control() });
    // Before the border, on it, in the middle of a plain epoch.
    for (const count of [10, 2 * steps, 2 * steps + 3]) {
      const { hooks, signal } = stopAfter(count);
      const seed = count === 10 ? 5 : 77;
      const stopped = { ...control(), signal, resume: true };
      const { steps } = await go(parts, { hooks, seed, control: stopped });
      expect(steps).toBe(count);
    }
    await go(parts, { seed: 77, control: { ...control(), resume: true } });
    expect(outcomeWithoutGraph(parts)).toEqual(outcomeWithoutGraph(whole));
  });

  it.each(ways)('leave the epochs before them as they were: %s', async (_, control) => {
    const [plain, mixed] = [create('plain'), create('mixed')];
    await go(plain, { control: control(), options: { schedule: 'constant' } });
    const other = { schedule: 'constant', plainEpochs: 0 } as const;
    await go(mixed, { control: control(), options: other });
    const [a, b] = [outcomeWithoutGraph(plain), outcomeWithoutGraph(mixed)];
    expect(a.metrics.slice(0, 2)).toEqual(b.metrics.slice(0, 2));
    expect(a.metrics[2]).not.toEqual({ ...b.metrics[2], plain: true });
  });

  it('are captured anew once where the device makes the batches, and not where they are copied', async () => {
    const [made, copied] = [new FakeGraphs(), new FakeGraphs()];
    const [replayed, launched] = [create('replayed'), create('launched')];
    await go(replayed, { control: { deviceData: true, graphBackend: made } });
    // Three steps to warm up, at the start and at the border.
    expect([made.captures, made.replays, made.live]).toEqual([2, 4 * steps - 6, 0]);
    const graphBackend = new FakeGraphs();
    await go(launched, { control: { deviceData: true, graphBackend, graph: false } });
    expect(outcomeWithoutGraph(replayed)).toEqual(outcomeWithoutGraph(launched));
    const run = create('copied');
    await go(run, { control: { graphBackend: copied } });
    expect([copied.captures, copied.replays]).toEqual([1, 4 * steps - 3]);
    run.release();
  });

  it('are replayed without another capture where the batches are streamed', async () => {
    const toy = toyDataset();
    const readCropped: ImageSplit['readCropped'] = (indices) =>
      Promise.resolve(toy.train.read(indices));
    const { length } = toy.train;
    const dataset: Dataset = {
      ...toy,
      train: {
        length,
        label: (i) => toy.train.label(i),
        read: (indices) => toy.train.read(indices),
        readCropped,
      },
    };
    // What needs decoding in the plain epochs alone keeps the images on the host too.
    const given = { plainAugment: { resizedCrop: {}, flip: true } };
    const [replayed, launched] = [create('replayed'), create('launched')];
    const graphBackend = new FakeGraphs();
    const control = { deviceData: true, graphBackend };
    await go(replayed, { dataset, options: given, control });
    expect([graphBackend.captures, graphBackend.replays]).toEqual([1, 4 * steps - 3]);
    const [line] = replayed.readMetrics() as EpochMetrics[];
    expect(line?.data).toMatch(/^resizedCrop is cut/);
    await go(launched, { dataset, options: given, control: { ...control, graph: false } });
    expect(outcomeWithoutGraph(replayed)).toEqual(outcomeWithoutGraph(launched));
  });

  it('are captured once where they change nothing', async () => {
    const graphBackend = new FakeGraphs();
    const run = create('run');
    await go(run, {
      control: { deviceData: true, graphBackend },
      options: { augment: { flip: true } },
    });
    expect(graphBackend.captures).toBe(1);
    run.release();
  });

  it('are those at the end of what a training has grown to', async () => {
    const run = create('run');
    await go(run, { options: { epochs: 3 } });
    const notes: string[] = [];
    const hooks = { onNote: (note: string) => notes.push(note) };
    await go(run, { hooks, control: { resume: true }, options: { epochs: 6 } });
    const lines = run.readMetrics() as EpochMetrics[];
    expect(lines.map(({ plain = false }) => plain)).toEqual([false, true, true, false, true, true]);
    expect(notes).toEqual([expect.stringContaining('its plain epochs are the last of those')]);
    run.release();
  });

  it('are refused by name on resume where the run has others', async () => {
    const run = create('run');
    const { hooks, signal } = stopAfter(3);
    await go(run, { hooks, control: { signal } });
    const resume = { control: { resume: true } };
    await expect(go(run, { ...resume, options: { plainEpochs: 1 } })).rejects.toThrow(
      /plainEpochs: got 1, expected 2/,
    );
    await expect(go(run, { ...resume, options: { plainAugment: 'none' } })).rejects.toThrow(
      /plainAugment: got {}, expected nothing/,
    );
    run.release();
  });
});

describe('the options of plain epochs', () => {
  const resolve = (given: Partial<TrainOptions>) =>
    resolveTrainOptions({ epochs: 10, ...given }, toyInfo);

  it('are left out of what is stored where there are none', () => {
    const names = Object.keys(resolve({ plainEpochs: 0 }));
    expect(names.filter((name) => name.startsWith('plain'))).toEqual([]);
    expect(resolve({ plainEpochs: 3, plainAugment: 'standard' })).toMatchObject({
      plainEpochs: 3,
      plainAugment: { padCrop: 1, flip: true },
    });
  });

  it('give the epoch in the order of the data, and an augmentation without mixing', () => {
    expect(plainEnd(resolve({}))).toBeUndefined();
    const augment = { flip: true, mixup: 0.5, mixProbability: 0.5 };
    expect(plainEnd(resolve({ plainEpochs: 3, augment, firstEpoch: 20 }))).toEqual({
      fromEpoch: 27,
      augment: { flip: true, mixup: 0, cutmix: 0, mixProbability: 0.5 },
    });
    const { augment: strong } =
      plainEnd(resolve({ plainEpochs: 10, plainAugment: 'strong' })) ?? {};
    expect(strong).toMatchObject({ cutout: 3, mixup: 0, cutmix: 0 });
    expect([6, 7, 9].map((epoch) => isPlainEpoch(resolve({ plainEpochs: 3 }), epoch))).toEqual([
      false,
      true,
      true,
    ]);
  });

  it.each<[Partial<TrainOptions>, string]>([
    [{ plainEpochs: 11 }, 'plainEpochs: got 11, expected at most 10, the epochs of the training'],
    [{ plainEpochs: -1 }, 'plainEpochs: got -1, expected an integer of at least 0'],
    [{ plainEpochs: 1.5 }, 'plainEpochs: got 1.5'],
    [{ plainAugment: 'none' }, 'got `plainAugment` without plain epochs'],
    [{ plainEpochs: 1, plainAugment: 'standrd' }, 'Did you mean "standard"?'],
  ])('refuse %j', (given, message) => {
    expect(() => resolve(given)).toThrow(message);
  });
});
