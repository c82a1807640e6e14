import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { getNumThreads, setNumThreads } from '@mamba-prune/libtorch';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Random } from '../data/random.js';
import {
  readCheckpointInfo,
  RunFolder,
  type TrainControl,
  type TrainHooks,
  type TrainOptions,
} from './index.js';
import { resolveTrainOptions } from './options.js';
import { train } from './trainer.js';
import {
  outcomeOf,
  temporaryFolder,
  toyDataset,
  toyInfo,
  ToyModel,
  toyOptions,
  toyRun,
} from './testing/toy.js';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => (folder = temporaryFolder()));
afterEach(() => {
  folder.remove();
});

const steps = 28; // 4 epochs of 7

const create = (name = 'run') => RunFolder.create(join(folder.path, name), { ...toyRun, seed: 3 });

/** Trains in a run that is there. To resume, the model comes with other weights than it had. */
async function go(
  name: string,
  control: TrainControl = {},
  options: Partial<TrainOptions> = {},
  hooks: TrainHooks = {},
) {
  const run = RunFolder.open(join(folder.path, name), { write: true });
  try {
    const all = { ...toyOptions, logEverySteps: 4, ...options };
    const seed = existsSync(run.lastCheckpoint) ? 77 : 5;
    return await train(new ToyModel(seed), toyDataset(), all, run, hooks, control);
  } finally {
    run.release();
  }
}

/** Trains until so many steps are done in all, then stops as Ctrl-C does. */
async function goUntil(name: string, steps: number, control: TrainControl = {}) {
  const controller = new AbortController();
  let seen = 0;
  const hooks: TrainHooks = {
    onStep: ({ epoch, stepsPerEpoch, step }) => {
      seen = (epoch - 1) * stepsPerEpoch + step;
      if (seen >= steps) controller.abort();
    },
  };
  return go(name, { ...control, signal: controller.signal }, {}, hooks);
}

/** Of a run that nothing stopped. */
let expected: ReturnType<typeof outcomeOf>;
beforeAll(async () => {
  folder = temporaryFolder();
  create('whole').release();
  await go('whole');
  expected = outcomeOf(RunFolder.open(join(folder.path, 'whole')));
  folder.remove();
});

describe('a resumed training', () => {
  it('ends bit for bit as one that was not stopped, wherever it was', async () => {
    expect(expected.metrics).toHaveLength(4 + 7);
    const random = new Random().seed(11, 1);
    for (let round = 0; round < 4; round++) {
      const name = `run${round}`;
      create(name).release();
      // Twice or thrice at random steps, one in each round at the end of an epoch.
      const stops = [1 + random.below(9), 7 * (1 + random.below(3)), 15 + random.below(13)];
      for (const stop of stops.sort((a, b) => a - b)) {
        const result = await goUntil(name, stop, { resume: true });
        expect(result.finished).toBe(false);
        const info = readCheckpointInfo(result.path);
        expect(info.step).toBe(result.steps);
        expect(info.finished).toBe(false);
      }
      const result = await go(name, { resume: true });
      expect(result).toMatchObject({ finished: true, steps: steps });
      expect(outcomeOf(RunFolder.open(join(folder.path, name)))).toEqual(expected);
    }
  });

  it('says what is other than before, but not of a run that is over', async () => {
    create().release();
    await goUntil('run', 10);
    const before = getNumThreads();
    const notes: string[] = [];
    const hooks: TrainHooks = { onNote: (note) => notes.push(note) };
    try {
      setNumThreads(before + 1);
      await go('run', { resume: true }, {}, hooks);
      expect(notes).toEqual([
        `The run had threads ${before}, now it is ${before + 1}: the result may differ in the last bits from that of a run ` +
          'without interruption.',
      ]);
      notes.length = 0;
      setNumThreads(before);
      expect((await go('run', { resume: true }, {}, hooks)).finished).toBe(true);
      expect(notes).toEqual([]);
      // Longer, it has something to do again.
      await go('run', { resume: true }, { epochs: 5 }, hooks);
      expect(notes.join(' ')).toContain(`The run had threads ${before + 1}, now it is ${before}:`);
    } finally {
      setNumThreads(before);
    }
  });

  it('goes on with the evaluation when it was stopped in it', async () => {
    create().release();
    const controller = new AbortController();
    const hooks: TrainHooks = {
      onEvaluate: () => {
        controller.abort();
      },
    };
    const stopped = await go('run', { signal: controller.signal }, { evalBatchSize: 10 }, hooks);
    expect(stopped).toMatchObject({ finished: false, epochs: 0, steps: 7, last: undefined });
    await go('run', { resume: true }, { evalBatchSize: 10 });
    const outcome = outcomeOf(RunFolder.open(join(folder.path, 'run')));
    // The size of the evaluation's batches changes the last bits of its loss, and nothing else.
    expect(outcome.model).toEqual(expected.model);
    expect(outcome.tensors).toEqual(expected.tensors);
  });

  it('loses short epochs without a checkpoint when it is killed, and nothing when it is stopped', async () => {
    create().release();
    const epochs: number[] = [];
    const atEnd = (done: (epoch: number) => void): TrainHooks => ({
      onEpoch: ({ epoch }) => {
        const { lastCheckpoint } = RunFolder.open(join(folder.path, 'run'));
        epochs.push(existsSync(lastCheckpoint) ? readCheckpointInfo(lastCheckpoint).epoch : 0);
        done(epoch);
      },
    });
    const killed = atEnd((epoch) => {
      if (epoch === 2) throw new Error('killed');
    });
    const rarely = { resume: true, epochSaveSeconds: 3600 };
    const never = { checkpointEvery: { minutes: null, steps: null } };
    await expect(go('run', rarely, never, killed)).rejects.toThrow('killed');
    const controller = new AbortController();
    const stopping = atEnd((epoch) => {
      if (epoch === 3) controller.abort();
    });
    const stopped = await go('run', { ...rarely, signal: controller.signal }, never, stopping);
    expect(stopped).toMatchObject({ finished: false, epochs: 3, steps: 21 });
    expect(readCheckpointInfo(stopped.path).epoch).toBe(3);
    await go('run', rarely, never);
    // None at the ends of epochs, until the one that it was stopped after.
    expect(epochs).toEqual([0, 0, 0, 0, 0]);
    expect(outcomeOf(RunFolder.open(join(folder.path, 'run')))).toEqual(expected);
  });

  it('cuts off lines that its checkpoint does not know, whole and half', async () => {
    create().release();
    await goUntil('run', 9);
    appendFileSync(join(folder.path, 'run', 'metrics.jsonl'), '{"type":"step"}\n{"type":"ep');
    await go('run', { resume: true });
    const { metrics } = outcomeOf(RunFolder.open(join(folder.path, 'run')));
    expect(metrics).toEqual(expected.metrics);
  });

  it('does nothing but write the model again when all epochs are done', async () => {
    create().release();
    await go('run');
    const run = RunFolder.open(join(folder.path, 'run'));
    const result = await go('run', { resume: true });
    expect(result).toMatchObject({ finished: true, epochs: 4, steps: steps, weights: 'ema' });
    expect(result.valAccuracy).not.toBeNull();
    expect(outcomeOf(run)).toEqual(expected);
  });

  it('begins where there is no checkpoint yet', async () => {
    create().release();
    await go('run', { resume: true });
    expect(outcomeOf(RunFolder.open(join(folder.path, 'run')))).toEqual(expected);
  });

  it('refuses other options than those of config.json where there is no checkpoint yet', async () => {
    const resolved = resolveTrainOptions({ ...toyOptions, logEverySteps: 4 }, toyInfo);
    RunFolder.create(join(folder.path, 'run'), { ...toyRun, train: resolved }).release();
    await expect(go('run', { resume: true }, { lr: 0.02 })).rejects.toThrow(
      /config\.json: lr: got 0\.02, expected 0\.01/,
    );
    await go('run', { resume: true });
  });

  it('refuses other options by name', async () => {
    create().release();
    await goUntil('run', 3);
    await expect(go('run', { resume: true }, { lr: 0.02, batchSize: 8 })).rejects.toThrow(
      /batchSize: got 8, expected 16; lr: got 0.02, expected 0.01/,
    );
    await expect(go('run', { resume: true }, { epochs: 2 })).rejects.toThrow(
      /epochs: got 2, expected 4/,
    );
  });

  it('refuses other data and another model by name', async () => {
    create().release();
    await goUntil('run', 3);
    const run = RunFolder.open(join(folder.path, 'run'), { write: true });
    const options = { ...toyOptions, logEverySteps: 4 };
    const resume = { resume: true } as const;
    await expect(train(new ToyModel(), toyDataset(121), options, run, {}, resume)).rejects.toThrow(
      /trainImages: got 121, expected 120/,
    );
    await expect(train(new ToyModel(5, 8), toyDataset(), options, run, {}, resume)).rejects.toThrow(
      /model\.body\.0\.weight: got F32 \[16, 36\], expected F32 \[8, 36\]/,
    );
    run.release();
  });

  it('grows to more epochs, and says so in config.json', async () => {
    const train = resolveTrainOptions({ ...toyOptions, logEverySteps: 4, epochs: 2 }, toyInfo);
    RunFolder.create(join(folder.path, 'run'), { ...toyRun, train }).release();
    await go('run', {}, { epochs: 2 });
    const notes: string[] = [];
    const result = await go(
      'run',
      { resume: true },
      { epochs: 3 },
      { onNote: (note) => notes.push(note) },
    );
    expect(result).toMatchObject({ finished: true, epochs: 3, steps: 21 });
    expect(notes).toEqual([expect.stringContaining('from 2 to 3 epochs')]);
    const { config } = RunFolder.open(join(folder.path, 'run'));
    expect(config.resumed).toEqual([expect.objectContaining({ step: 14, note: notes[0] })]);
    expect(config.train).toEqual({ ...train, epochs: 3 });
  });

  it('is not begun over a checkpoint by mistake', async () => {
    create().release();
    await goUntil('run', 3);
    await expect(go('run')).rejects.toThrow(/has a checkpoint .*`resume`/s);
  });
});

describe('several phases in one run', () => {
  it('append to one metrics file and resume each for itself', async () => {
    create().release();
    await go('run', { phase: 'dense' }, { epochs: 1, logEverySteps: null });
    const stopped = await goUntil('run', 3, { phase: 'round 1', extra: { round: 1 } });
    expect(stopped.finished).toBe(false);
    const info = readCheckpointInfo(stopped.path);
    expect(info).toMatchObject({ phase: 'round 1', epoch: 0, batch: 3, extra: { round: 1 } });
    await expect(go('run', { phase: 'round 2' })).rejects.toThrow(
      /phase "round 1" .* is not finished/,
    );
    await go('run', { phase: 'round 1', resume: true });
    const lines = RunFolder.open(join(folder.path, 'run')).readMetrics();
    const epochs = lines.filter(({ type }) => type === 'epoch');
    expect(epochs.map(({ phase, epoch }) => [phase, epoch])).toEqual([
      ['dense', 1],
      ...[1, 2, 3, 4].map((epoch) => ['round 1', epoch]),
    ]);
  });
});

describe('a damaged checkpoint', () => {
  let path: string;
  beforeEach(async () => {
    create().release();
    await goUntil('run', 9);
    path = join(folder.path, 'run', 'checkpoints', 'last.safetensors');
  });

  it.each([
    ['truncated', (bytes: Buffer) => bytes.subarray(0, bytes.length - 100)],
    ['with a flipped bit', (bytes: Buffer) => flip(bytes, bytes.length - 3000)],
    [
      'with a flipped bit in its JSON',
      (bytes: Buffer) => flip(bytes, bytes.indexOf('"step":') + 7),
    ],
    ['empty', (bytes: Buffer) => bytes.subarray(0, 0)],
  ])('%s is named and refused; the one before is used if asked for', async (_what, damage) => {
    writeFileSync(path, damage(readFileSync(path)));
    await expect(go('run', { resume: true })).rejects.toThrow(
      /checkpoint .*last\.safetensors is damaged.*`resume` previous/s,
    );
    const notes: string[] = [];
    const hooks = { onNote: (note: string) => notes.push(note) };
    await go('run', { resume: 'previous' }, {}, hooks);
    expect(notes).toEqual([expect.stringMatching(/damaged.*Going on from the one before/s)]);
    expect(outcomeOf(RunFolder.open(join(folder.path, 'run')))).toEqual(expected);
  });
});

describe('a run whose checkpoints are all lost', () => {
  const at = (...names: string[]) => join(folder.path, 'run', ...names);
  const last = () => at('checkpoints', 'last.safetensors');
  const previous = () => at('checkpoints', 'previous.safetensors');
  const files = () =>
    readdirSync(at(), { recursive: true, encoding: 'utf8' })
      .filter((name) => !statSync(at(name)).isDirectory())
      .map((name) => [name, readFileSync(at(name)).toString('base64')])
      .sort();

  const losses: [string, () => void][] = [
    [
      'gone',
      () => {
        rmSync(last());
        rmSync(previous());
      },
    ],
    [
      'gone with their folder',
      () => {
        rmSync(at('checkpoints'), { recursive: true });
        mkdirSync(at('checkpoints'));
      },
    ],
    [
      'damaged',
      () => {
        for (const path of [last(), previous()]) writeFileSync(path, 'damaged');
      },
    ],
    [
      'damaged where their checksum tells',
      () => {
        for (const path of [last(), previous()]) {
          const bytes = readFileSync(path);
          writeFileSync(path, flip(bytes, bytes.length - 3000));
        }
      },
    ],
    [
      'damaged or gone',
      () => {
        writeFileSync(last(), '');
        rmSync(previous());
      },
    ],
  ];

  it.each(losses)(
    '%s, loses nothing more, and begins anew only if told to',
    async (_what, lose) => {
      create().release();
      await goUntil('run', 16);
      lose();
      const before = files();
      for (const resume of [true, 'previous'] as const) {
        await expect(go('run', { resume })).rejects.toThrow(
          /(no checkpoint any more|damaged|missing).*`restart`/s,
        );
        expect(files()).toEqual(before);
      }
      const notes: string[] = [];
      const hooks = { onNote: (note: string) => notes.push(note) };
      const run = RunFolder.open(at(), { write: true });
      const options = { ...toyOptions, logEverySteps: 4 };
      const control = { resume: true, restart: true };
      const metrics = readFileSync(run.metricsPath);
      await train(new ToyModel(5), toyDataset(), options, run, hooks, control);
      run.release();
      expect(notes).toEqual([expect.stringMatching(/begins anew\. What was there is in .*lost/)]);
      expect(outcomeOf(RunFolder.open(at()))).toEqual(expected);
      expect(readFileSync(at('checkpoints', 'lost', 'metrics.jsonl'))).toEqual(metrics);
    },
  );

  it('goes on where it was if one can be read, whatever it is allowed', async () => {
    for (const lose of [
      () => undefined,
      () => {
        rmSync(last());
      },
      () => {
        writeFileSync(last(), 'damaged');
      },
    ]) {
      rmSync(at(), { recursive: true, force: true });
      create().release();
      await goUntil('run', 16);
      lose();
      const result = await go('run', { resume: true, restart: true });
      expect(result.finished).toBe(true);
      expect(existsSync(at('checkpoints', 'lost'))).toBe(false);
      expect(outcomeOf(RunFolder.open(at()))).toEqual(expected);
    }
  });

  it('is told that the one before is there', async () => {
    create().release();
    await goUntil('run', 16);
    rmSync(last());
    await expect(go('run', { resume: true })).rejects.toThrow(/missing.*`resume` previous/s);
    await go('run', { resume: 'previous' });
    expect(outcomeOf(RunFolder.open(at()))).toEqual(expected);
  });

  it('is known by its model if the metrics are lost too', async () => {
    create().release();
    await go('run');
    for (const path of [last(), previous(), at('metrics.jsonl')]) rmSync(path);
    const model = readFileSync(at('model.safetensors'));
    await expect(go('run', { resume: true })).rejects.toThrow(/model\.safetensors\..*`restart`/s);
    expect(readFileSync(at('model.safetensors'))).toEqual(model);
    await go('run', { resume: true, restart: true });
    expect(outcomeOf(RunFolder.open(at()))).toEqual(expected);
  });

  it('keeps the lines of the phases before', async () => {
    create().release();
    await go('run', { phase: 'dense' }, { epochs: 1, logEverySteps: null });
    await goUntil('run', 9, { phase: 'round 1' });
    rmSync(last());
    rmSync(previous());
    await expect(go('run', { phase: 'round 1', resume: true })).rejects.toThrow(/`restart`/);
    await go('run', { phase: 'round 1', resume: true, restart: true });
    const lines = RunFolder.open(at()).readMetrics();
    const epochs = lines.filter(({ type }) => type === 'epoch').map(({ phase }) => phase);
    expect(epochs).toEqual(['dense', ...Array<string>(4).fill('round 1')]);
  });
});

function flip(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}
