/** One training in two phases, with or without a cut between. */
import { join } from 'node:path';
import { writeFileSync } from 'node:fs';
import { noGrad, type Tensor } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import {
  CheckpointError,
  RunFolder,
  type TrainControl,
  type TrainHooks,
  type TrainOptions,
  type TrainResult,
} from './index.js';
import { train } from './trainer.js';
import { readCheckpoint } from './checkpoint.js';
import { FakeGraphs } from './testing/fake-graphs.js';
import { eachTestsFolder } from './testing/each-folder.js';
import { outcomeOf, side, toyDataset, ToyModel, toyOptions, toyRun } from './testing/toy.js';

const folder = eachTestsFolder();
const create = (name: string) => RunFolder.create(join(folder.path, name), toyRun);

/** Drops out, averages, clips, mixes; plain epochs at the end, and evaluations now and then. */
const options: TrainOptions = {
  ...toyOptions,
  epochs: 5,
  warmupEpochs: 2.5,
  plainEpochs: 3,
  evalEvery: 3,
  logEverySteps: 1,
};

interface Given {
  readonly hooks?: TrainHooks;
  readonly control?: TrainControl;
  readonly changes?: Partial<TrainOptions>;
}

const first = (run: RunFolder, model: ToyModel, { hooks, control, changes }: Given = {}) =>
  train(model, toyDataset(), { ...options, ...changes }, run, hooks, {
    phase: 'first',
    untilEpoch: 2,
    resume: true,
    ...control,
  });

const rest = (run: RunFolder, model: ToyModel, { hooks, control, changes }: Given = {}) =>
  train(model, toyDataset(), { ...options, ...changes }, run, hooks, {
    phase: 'rest',
    continues: { phase: 'first' },
    resume: true,
    ...control,
  });

const weightOf = (model: ToyModel): number => model.parameters()[0]?.toNumbers()[0] ?? NaN;

/** But for the evaluation that the end of the first phase has, and what was best in it. */
function outcome(run: RunFolder) {
  const { metrics, model, tensors, state } = outcomeOf(run);
  const { epoch, step, finished, optimizer, emaUpdates } = state;
  const lines = metrics.map((line) => ({
    ...(line as object),
    phase: '',
    valLoss: 0,
    valAccuracy: 0,
    emaLoss: 0,
    emaAccuracy: 0,
  }));
  return { metrics: lines, model, tensors, epoch, step, finished, optimizer, emaUpdates };
}

describe('a training in two phases', () => {
  it.each(['adamw', 'sgd', 'muon'] as const)(
    'is bit for bit the one without a break (%s)',
    async (optimizer) => {
      const changes = { optimizer };
      const [whole, parts] = [create('whole'), create('parts')];
      await train(new ToyModel(), toyDataset(), { ...options, ...changes }, whole);
      const model = new ToyModel();
      const half = await first(parts, model, { changes });
      const state = readCheckpoint(parts.lastCheckpoint);
      // The weights themselves, not their averages, are what goes on.
      expect(model.parameters().map((tensor) => tensor.toNumbers())).toEqual(
        [...model.namedParameters().keys()].map((name) => [
          ...new Float32Array(
            state.tensors.get(`model.${name}`)?.data.slice().buffer as ArrayBuffer,
          ),
        ]),
      );
      expect(half).toMatchObject({ finished: true, epochs: 2, weights: 'model' });
      expect(half.path).toBe(parts.lastCheckpoint);
      expect(half.valAccuracy).toBe(half.last?.valAccuracy);
      const done = await rest(parts, model, { changes });
      expect(done).toMatchObject({ finished: true, epochs: 5, weights: 'ema' });
      expect(outcome(parts)).toEqual(outcome(whole));
    },
  );

  it('is so too where the step is replayed, each phase capturing its own', async () => {
    const graphs = [new FakeGraphs(), new FakeGraphs()];
    const [whole, parts] = [create('whole'), create('parts')];
    // The loss of a step is that of the last one that was read, in each phase the first.
    const read = (run: RunFolder) => {
      const { metrics, ...others } = outcome(run);
      const isStep = (line: object) => 'type' in line && line.type === 'step';
      return { ...others, metrics: metrics.map((l) => (isStep(l) ? { ...l, loss: 0 } : l)) };
    };
    const at = (i: number): TrainControl => ({ graphBackend: graphs[i], deviceData: false });
    await train(new ToyModel(), toyDataset(), options, whole, {}, at(0));
    const model = new ToyModel();
    await first(parts, model, { control: at(1) });
    await rest(parts, model, { control: at(1) });
    expect(graphs.map(({ captures }) => captures)).toEqual([1, 2]);
    expect(read(parts)).toEqual(read(whole));
  });

  it('is so too when it is stopped before, at and after the break', async () => {
    const whole = create('whole');
    await train(new ToyModel(), toyDataset(), options, whole);
    const parts = create('parts');
    const stopAfter = (steps: number): Given => {
      const controller = new AbortController();
      let left = steps;
      const onStep = () => {
        if (--left === 0) controller.abort();
      };
      return { hooks: { onStep }, control: { signal: controller.signal } };
    };
    // Each in a model of its own, as in a process of its own; 7 steps an epoch.
    const results: TrainResult[] = [];
    const go = async (part: typeof first, given?: Given) =>
      results.push(await part(parts, new ToyModel(5 + results.length), given));
    await go(first, stopAfter(5));
    await go(first, stopAfter(9));
    await go(first);
    // Nothing is left to do: only the weights are read again.
    await go(first);
    const model = new ToyModel(99);
    results.push(await first(parts, model));
    results.push(await rest(parts, model, stopAfter(1)));
    await go(rest, stopAfter(8));
    await go(rest);
    expect(results.map(({ finished }) => finished)).toEqual([
      false,
      false,
      true,
      true,
      true,
      false,
      false,
      true,
    ]);
    expect(outcome(parts)).toEqual(outcome(whole));
  });

  it('adds to the averages, where they follow, what the weights got in between', async () => {
    const run = create('follows');
    const model = new ToyModel();
    await first(run, model);
    const before = readCheckpoint(run.lastCheckpoint);
    noGrad(() => model.namedParameters().get('body.0.bias')?.add_(0.5));
    let made: ReturnType<typeof readCheckpoint> | undefined;
    await rest(run, model, {
      control: { continues: { phase: 'first', averagesFollow: true } },
      hooks: { onCheckpoint: (path) => (made ??= readCheckpoint(path)) },
    });
    const values = (checkpoint: typeof made, name: string): number[] =>
      Array.from(
        new Float32Array(checkpoint?.tensors.get(name)?.data.slice().buffer as ArrayBuffer),
      );
    const [old, now] = [before, made].map((checkpoint) => values(checkpoint, 'ema.body.0.bias'));
    expect(old).toHaveLength(16);
    // Rounding of float32 to values below 1.
    old?.forEach((value, i) => {
      expect(Math.abs((now?.[i] ?? NaN) - value - 0.5)).toBeLessThan(2 ** -22);
    });
    for (const name of ['ema.body.0.weight', 'optimizer.2.exp_avg']) {
      expect(values(made, name)).toEqual(values(before, name));
    }
  });

  it('gives the rest what a cut leaves of moments and averages, bit for bit', async () => {
    const run = create('cut');
    await first(run, new ToyModel());
    const before = readCheckpoint(run.lastCheckpoint);
    // Half of the hidden units: rows of the first layer, columns of the last.
    const units = [0, 3, 4, 7, 8, 9, 14, 15];
    const dims: Record<string, number> = {
      'body.0.weight': 0,
      'body.0.bias': 0,
      'body.3.weight': 1,
    };
    const cut = (name: string, tensor: Tensor) =>
      dims[name] === undefined ? tensor : tensor.indexSelect(dims[name], units);
    const small = new ToyModel(7, units.length);
    let made: ReturnType<typeof readCheckpoint> | undefined;
    await rest(run, small, {
      control: { continues: { phase: 'first', cut } },
      hooks: { onCheckpoint: (path) => (made ??= readCheckpoint(path)) },
    });
    const values = (checkpoint: typeof made, name: string): number[] =>
      Array.from(
        new Float32Array(checkpoint?.tensors.get(name)?.data.slice().buffer as ArrayBuffer),
      );
    const pixels = side * side;
    // With decay: both weights; without: both biases.
    const parts: Record<string, (whole: number[]) => number[]> = {
      'body.0.weight': (whole) =>
        units.flatMap((unit) => whole.slice(unit * pixels, (unit + 1) * pixels)),
      'body.3.weight': (whole) =>
        [0, 1, 2].flatMap((row) => units.map((unit) => whole[16 * row + unit] as number)),
      'body.0.bias': (whole) => units.map((unit) => whole[unit] as number),
      'body.3.bias': (whole) => whole,
    };
    Object.entries(parts).forEach(([name, part], i) => {
      for (const key of [`optimizer.${i}.exp_avg`, `optimizer.${i}.exp_avg_sq`, `ema.${name}`]) {
        const whole = values(before, key);
        expect(whole.some((value) => value !== 0)).toBe(true);
        expect(values(made, key), key).toEqual(part(whole));
      }
    });
    expect(made?.state.optimizer).toEqual(before.state.optimizer);
    expect(made?.state).toMatchObject({ epoch: 2, batch: 0, step: 14, best: null, last: null });
    expect(made?.state.emaUpdates).toBe(before.state.emaUpdates);
    expect(values(made, 'model.body.0.bias')).not.toEqual(values(before, 'model.body.0.bias'));
  });

  it('may end the first where it is asked, and is still the one without a break', async () => {
    const whole = create('whole');
    await train(new ToyModel(), toyDataset(), options, whole);
    const parts = create('parts');
    const asked: number[] = [];
    /** What is asked for: a weight as it is at the end of the second epoch. */
    let sum = NaN;
    const ending = (model: ToyModel) => () => {
      asked.push(weightOf(model));
      if (asked.length === 2 && Number.isNaN(sum)) sum = weightOf(model);
      return weightOf(model) === sum;
    };
    const controller = new AbortController();
    const hooks = {
      onStep: ({ epoch }: { epoch: number }) => {
        if (epoch === 2) controller.abort();
      },
    };
    const model = new ToyModel();
    const begun = await first(parts, model, {
      hooks,
      control: { untilEpoch: 4, endsWhen: ending(model), signal: controller.signal },
    });
    expect([begun.finished, begun.epochs, asked.length]).toEqual([false, 1, 1]);
    const again = new ToyModel(5);
    const ended = await first(parts, again, {
      control: { untilEpoch: 4, endsWhen: ending(again) },
    });
    expect(ended).toMatchObject({ finished: true, epochs: 2, path: parts.lastCheckpoint });
    // Of the end that is evaluated, though the training evaluates every third epoch only.
    expect(typeof ended.valAccuracy).toBe('number');
    expect(readCheckpoint(parts.lastCheckpoint).state).toMatchObject({ finished: true, epoch: 2 });
    // It has ended for whoever comes again, who asks the same weights.
    const third = new ToyModel(6);
    const control = { untilEpoch: 4, endsWhen: ending(third) };
    expect(await first(parts, third, { control })).toMatchObject({ finished: true, epochs: 2 });
    expect(asked).toEqual([asked[0], sum, sum]);
    await rest(parts, third);
    expect(outcome(parts)).toEqual(outcome(whole));
  });

  it('ends at untilEpoch where nobody ends it before', async () => {
    const run = create('never');
    const control = { endsWhen: () => false };
    expect(await first(run, new ToyModel(), { control })).toMatchObject({ epochs: 2 });
  });

  it('is refused without the end of the first, and loses nothing', async () => {
    const run = create('refused');
    await expect(rest(run, new ToyModel())).rejects.toThrow(
      /"rest" goes on with the training of "first", expected the checkpoint of its end in .*last\.safetensors: got none/,
    );
    const model = new ToyModel();
    await first(run, model);
    const control = { continues: { phase: 'another' } };
    await expect(rest(run, model, { control })).rejects.toThrow(
      /goes on with the training of "another".*got one of "first" after epoch 2/,
    );
    await expect(rest(run, model, { changes: { lr: 1 } })).rejects.toThrow(/lr: got 1, expected/);
    const uncut = rest(run, new ToyModel(1, 8));
    await expect(uncut).rejects.toThrow(CheckpointError);
    await expect(uncut).rejects.toThrow(/ema\.body\.0\.weight: got F32 \[16, 36\], expected/);
    for (const untilEpoch of [0, 1.5, 6]) {
      await expect(first(run, model, { control: { untilEpoch } })).rejects.toThrow(
        /untilEpoch: got .*, expected an integer from 1 to 5/,
      );
    }
    expect((await rest(run, model)).finished).toBe(true);
  });

  it('goes on from the checkpoint before a damaged one', async () => {
    const run = create('damaged');
    const model = new ToyModel();
    await first(run, model);
    const weights = model.parameters().map((tensor) => tensor.toNumbers());
    const fall = {
      onCheckpoint: () => {
        throw new Error('fell over');
      },
    };
    await expect(rest(run, model, { hooks: fall })).rejects.toThrow('fell over');
    writeFileSync(run.lastCheckpoint, 'damaged');
    await expect(rest(run, model)).rejects.toThrow(/`resume` previous/);
    noGrad(() => {
      model.parameters().forEach((tensor, i) => {
        tensor.detach().setValues(Float32Array.from(weights[i] as number[]));
      });
    });
    await rest(run, model, { control: { resume: 'previous' } });
    const whole = create('whole');
    await train(new ToyModel(), toyDataset(), options, whole);
    expect(outcome(run)).toEqual(outcome(whole));
  });
});
