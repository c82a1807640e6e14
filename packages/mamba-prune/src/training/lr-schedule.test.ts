import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../errors.js';
import { RunFolder, type TrainOptions } from './index.js';
import { resolveTrainOptions } from './options.js';
import { train } from './trainer.js';
import { learningRateSchedule } from './lr-schedule.js';
import { eachTestsFolder } from './testing/each-folder.js';
import { toyDataset, toyInfo, ToyModel, toyOptions, toyRun } from './testing/toy.js';

const ten = { warmupEpochs: 0, minLrFactor: 0 };

describe('learningRateSchedule', () => {
  it('divides at milestones in epochs, as MultiStepLR does', () => {
    const at = learningRateSchedule({ ...ten, schedule: 'multistep', milestones: [2, 3.5] }, 10);
    const factors = [0, 19, 20, 34, 35, 99].map((step) => at(step, 100));
    // 0.1 unless given; powers of 0.1 in float64.
    [1, 1, 0.1, 0.1, 0.01, 0.01].forEach((expected, i) => {
      expect(factors[i]).toBeCloseTo(expected, 15);
    });
  });

  it('warms up first, and takes another gamma', () => {
    const options = { ...ten, warmupEpochs: 1, milestones: [0.5, 4], gamma: 0.5 };
    const at = learningRateSchedule({ ...options, schedule: 'multistep' }, 10);
    expect([0, 4, 5, 9, 10, 39, 40].map((step) => at(step, 100))).toEqual([
      0.1, 0.5, 0.3, 0.5, 0.5, 0.5, 0.25,
    ]);
  });

  it('does not mind milestones after the end: the original script has them', () => {
    const at = learningRateSchedule({ ...ten, schedule: 'multistep', milestones: [91, 136] }, 5);
    expect(at(5 * 60 - 1, 5 * 60)).toBe(1);
  });

  it('gives cosine and constant', () => {
    const cosine = learningRateSchedule({ ...ten, schedule: 'cosine', minLrFactor: 0.2 }, 10);
    expect(cosine(50, 100)).toBeCloseTo(0.6, 12);
    const constant = learningRateSchedule({ ...ten, schedule: 'constant', warmupEpochs: 0.5 }, 10);
    expect([constant(0, 100), constant(77, 100)]).toEqual([0.2, 1]);
  });
});

describe('the options of multistep', () => {
  const resolve = (options: Partial<TrainOptions>) =>
    resolveTrainOptions({ epochs: 3, ...options }, toyInfo);

  it('are stored with it, and with no other schedule', () => {
    const resolved = resolve({ schedule: 'multistep', milestones: [1, 2] });
    expect(resolved).toMatchObject({ milestones: [1, 2], gamma: 0.1 });
    // Runs from before there was a multistep schedule can be resumed.
    expect(resolve({})).not.toHaveProperty('milestones');
    expect(resolve({})).not.toHaveProperty('gamma');
  });

  it.each<[Partial<TrainOptions>, RegExp]>([
    [{ schedule: 'multistep' }, /milestones: got none, expected the epochs/],
    [{ schedule: 'multistep', milestones: [] }, /milestones: got none/],
    [
      { schedule: 'multistep', milestones: [5, 5] },
      /milestones: got 5 after 5, expected increasing/,
    ],
    [{ schedule: 'multistep', milestones: [0, 5] }, /milestones\[0\]: got 0/],
    [
      { schedule: 'multistep', milestones: [1], gamma: 2 },
      /gamma: got 2, expected a number from 0 to 1/,
    ],
    [{ milestones: [1] }, /got `milestones` with the schedule cosine, expected multistep/],
    [{ schedule: 'constant', gamma: 0.5 }, /got `gamma` with the schedule constant/],
    [{ schedule: 'steps' as 'cosine' }, /'steps', expected one of cosine, constant, multistep/],
  ])('are checked: %j', (options, message) => {
    expect(() => resolve(options)).toThrow(UsageError);
    expect(() => resolve(options)).toThrow(message);
  });
});

describe('a training with multistep', () => {
  const folder = eachTestsFolder();

  it('has the same rates when it is stopped and resumed', async () => {
    // 7 steps an epoch: the rate falls after 7 and 14 of 21.
    const options: TrainOptions = {
      ...toyOptions,
      epochs: 3,
      warmupEpochs: 0,
      schedule: 'multistep',
      milestones: [1, 2],
    };
    const rates: number[] = [];
    const path = join(folder.path, 'run');
    RunFolder.create(path, toyRun).release();
    for (const stop of [5, 10, 21]) {
      const run = RunFolder.open(path, { write: true });
      const controller = new AbortController();
      const onStep = ({ lr }: { lr: number }) => {
        rates.push(lr);
        if (rates.length === stop) controller.abort();
      };
      const control = { resume: true, signal: controller.signal };
      await train(new ToyModel(), toyDataset(), options, run, { onStep }, control);
      run.release();
    }
    const expected = [0.01, 0.001, 0.0001].flatMap((lr) => Array<number>(7).fill(lr));
    expect(rates).toHaveLength(21);
    rates.forEach((rate, i) => {
      expect(rate).toBeCloseTo(expected[i] ?? NaN, 12);
    });
  });
});
