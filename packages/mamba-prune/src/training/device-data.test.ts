/** Trainings whose batches are made on the device: the CPU stands for it, and a replay does the work again. */
import { join } from 'node:path';
import { memoryStats } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { BatchLoader, type ImageSplit } from '../data/index.js';
import { makeSources } from './data-source.js';
import { evaluate, RunFolder } from './index.js';
import { resolveTrainOptions } from './options.js';
import { train } from './trainer.js';
import { FakeGraphs } from './testing/fake-graphs.js';
import { eachTestsFolder } from './testing/each-folder.js';
import {
  outcomeWithoutGraph,
  stopAfter,
  toyDataset,
  toyInfo,
  ToyModel,
  toyOptions,
  toyRun,
} from './testing/toy.js';
import { type ToyTraining, trainToy } from './testing/train-toy.js';
import { settledMemory } from '../../../../test/support/garbage.js';

const folder = eachTestsFolder();

const create = (name: string) => RunFolder.create(join(folder.path, name), toyRun);
const augment = { padCrop: 1, flip: true, mixup: 0.2, cutmix: 1 };

const go = (run: RunFolder, { control, options, ...given }: ToyTraining = {}) =>
  trainToy(run, {
    ...given,
    options: { augment, ...options },
    control: { deviceData: true, ...control },
  });

const lastLine = (run: RunFolder) => run.readMetrics().at(-1) as Record<string, unknown>;

/** Crops while it reads, as folders of photos do. */
function decoding(split: ImageSplit): ImageSplit {
  return {
    length: split.length,
    label: (i) => split.label(i),
    read: (indices) => split.read(indices),
    readCropped: (indices) => Promise.resolve(split.read(indices)),
  };
}

describe('a training from device memory', () => {
  it('ends as one step by one bit for bit when its steps are replayed, stopped or not', async () => {
    const graphs = new FakeGraphs();
    const [replayed, launched, parts] = ['replayed', 'launched', 'parts'].map(create) as [
      RunFolder,
      RunFolder,
      RunFolder,
    ];
    await go(replayed, { control: { graphBackend: graphs } });
    expect([graphs.captures, graphs.replays, graphs.live]).toEqual([1, 25, 0]);
    expect(lastLine(replayed)).toMatchObject({ graph: 'replayed', data: 'device' });
    await go(launched, { control: { graphBackend: new FakeGraphs(), graph: false } });
    // In the warm-up, in the middle of an epoch, at its end.
    for (const count of [2, 10, 14]) {
      const { hooks, signal } = stopAfter(count);
      const graphBackend = new FakeGraphs();
      const control = { graphBackend, signal, resume: true };
      const seed = count === 2 ? 5 : 77;
      const { steps } = await go(parts, { control, seed, hooks });
      expect(steps).toBe(count);
    }
    await go(parts, { control: { graphBackend: new FakeGraphs(), resume: true }, seed: 77 });
    const wanted = outcomeWithoutGraph(launched);
    expect(outcomeWithoutGraph(replayed)).toEqual(wanted);
    expect(outcomeWithoutGraph(parts)).toEqual(wanted);
  });

  it('goes on in the middle of an epoch with the step of the CPU too', async () => {
    const [whole, parts] = [create('whole'), create('parts')];
    await go(whole);
    const { hooks, signal } = stopAfter(10);
    await go(parts, { control: { signal }, hooks });
    await go(parts, { control: { resume: true }, seed: 77 });
    expect(outcomeWithoutGraph(parts)).toEqual(outcomeWithoutGraph(whole));
  });

  it('sees the batches of the host where nothing is augmented', async () => {
    const [device, host] = [create('device'), create('host')];
    await go(device, { options: { augment: {} } });
    await go(host, { options: { augment: {} }, control: { deviceData: false } });
    const [a, b] = [lastLine(device), lastLine(host)] as Record<string, number>[];
    expect(b?.['data']).toBeUndefined();
    // Images are normalised in float32 rather than float64: 1e-7, over 28 steps.
    for (const name of ['loss', 'valLoss', 'emaLoss', 'trainAccuracy']) {
      expect(Math.abs((a?.[name] ?? NaN) - (b?.[name] ?? NaN)), name).toBeLessThan(1e-4);
    }
    device.release();
    host.release();
  });

  it('streams images that are cut while decoding, says so once, and replays', async () => {
    const [replayed, launched] = [create('replayed'), create('launched')];
    const toy = toyDataset();
    const dataset = { ...toy, train: decoding(toy.train) };
    const options = { augment: { resizedCrop: {}, flip: true, mixup: 0.2 } };
    const notes: string[] = [];
    const hooks = { onNote: (note: string) => notes.push(note) };
    const graphBackend = new FakeGraphs();
    await go(replayed, { dataset, options, hooks, control: { graphBackend } });
    expect(graphBackend.replays).toBe(25);
    expect(notes).toEqual([
      'The training images stay in the memory of the host: resizedCrop is cut out of the full picture ' +
        'while decoding, which is done on the host.',
    ]);
    expect(lastLine(replayed)['data']).toMatch(/^resizedCrop is cut/);
    await go(launched, { dataset, options, control: { graphBackend, graph: false } });
    expect(outcomeWithoutGraph(replayed)).toEqual(outcomeWithoutGraph(launched));
  });

  it('holds no memory afterwards, nor more from step to step', async () => {
    await go(create('first'), { options: { epochs: 1 } });
    const model = new ToyModel();
    const before = (await settledMemory()).tensors;
    const seen: number[] = [];
    await train(
      model,
      toyDataset(),
      { ...toyOptions, augment },
      create('run'),
      { onStep: () => seen.push(memoryStats().tensors) },
      { deviceData: true, graphBackend: new FakeGraphs() },
    );
    // Models of earlier tests may be collected meanwhile: there may be fewer tensors, never more.
    expect(Math.max(...seen.slice(6))).toBeLessThanOrEqual(seen[5] as number);
    for (const parameter of model.parameters()) parameter.grad = null;
    expect(memoryStats().tensors).toBeLessThanOrEqual(before);
  });
});

describe('the sources of a training', () => {
  const sourcesOf = (budgetBytes?: number, notes: string[] = []) => {
    const options = resolveTrainOptions({ ...toyOptions, evalBatchSize: 16 }, toyInfo);
    const hooks = { onNote: (note: string) => notes.push(note) };
    const control = { deviceData: true };
    const dataset = toyDataset();
    const imageType = 'float32' as const;
    const session = { dataset, options, hooks, control, device: 'cpu', imageType };
    return makeSources(session, budgetBytes);
  };

  // 120 training images take 6240 bytes, 60 test images 3120.
  it.each([
    ['device', 10_000],
    ['device', 7000],
    ['120 images of 1x6x6 take 0.0 MiB, more than the 0.0 MiB that they may', 1000],
  ])('evaluate as the loader does: %s, %i bytes', async (data, budget) => {
    const notes: string[] = [];
    const sources = await sourcesOf(budget, notes);
    expect(sources.data).toBe(data);
    expect(notes).toHaveLength(data === 'device' ? 0 : 1);
    const model = new ToyModel();
    // The last of four batches has 12 images.
    const loader = new BatchLoader(toyDataset().test, toyInfo, { batchSize: 16 });
    const wanted = await evaluate(model, loader, toyInfo);
    const sizes: number[] = [];
    const onBatch = ({ shape }: { shape: readonly number[] }) => sizes.push(shape[0] ?? 0);
    const found = await evaluate(model, sources.test, toyInfo, { onBatch });
    expect(sizes).toEqual([16, 16, 16, 12]);
    expect(found).toMatchObject({ accuracy: wanted?.accuracy, images: 60 });
    expect(found?.loss).toBeCloseTo(wanted?.loss ?? NaN, 6);
    await sources.close();
  });
});
