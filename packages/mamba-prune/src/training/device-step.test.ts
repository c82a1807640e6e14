import { join } from 'node:path';
import { memoryStats, randn, scope, tensor } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { BatchLoader } from '../data/index.js';
import { type LaunchedBatch, toTensors } from './batches.js';
import {
  RunFolder,
  type TrainControl,
  type TrainHooks,
  TrainingDivergedError,
  type TrainOptions,
} from './index.js';
import { resolveTrainOptions } from './options.js';
import { train } from './trainer.js';
import { Session } from './session.js';
import { FakeGraphs } from './testing/fake-graphs.js';
import { makeStep } from './train-step.js';
import { eachTestsFolder } from './testing/each-folder.js';
import {
  outcomeWithoutGraph,
  side,
  toyDataset,
  toyInfo,
  ToyModel,
  toyOptions,
  toyRun,
} from './testing/toy.js';

const folder = eachTestsFolder();

const create = (name: string) => RunFolder.create(join(folder.path, name), toyRun);

/** @param seed - of the weights; those of a checkpoint replace them */
async function go(
  run: RunFolder,
  control: TrainControl,
  hooks: TrainHooks = {},
  options: Partial<TrainOptions> = {},
  seed = 5,
) {
  return train(
    new ToyModel(seed),
    toyDataset(),
    { ...toyOptions, ...options },
    run,
    hooks,
    control,
  );
}

const lastLine = (run: RunFolder) => run.readMetrics().at(-1) as Record<string, unknown>;

describe('the step of a GPU', () => {
  it.each(['adamw', 'sgd'] as const)(
    'is replayed after three steps, and ends as one by one bit for bit (%s)',
    async (optimizer) => {
      const graphs = new FakeGraphs();
      const [replayed, launched] = [create('replayed'), create('launched')];
      const notes: string[] = [];
      const hooks = { onNote: (note: string) => notes.push(note) };
      await go(replayed, { graphBackend: graphs }, hooks, { optimizer });
      expect([graphs.captures, graphs.replays, graphs.live]).toEqual([1, 25, 0]);
      expect(lastLine(replayed)['graph']).toBe('replayed');
      expect(notes).toEqual([]);
      await go(launched, { graphBackend: graphs, graph: false }, hooks, { optimizer });
      expect([graphs.captures, graphs.replays]).toEqual([1, 25]);
      expect(lastLine(launched)['graph']).toBe('graphs are switched off');
      expect(notes).toEqual(['Training on cpu step by step: graphs are switched off.']);
      expect(outcomeWithoutGraph(replayed)).toEqual(outcomeWithoutGraph(launched));
    },
  );

  it('computes what that of the CPU does', async () => {
    const [device, host] = [create('device'), create('host')];
    await go(device, { graphBackend: new FakeGraphs() });
    await go(host, {});
    const [a, b] = [lastLine(device), lastLine(host)] as Record<string, number>[];
    expect(Object.keys(a ?? {}).filter((key) => key !== 'graph')).toEqual(Object.keys(b ?? {}));
    // 28 steps of sums in another order, and float32 in place of float64 for rates and corrections.
    for (const name of ['loss', 'valLoss', 'emaLoss', 'gradNorm', 'trainAccuracy', 'lr']) {
      expect(Math.abs((a?.[name] ?? NaN) - (b?.[name] ?? NaN)), name).toBeLessThan(2e-4);
    }
    device.release();
    host.release();
  });

  it('ends bit for bit as one that was not stopped when it is resumed', async () => {
    const graphBackend = new FakeGraphs();
    const [whole, parts] = [create('whole'), create('parts')];
    await go(whole, { graphBackend }, {}, { precision: 'bf16' });
    for (const stopAt of [2, 10, 14]) {
      const stop = new AbortController();
      let steps = 0;
      const onStep = ({
        epoch,
        stepsPerEpoch,
        step,
      }: {
        epoch: number;
        stepsPerEpoch: number;
        step: number;
      }) => {
        steps = (epoch - 1) * stepsPerEpoch + step;
        if (steps >= stopAt) stop.abort();
      };
      const control = { graphBackend, resume: true, signal: stop.signal };
      await go(parts, control, { onStep }, { precision: 'bf16' }, stopAt === 2 ? 5 : 77);
      expect(steps).toBe(stopAt);
    }
    await go(parts, { graphBackend, resume: true }, {}, { precision: 'bf16' }, 77);
    expect(outcomeWithoutGraph(parts)).toEqual(outcomeWithoutGraph(whole));
  });

  it.each<[string, TrainHooks]>([
    ['a hook computes the loss (taskLoss)', { taskLoss: ({ logits }) => logits.square().mean() }],
    [
      'the loss term pull is computed anew in every step',
      { extraLosses: [{ name: 'pull', compute: () => tensor(0.5) }] },
    ],
    ['a hook is called after every step (afterStep)', { afterStep: () => undefined }],
  ])('is not captured where %s, and says so once', async (reason, hooks) => {
    const graphBackend = new FakeGraphs();
    const run = create('run');
    const notes: string[] = [];
    await go(run, { graphBackend }, { ...hooks, onNote: (note) => notes.push(note) });
    expect(graphBackend.captures).toBe(0);
    expect(notes).toEqual([`Training on cpu step by step: ${reason}.`]);
    expect(lastLine(run)['graph']).toBe(reason);
    run.release();
  });

  it('is captured with a teacher, who does not change', async () => {
    const graphBackend = new FakeGraphs();
    const run = create('run');
    const teacher = new ToyModel(9);
    await go(run, { graphBackend }, { distillation: { teacher, weight: 0.5 } });
    expect(graphBackend.replays).toBe(25);
    run.release();
  });

  it('goes on step by step where the capture fails, with the same outcome', async () => {
    const [failing, launched] = [create('failing'), create('launched')];
    await go(failing, { graphBackend: new FakeGraphs('operation not permitted\nat ...') });
    expect(lastLine(failing)['graph']).toBe('the capture failed: operation not permitted');
    await go(launched, { graphBackend: new FakeGraphs(), graph: false });
    expect(outcomeWithoutGraph(failing)).toEqual(outcomeWithoutGraph(launched));
  });

  it('finds out that the training diverges, and saves nothing of it', async () => {
    const run = create('run');
    const error = await go(
      run,
      { graphBackend: new FakeGraphs() },
      {},
      { optimizer: 'sgd', lr: 1e6, warmupEpochs: 0 },
    ).catch((reason: unknown) => reason);
    run.release();
    expect(error).toBeInstanceOf(TrainingDivergedError);
    expect((error as TrainingDivergedError).step).toBeLessThanOrEqual(7);
    expect(run.readMetrics()).toEqual([]);
  });

  it('does not hold more memory from step to step', async () => {
    const run = create('run');
    const seen: number[] = [];
    await go(
      run,
      { graphBackend: new FakeGraphs() },
      { onStep: () => seen.push(memoryStats().tensors) },
    );
    run.release();
    expect(new Set(seen.slice(5)).size).toBe(1);
  });
});

/** A session that takes steps one by one. */
function steps(name: string, graphBackend: FakeGraphs) {
  const run = create(name);
  const options = resolveTrainOptions(toyOptions, toyInfo);
  const model = new ToyModel(5);
  const session = new Session(model, toyDataset(), options, run, {}, { graphBackend });
  const step = makeStep(session);
  return {
    model,
    step: (batch: Parameters<typeof step.run>[0]) => {
      const loss = step.run(batch, { totalSteps: 100, stepsPerEpoch: 10, progress: 0 });
      session.steps++;
      return loss;
    },
    images: () => session.sums.images,
    close: () => {
      step.dispose();
      session.dispose();
      run.release();
    },
  };
}

describe('a captured step', () => {
  it('leaves a batch of another size to a launch of its own', async () => {
    const graphs = new FakeGraphs();
    const session = steps('run', graphs);
    const { train: split } = toyDataset();
    const loader = new BatchLoader(split, toyInfo, { batchSize: 16, shuffle: true });
    for await (const batch of loader.epoch(0)) session.step(batch);
    // Three to warm up, four of 16 images replayed, the last of 8 not.
    expect(graphs.replays).toBe(4);
    for await (const batch of loader.epoch(1)) session.step(batch);
    expect(graphs.replays).toBe(4 + 7);
    expect(graphs.captures).toBe(1);
    expect(session.images()).toBe(240);
    session.close();
    expect(graphs.live).toBe(0);
  });

  it('takes the batches that a source makes on the device', () => {
    const graphs = new FakeGraphs();
    const session = steps('run', graphs);
    const images = randn([5, 16, 1, side, side]);
    const labels = tensor(
      Array.from({ length: 16 }, (_, i) => i % 3),
      { dtype: 'int64' },
    );
    const counter = tensor(0, { dtype: 'int64' });
    const batch: LaunchedBatch = {
      size: 16,
      next: () => {
        const found = images.select(0, counter.item() % 5);
        counter.add_(1);
        return { images: found, labels, targets: undefined };
      },
    };
    for (let i = 0; i < 6; i++) session.step(batch);
    expect(graphs.replays).toBe(3);
    expect(counter.item()).toBe(6);
    expect(scope(() => toTensors(batch, toyInfo, 'cpu', 'bfloat16').images.dtype)).toBe('bfloat16');
    session.close();
  });
});
