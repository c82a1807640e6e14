// A teacher only looks on: nothing of it changes, nothing of it is kept, and nothing of the training but its loss knows of it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, memoryStats } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { settledMemory } from '../../../../test/support/garbage.js';
import type { ImageModel } from '../models/image-model.js';
import { saveModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { readCheckpoint } from '../training/checkpoint.js';
import type { TrainHooks } from '../training/hooks.js';
import { RunFolder } from '../training/run-folder.js';
import type { TrainSettings } from './settings.js';
import { side, tinyTraining, writeTinyImages } from './testing/tiny.js';
import { trainRun } from './train-run.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
let teacher: ImageModel;

/** With random numbers in the model and in the data, averages, and weights that shrink. */
const training = (): TrainSettings => {
  const settings = tinyTraining(at('images'));
  const { model, recipe } = settings;
  return {
    ...settings,
    model: { ...model, dropPath: 0.3 },
    recipe: { ...recipe, augment: 'standard', mixup: 0.4, emaDecay: 0.9, weightDecay: 0.1 },
  };
};

/** By name, the bytes of every tensor; numbers of the state that are not times. */
async function checkpointOf(name: string, hooks: TrainHooks) {
  const { model, path } = await trainRun(training(), { out: at(name), hooks });
  model.dispose();
  const { tensors, state } = readCheckpoint(RunFolder.open(path).lastCheckpoint);
  const bytes = Array.from(tensors, ([key, { data }]) => [key, Buffer.from(data).toString('hex')]);
  return { tensors: Object.fromEntries(bytes) as unknown, optimizer: state.optimizer };
}

const stateOf = (model: ImageModel): unknown =>
  Array.from(model.stateDict(), ([name, value]) => [name, value.detach().toNumbers()]);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-teacher-stays-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  manualSeed(3);
  const sizes = { blocks: [1, 1], baseWidth: 4, dropPath: 0.5 };
  teacher = createModel('resnet20', { ...sizes, imageSize: side, channels: 3, numClasses: 2 });
  const info = { classes: ['left', 'right'], mean: [0.2, 0.3, 0.4], std: [0.5, 0.6, 0.7] };
  saveModel(at('teacher.safetensors'), teacher, { ...info, history: [] });
});

afterAll(() => {
  teacher.dispose();
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('a teacher with batch normalisation and dropped paths', () => {
  it('stays as it is, and changes nothing but the loss: with a weight of 0, no bit of a checkpoint', async () => {
    const before = stateOf(teacher);
    teacher.train();
    const heard = await checkpointOf('heard', { distillation: { teacher, weight: 0.5 } });
    expect(stateOf(teacher)).toEqual(before);
    expect(teacher.training).toBe(false);
    expect(teacher.parameters().every(({ grad }) => grad === null)).toBe(true);
    const plain = await checkpointOf('plain', {});
    const unheard = await checkpointOf('unheard', { distillation: { teacher, weight: 0 } });
    expect(unheard).toEqual(plain);
    expect(Object.keys(heard.tensors as object)).toEqual(Object.keys(plain.tensors as object));
    expect(heard).not.toEqual(plain);
  });
});

describe('a training under a teacher', () => {
  const distill = (): TrainSettings['distill'] => ({ teacher: at('teacher.safetensors') });

  it('frees the teacher and all it made when it ends', async () => {
    /** What is left to the garbage collector. */
    const leftBy = async (
      name: string,
      taught: Pick<TrainSettings, 'distill'>,
    ): Promise<number> => {
      const before = (await settledMemory()).tensors;
      const { model } = await trainRun({ ...training(), ...taught }, { out: at(name) });
      model.zeroGrad();
      model.dispose();
      return memoryStats().tensors - before;
    };
    await leftBy('warm', {});
    const alone = await leftBy('alone', {});
    expect(await leftBy('taught', { distill: distill() })).toBe(alone);
  });

  it.each([
    ['in a step', { onStep: () => fail() }],
    ['at the end of an epoch', { onEpoch: () => fail() }],
    ['in the loss', { taskLoss: () => fail() }],
  ] satisfies [string, TrainHooks][])('and when it fails %s', async (where, hooks) => {
    const before = (await settledMemory()).tensors;
    const out = at(`fails ${where}`);
    const run = trainRun({ ...training(), distill: distill() }, { out, hooks });
    await expect(run).rejects.toThrow('on purpose');
    expect((await settledMemory()).tensors).toBeLessThanOrEqual(before);
  });
});

function fail(): never {
  throw new Error('on purpose');
}
