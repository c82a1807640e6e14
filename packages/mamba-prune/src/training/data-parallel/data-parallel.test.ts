/** Real processes that train together, compared with one process. */
import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { transpiledMambaPrune } from '../../../../../test/support/transpiled.js';
import { RunFolder, readCheckpointInfo, type TrainControl, type TrainOptions } from '../index.js';
import { train } from '../trainer.js';
import {
  outcomeOf,
  temporaryFolder,
  toyDataset,
  ToyModel,
  toyOptions,
  toyRun,
} from '../testing/toy.js';
import { FakeGraphs } from '../testing/fake-graphs.js';
import type { EpochMetrics } from '../index.js';

const folder = temporaryFolder();
const built = transpiledMambaPrune();
const script = join(built.src, 'training', 'data-parallel', 'testing', 'worker-child.mjs');
/** Those that ended their last training well, and may do another. */
const idle: ChildProcess[] = [];
const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  folder.remove();
  built.remove();
});

/** Without what each worker draws for itself: dropout, and the partners of mixup. */
const options: TrainOptions = { ...toyOptions, epochs: 3, augment: { padCrop: 1 } };

interface Ended {
  /** Of a process that was ended. */
  readonly signal: string | null;
  readonly result: {
    readonly finished: boolean;
    readonly steps: number;
    readonly weights: number[][];
    readonly valAccuracy: number;
    readonly name?: string;
    readonly rank?: number;
    readonly message?: string;
    /** Captures, replays, and graphs that were not disposed. */
    readonly graphs: readonly number[];
    readonly notes: readonly string[];
    /** What the state of the hooks was each time it began. */
    readonly begun: readonly number[];
  };
}

/** What one rank does, after how many steps. */
interface Plan {
  readonly rank?: number;
  readonly steps?: number;
  readonly does?: 'stop' | 'stop-in-evaluation' | 'die' | 'fail' | 'fail-capture';
  readonly dropout?: number;
  readonly lr?: number;
  /** Batches and steps as on a GPU, or steps alone. */
  readonly onDevice?: boolean | 'steps';
  /** Of the first of two phases that are one training. */
  readonly untilEpoch?: number;
  /** Whether hooks keep something. */
  readonly hasState?: boolean;
}

async function trainTogether(
  path: string,
  workers: number,
  given: TrainOptions = options,
  plan: Plan = {},
): Promise<Ended[]> {
  const start = (rank: number, port: number): Worker => {
    const env = {
      RANK: String(rank),
      WORLD_SIZE: String(workers),
      LOCAL_RANK: String(rank),
      MASTER_ADDR: '127.0.0.1',
      MASTER_PORT: String(port),
    };
    return work({ path, options: given, plan, env });
  };
  const zero = start(0, 0);
  const port = await zero.port;
  const others = Array.from({ length: workers - 1 }, (_, i) => start(i + 1, port));
  return Promise.all([zero, ...others].map(({ ended }) => ended));
}

interface Worker {
  readonly port: Promise<number>;
  readonly ended: Promise<Ended>;
}

function startChild(): ChildProcess {
  const child = fork(script, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
  children.add(child);
  return child;
}

/** Gives a task to a process that is idle, or to a new one. */
function work(task: object): Worker {
  const child = idle.pop() ?? startChild();
  let errors = '';
  const hear = (text: Buffer) => (errors += text.toString());
  child.stderr?.on('data', hear);
  let onPort: (port: number) => void = () => undefined;
  let failPort: (error: Error) => void = () => undefined;
  const port = new Promise<number>((resolve, reject) => {
    [onPort, failPort] = [resolve, reject];
  });
  const ended = new Promise<Ended>((resolve) => {
    const onMessage = (message: { port?: number; result?: Ended['result'] }) => {
      if (message.port !== undefined) onPort(message.port);
      if (message.result === undefined) return;
      child.off('message', onMessage).off('close', onClose);
      child.stderr?.off('data', hear);
      // What has failed is not asked again.
      if (message.result.message === undefined) idle.push(child);
      else child.kill('SIGKILL');
      resolve({ signal: null, result: message.result });
    };
    const onClose = (code: number | null, signal: string | null) => {
      children.delete(child);
      const message = `the process ended with ${signal ?? code}: ${errors}`;
      resolve({ signal, result: { message } as Ended['result'] });
    };
    child.on('message', onMessage).on('close', onClose);
  });
  child.send(task);
  void ended.then(({ result }) => {
    failPort(new Error(`ended before it listened: ${result.message}`));
  });
  // Only who waits for a port wants to know that there is none.
  port.catch(() => undefined);
  return { port, ended };
}

/** As the children do, in this process. */
async function trainAlone(
  path: string,
  resume = false,
  given: TrainOptions = options,
  control: TrainControl = {},
): Promise<number[][]> {
  const run = resume ? RunFolder.open(path, { write: true }) : RunFolder.create(path, toyRun);
  const model = new ToyModel(5, 16, 3, 0);
  const { finished } = await train(model, toyDataset(), given, run, {}, { resume, ...control });
  run.release();
  expect(finished).toBe(true);
  return model.parameters().map((tensor) => tensor.toNumbers());
}

function largestDifference(a: readonly number[][], b: readonly number[][]): number {
  expect(a.map(({ length }) => length)).toEqual(b.map(({ length }) => length));
  return Math.max(...a.flatMap((row, i) => row.map((x, k) => Math.abs(x - (b[i]?.[k] ?? NaN)))));
}

// Sums over a batch are added in another order: float32 roundings of weights and gradients, which are
// below 1, of 6e-8 each. 21 steps bring 5e-8; a wrong share of a batch would move weights by about the
// learning rate, 0.01.
const tolerance = 1e-6;

describe('workers that train together', () => {
  it('end with the weights of one process with the same batches, and rank 0 alone writes', async () => {
    const alone = await trainAlone(join(folder.path, 'one'));
    const ends = await trainTogether(join(folder.path, 'two'), 2, options, { hasState: true });
    for (const { result } of ends) {
      expect(result.message).toBeUndefined();
      expect(largestDifference(result.weights, alone)).toBeLessThan(tolerance);
    }
    expect(ends[1]?.result.weights).toEqual(ends[0]?.result.weights);
    // What hooks keep is rank 0's too.
    expect(ends.map(({ result }) => result.begun)).toEqual([[0], [7]]);
    const [one, two] = ['one', 'two'].map((name) => RunFolder.open(join(folder.path, name)));
    const metrics = two?.readMetrics() ?? [];
    expect(metrics).toHaveLength(3);
    one?.readMetrics().forEach((line, i) => {
      // Sums over all images, not over a share.
      expect(metrics[i]?.loss).toBeCloseTo(line.loss, 4);
      expect(metrics[i]).toMatchObject({ step: line.step, type: 'epoch' });
    });
    const lines = [one, two].map((run) => run?.readMetrics().at(-1) as Record<string, unknown>);
    expect(lines[1]?.['valAccuracy']).toBe(lines[0]?.['valAccuracy']);
    expect(lines[1]?.['trainAccuracy']).toBe(lines[0]?.['trainAccuracy']);
  });

  it('go on in another phase with the state of rank 0', async () => {
    const alone = await trainAlone(join(folder.path, 'whole-one'));
    const ends = await trainTogether(join(folder.path, 'parts-two'), 2, options, { untilEpoch: 2 });
    for (const { result } of ends) {
      expect(result.message).toBeUndefined();
      expect(result).toMatchObject({ finished: true, steps: 21 });
      expect(largestDifference(result.weights, alone)).toBeLessThan(tolerance);
      expect(result.weights).toEqual(ends[0]?.result.weights);
    }
    const lines = RunFolder.open(join(folder.path, 'parts-two')).readMetrics();
    expect(lines.map(({ phase, epoch }) => `${phase}/${epoch}`)).toEqual([
      'first/1',
      'first/2',
      'rest/3',
    ]);
  });

  it('divide a batch that their number does not divide', async () => {
    const alone = await trainAlone(join(folder.path, 'odd-one'));
    const ends = await trainTogether(join(folder.path, 'odd-three'), 3);
    for (const { result } of ends) {
      expect(largestDifference(result.weights, alone)).toBeLessThan(tolerance);
    }
  });

  it('make their rows on the device, in replayed steps, mixed as one process would', async () => {
    // The last batch of the evaluation has two images for three workers.
    const sizes = { batchSize: 15, maxTestImages: 50, evalBatchSize: 48 };
    const given = { ...options, ...sizes, augment: { padCrop: 1, mixup: 0.4 } };
    const control = { deviceData: true, graphBackend: new FakeGraphs() };
    const paths = ['device-one', 'device-three'].map((name) => join(folder.path, name)) as [
      string,
      string,
    ];
    const alone = await trainAlone(paths[0], false, given, control);
    const ends = await trainTogether(paths[1], 3, given, { onDevice: true });
    for (const { result } of ends) {
      expect(result.message).toBeUndefined();
      expect(largestDifference(result.weights, alone)).toBeLessThan(tolerance);
      expect(result.weights).toEqual(ends[0]?.result.weights);
    }
    const [one, three] = paths.map((path) => RunFolder.open(path).readMetrics().at(-1));
    expect(one).toMatchObject({ data: 'device', graph: 'replayed' });
    expect(three).toMatchObject({ data: 'device', graph: 'replayed' });
    expect(three).toMatchObject({ valAccuracy: (one as EpochMetrics).valAccuracy });
    // 120 images, 15 a step, 3 epochs; the first three steps are launched.
    for (const { result } of ends) expect(result.graphs).toEqual([1, 21, 0]);
  });

  it('replay steps whose batches come from the host and are divided unevenly', async () => {
    const control = { graphBackend: new FakeGraphs() };
    const alone = await trainAlone(join(folder.path, 'sent-one'), false, options, control);
    const path = join(folder.path, 'sent-three');
    for (const { result } of await trainTogether(path, 3, options, { onDevice: 'steps' })) {
      expect(result.message).toBeUndefined();
      expect(largestDifference(result.weights, alone)).toBeLessThan(tolerance);
      expect(result.graphs).toEqual([1, 18, 0]);
    }
    expect(RunFolder.open(path).readMetrics().at(-1)).toMatchObject({ graph: 'replayed' });
  });

  it('go on step by step, all of them, where one cannot capture its step', async () => {
    const alone = await trainAlone(join(folder.path, 'uncaptured-one'));
    const path = join(folder.path, 'uncaptured-three');
    const plan = { rank: 1, does: 'fail-capture', onDevice: 'steps' } as const;
    const ends = await trainTogether(path, 3, options, plan);
    const reason = 'the capture failed: no room for it (rank 1)';
    for (const { result } of ends) {
      expect(result.message).toBeUndefined();
      expect(largestDifference(result.weights, alone)).toBeLessThan(tolerance);
      expect(result.notes).toEqual([`Training on cpu step by step: ${reason}.`]);
    }
    expect(ends.map(({ result }) => result.graphs)).toEqual([
      [1, 0, 0],
      [0, 0, 0],
      [1, 0, 0],
    ]);
    expect(RunFolder.open(path).readMetrics().at(-1)).toMatchObject({ graph: reason });
  });

  it('compute in bfloat16 and end with equal weights', async () => {
    const ends = await trainTogether(join(folder.path, 'bf16'), 2, {
      ...options,
      epochs: 1,
      precision: 'bf16',
    });
    const alone = await trainAlone(join(folder.path, 'bf16-one'), false, {
      ...options,
      epochs: 1,
      precision: 'bf16',
    });
    expect(ends[1]?.result.weights).toEqual(ends[0]?.result.weights);
    // A gradient of 8 bits that differs in the last moves AdamW's step by that much, 7 times 0.01.
    expect(largestDifference(ends[0]?.result.weights ?? [], alone)).toBeLessThan(0.01);
  });

  it('stop together when one is stopped, and go on bit for bit', async () => {
    const whole = join(folder.path, 'whole');
    const parts = join(folder.path, 'parts');
    const plan = { dropout: 0.2 };
    const random = { ...toyOptions, epochs: 3 };
    await trainTogether(whole, 2, random, plan);
    const stop = { ...plan, rank: 1, steps: 10, does: 'stop' } as const;
    const stopped = await trainTogether(parts, 2, random, stop);
    for (const { result } of stopped) {
      expect(result).toMatchObject({ finished: false });
      // The step after which rank 1 was stopped, and the one in which the others learn of it.
      expect(result.steps).toBe(11);
    }
    expect(readCheckpointInfo(RunFolder.open(parts).lastCheckpoint)).toMatchObject({
      step: 11,
      workers: 2,
    });
    await trainTogether(parts, 2, random, plan);
    expect(outcomeOf(RunFolder.open(parts))).toEqual(outcomeOf(RunFolder.open(whole)));
  });

  it('stop together in an evaluation, which is done again', async () => {
    const path = join(folder.path, 'evaluating');
    const plan = { rank: 1, does: 'stop-in-evaluation' } as const;
    for (const { result } of await trainTogether(path, 2, options, plan)) {
      // 120 images, 16 a step.
      expect(result).toMatchObject({ finished: false, steps: 7 });
    }
    const [{ result } = { result: undefined }] = await trainTogether(path, 2);
    expect(result).toMatchObject({ finished: true, steps: 21 });
    expect(RunFolder.open(path).readMetrics()).toHaveLength(3);
  });

  it('go on as one process, and one process goes on as workers', async () => {
    const alone = await trainAlone(join(folder.path, 'reference'));
    const fewer = join(folder.path, 'fewer');
    await trainTogether(fewer, 2, options, { rank: 0, steps: 9, does: 'stop' });
    expect(largestDifference(await trainAlone(fewer, true), alone)).toBeLessThan(tolerance);
    const more = join(folder.path, 'more');
    const model = new ToyModel(5, 16, 3, 0);
    const run = RunFolder.create(more, toyRun);
    const stop = new AbortController();
    let steps = 0;
    const hooks = {
      onStep: () => {
        if (++steps === 9) stop.abort();
      },
    };
    await train(model, toyDataset(), options, run, hooks, { signal: stop.signal });
    run.release();
    const [{ result } = { result: { weights: [] } }] = await trainTogether(more, 2);
    expect(largestDifference(result.weights, alone)).toBeLessThan(tolerance);
  });

  it.each([
    ['', undefined],
    [' between replayed steps', 'steps'],
  ] as const)(
    'end when one is killed%s, name it, and leave a run that goes on',
    async (name, at) => {
      const path = join(folder.path, `killed${name}`);
      const plan = { rank: 1, steps: 8, does: 'die', ...(at && { onDevice: at }) } as const;
      const [zero, one] = await trainTogether(path, 2, options, plan);
      expect(one?.signal).toBe('SIGKILL');
      expect(zero?.result).toMatchObject({ name: 'WorkerLostError', rank: 1 });
      expect(zero?.result.message).toMatch(/rank 1 is gone/);
      expect(existsSync(RunFolder.open(path).lastCheckpoint)).toBe(true);
      const ends = await trainTogether(path, 2);
      expect(ends.map(({ result }) => result.finished)).toEqual([true, true]);
    },
  );

  it('end when one fails, with its reason', async () => {
    const plan = { rank: 1, steps: 2, does: 'fail' } as const;
    const [zero] = await trainTogether(join(folder.path, 'failed'), 2, options, plan);
    expect(zero?.result.message).toMatch(/rank 1 failed: no more room/);
  });

  it('refuse a worker with other options', async () => {
    const [zero, one] = await trainTogether(join(folder.path, 'other'), 2, options, {
      rank: 1,
      lr: 0.5,
    });
    expect(one?.result.message).toMatch(/rank 1 has other options than rank 0: got .*"lr":0.5/);
    expect(zero?.result).toMatchObject({ name: 'WorkerLostError', rank: 1 });
  });
});
