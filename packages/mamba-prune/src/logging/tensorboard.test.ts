import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  mkdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { summarizeUnitNorms } from '../pruning/rsst/index.js';
import { smallMamba } from '../pruning/testing/models.js';
import { type EpochMetrics, RunFolder, RunFolderError } from '../training/index.js';
import { train } from '../training/trainer.js';
import {
  temporaryFolder,
  toyDataset,
  ToyModel,
  toyOptions,
  toyRun,
} from '../training/testing/toy.js';
import { eventFilePath, tensorboardHooks, writeEventFile } from './tensorboard.js';
import { readEvents, readScalars } from './testing/read-events.js';

let folder: ReturnType<typeof temporaryFolder>;
let path: string;
beforeEach(() => {
  folder = temporaryFolder();
  path = join(folder.path, 'run');
});
afterEach(() => {
  folder.remove();
});

/** Trains two epochs, with histograms of unit norms in every line; stops after `steps` of 14 if that is given. */
async function trainToy(resume: boolean, steps = 0): Promise<RunFolder> {
  const run = resume ? RunFolder.open(path, { write: true }) : RunFolder.create(path, toyRun);
  const controller = new AbortController();
  const hooks = {
    ...tensorboardHooks(path),
    epochMetrics: () => ({ unitNorms, rsst: { lambda: 0.5 } }),
    onStep: ({ epoch, step }: { epoch: number; step: number }) => {
      if ((epoch - 1) * 7 + step === steps) controller.abort();
    },
  };
  const options = { ...toyOptions, epochs: 2 };
  const control = { resume, signal: controller.signal, phase: 'rsst-1' };
  await train(new ToyModel(), toyDataset(), options, run, hooks, control);
  run.release();
  return run;
}

const model = smallMamba();
const unitNorms = summarizeUnitNorms(model, model.pruningGroups(), {
  norm: 'group',
  targets: ['ssm', 'mlp'],
  units: new Map([['blocks.0.ssm', [2, 3]]]),
});

const lines = (run: RunFolder) =>
  run.readMetrics().filter((line): line is EpochMetrics => line.type === 'epoch');

describe('tensorboardHooks', () => {
  it('writes every number of an epoch under its phase', async () => {
    const run = await trainToy(false);
    const [first, second] = lines(run);
    const scalars = readScalars(eventFilePath(run));
    const phase = 'rsst-1';
    // Scalars are float32 in the file.
    expect(scalars.get(`${phase}/loss@1`)).toBe(Math.fround(first?.loss ?? NaN));
    expect(scalars.get(`${phase}/loss@2`)).toBe(Math.fround(second?.loss ?? NaN));
    expect(scalars.get(`${phase}/valAccuracy@2`)).toBe(Math.fround(second?.valAccuracy ?? NaN));
    expect(scalars.get(`${phase}/rsst/lambda@1`)).toBe(0.5);
    expect(scalars.get(`${phase}/unitNorms/ssm/doomedShare@1`)).toBeCloseTo(0.03, 1);
    // null for three classes: there is nothing to write.
    expect(scalars.has(`${phase}/valTop5@1`)).toBe(false);
    const names = [...scalars.keys()].filter((name) => name.endsWith('@1'));
    expect(names.some((name) => /type|epoch|quantiles/.test(name))).toBe(false);
    const [version, ...events] = readEvents(readFileSync(eventFilePath(run)));
    expect(version).toMatchObject({ fileVersion: 'brain.Event:2' });
    expect(version?.wallTime).toBeCloseTo(Date.parse(run.config.created) / 1000, 3);
    expect(events).toHaveLength(2);
    expect(events[1]?.wallTime).toBeCloseTo(
      Date.parse(run.config.created) / 1000 + (second?.seconds ?? NaN),
      3,
    );
  });

  it('writes histograms of the unit norms, doomed and kept apart', async () => {
    const run = await trainToy(false);
    const [, event] = readEvents(readFileSync(eventFilePath(run)));
    const histogram = (tag: string) =>
      event?.summary?.value.find((value) => value.tag === `rsst-1/unitNorms/${tag}`)?.histo;
    const { max = NaN, kept, doomed } = unitNorms.kinds['ssm'] ?? {};
    expect(histogram('ssm/doomed')).toMatchObject({ num: 2, bucket: doomed?.histogram });
    const all = histogram('ssm/kept');
    expect(all).toMatchObject({ num: 62, max: kept?.quantiles.at(-1), bucket: kept?.histogram });
    expect(all?.bucket_limit).toHaveLength(24);
    expect(all?.bucket_limit.at(-1)).toBeCloseTo(max, 12);
    expect(all?.bucket.reduce((a, b) => a + b, 0)).toBe(62);
  });

  it('has each epoch once when the training was stopped and resumed', async () => {
    await trainToy(false, 10);
    expect(readEvents(readFileSync(eventFilePath(RunFolder.open(path))))).toHaveLength(2);
    const run = await trainToy(true);
    const steps = readEvents(readFileSync(eventFilePath(run))).map(({ step }) => step);
    expect(steps).toEqual([undefined, 1, 2]);
  });
});

describe('writeEventFile', () => {
  it('mends a file of other or torn content, and leaves one that is right alone', async () => {
    const run = await trainToy(false);
    const file = eventFilePath(run);
    const right = readFileSync(file);
    const { ino } = statSync(file);
    // As after a kill in the middle of a write, and after lines that a resumed training did again.
    truncateSync(file, right.length - 20);
    expect(writeEventFile(run)).toBe(file);
    expect(readFileSync(file)).toEqual(right);
    appendFileSync(file, right.subarray(40));
    writeEventFile(run);
    expect(readFileSync(file)).toEqual(right);
    // The same file all along, so that an open TensorBoard keeps seeing it.
    expect(statSync(file).ino).toBe(ino);
  });

  it('says what to do when it cannot write', async () => {
    const run = await trainToy(false);
    const blocked = join(folder.path, 'blocked');
    const other = RunFolder.create(blocked, toyRun);
    other.release();
    mkdirSync(join(blocked, 'x'));
    writeFileSync(join(blocked, 'tensorboard'), 'a file where a folder should be');
    expect(() => writeEventFile(other)).toThrow(RunFolderError);
    expect(() => writeEventFile(other)).toThrow(/cannot write .*blocked.*EEXIST/);
    expect(lines(run)).toHaveLength(2);
  });
});

// Another Python than the one on the path: TEST_PYTHON=/path/to/python.
const python = process.env['TEST_PYTHON'] ?? 'python3';

function whyNot(): string | undefined {
  try {
    execFileSync(python, ['-c', 'import tensorboard'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return `${python} has no tensorboard (pip install tensorboard)`;
  }
}

const missing = whyNot();

const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'histograms': 0})
events.Reload()
tensors = {tag: [[e.step, e.tensor_proto.float_val[0]] for e in events.Tensors(tag)]
           for tag in events.Tags()['tensors']}
scalars = {tag: [[e.step, e.value] for e in events.Scalars(tag)] for tag in events.Tags()['scalars']}
histograms = {tag: [[e.step, list(e.histogram_value.bucket)] for e in events.Histograms(tag)]
              for tag in events.Tags()['histograms']}
print(json.dumps({'scalars': {**tensors, **scalars}, 'histograms': histograms}))
`;

describe('TensorBoard', () => {
  it.skipIf(missing !== undefined)(
    `reads our files${missing === undefined ? '' : ` (skipped: ${missing})`}`,
    async () => {
      await trainToy(false, 10);
      const run = await trainToy(true);
      const output = execFileSync(python, ['-c', script, dirname(eventFilePath(run))], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      const read = JSON.parse(output) as Record<string, Record<string, [number, unknown][]>>;
      const losses = lines(run).map(({ epoch, loss }) => [epoch, Math.fround(loss)]);
      expect(read['scalars']?.['rsst-1/loss']).toEqual(losses);
      const doomed = unitNorms.kinds['ssm']?.doomed?.histogram;
      expect(read['histograms']?.['rsst-1/unitNorms/ssm/doomed']).toEqual([
        [1, doomed],
        [2, doomed],
      ]);
    },
  );
});
