import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Tensor, ops, rand, randn, tensor } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Dataset } from '../data/types.js';
import { loadModel, saveModel } from '../models/model-file.js';
import { RunFolder } from '../training/run-folder.js';
import { keptWeightsPath } from './prune/rewound-weights.js';
import type { RunControl, TrainSettings } from './settings.js';
import { openTeacher, resolveTeacher } from './teacher.js';
import { side, tinyTraining, writeTinyImages } from './testing/tiny.js';
import { type TrainRun, trainRun } from './train-run.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const dense = (): string => at('dense', 'model.safetensors');
/** Answers one class, whatever it is shown. */
const stubborn = (answer: number): string => at(`stubborn-${answer}.safetensors`);
let images: Dataset;

const training = (changes: Partial<TrainSettings> = {}): TrainSettings => ({
  ...tinyTraining(at('images')),
  ...changes,
});

async function ended(settings: TrainSettings, control: RunControl): Promise<TrainRun> {
  const run = await trainRun(settings, control);
  run.model.dispose();
  return run;
}

/** Every value of a file of weights. */
const valuesOf = (path: string): number[][] => {
  const { model } = loadModel(path);
  const values = model.parameters().map((weight) => [...weight.detach().toFloat32Array()]);
  model.dispose();
  return values;
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-teacher-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const run = await ended(training(), { out: at('dense') });
  images = run.dataset;
  for (const answer of [0, 1]) {
    const { model, info } = loadModel(dense());
    for (const weight of model.parameters()) ops.fill_(weight.detach(), 0);
    const [bias] = model.parameters().slice(-1);
    ops.fill_((bias as Tensor).detach().narrow(0, answer, 1), 20);
    saveModel(stubborn(answer), model, info);
    model.dispose();
  }
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('a training with a teacher', () => {
  it.each([0, 1])(
    'learns what the teacher answers, with a weight of 1 without the labels: %i',
    async (answer) => {
      const distill = { teacher: stubborn(answer), weight: 1 };
      const recipe = { ...training().recipe, epochs: 4, lr: 1e-2 };
      const { model } = await trainRun(training({ distill, recipe }), {
        out: at(`taught-${answer}`),
      });
      const logits = model.eval().forward(randn([16, 3, side, side]));
      expect(logits.argmax(1).toNumbers()).toEqual(Array.from({ length: 16 }, () => answer));
      model.dispose();
    },
  );

  it('keeps the teacher in its settings, with a digest, and in the history of its model', async () => {
    const { settings, info, path } = await ended(
      training({ distill: { teacher: dense(), weight: 0.3 } }),
      { out: at('kept') },
    );
    expect(settings.distill).toMatchObject({ teacher: dense(), weight: 0.3, temperature: 1 });
    expect(settings.distill?.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(RunFolder.open(path).config['settings']).toMatchObject({ distill: settings.distill });
    expect(info.history.at(-1)).toMatchObject({ step: 'train', teacher: dense(), distill: 0.3 });
  });

  it('goes on with the same teacher as if it had not been stopped', async () => {
    const distill = { teacher: dense(), weight: 0.7, temperature: 2 };
    const whole = await ended(training({ distill }), { out: at('whole') });
    const stop = new AbortController();
    const hooks = {
      onEpoch: () => {
        stop.abort();
      },
    };
    const control = { out: at('stopped'), signal: stop.signal, hooks };
    const { settings, result } = await ended(training({ distill }), control);
    expect(result.finished).toBe(false);
    const again = await ended(settings, { out: at('stopped'), resume: true });
    expect(again.result.finished).toBe(true);
    expect(valuesOf(again.result.path)).toEqual(valuesOf(whole.result.path));
  });

  it('has the same random numbers as one without', async () => {
    const { path } = await ended(training(), { out: at('without') });
    const taught = await ended(training({ distill: { teacher: dense() } }), { out: at('with') });
    const start = (run: string): number[][] => valuesOf(keptWeightsPath(run, 0));
    expect(start(taught.path)).toEqual(start(path));
  });

  it('refuses another teacher, another weight, one too many and none when it goes on', async () => {
    const moved = at('moved', 'teacher.safetensors');
    mkdirSync(at('moved'));
    copyFileSync(dense(), moved);
    const { settings } = await ended(training({ distill: { teacher: moved } }), {
      out: at('begun'),
    });
    const on = (distill: TrainSettings['distill']): Promise<TrainRun> =>
      ended(
        { ...settings, recipe: { ...settings.recipe, epochs: 4 }, distill },
        { out: at('begun'), resume: true },
      );
    await expect(on({ teacher: stubborn(1) })).rejects.toThrow(
      'is not the one that the run began with: its SHA-256 is',
    );
    await expect(on({ teacher: moved, weight: 0.4 })).rejects.toThrow(
      'weight: got 0.4, expected 0.5',
    );
    await expect(on(undefined)).rejects.toThrow('got no teacher, expected that of the run');
    renameSync(moved, at('elsewhere.safetensors'));
    await expect(on(settings.distill)).rejects.toThrow(
      'does not exist any more. Put it back, or say where it lies now',
    );
    const { result } = await on({ ...settings.distill, teacher: at('elsewhere.safetensors') });
    expect(result.epochs).toBe(4);
    const plain = await ended(training(), { out: at('plain') });
    const late = ended(
      { ...plain.settings, distill: { teacher: dense() } },
      { out: at('plain'), resume: true },
    );
    await expect(late).rejects.toThrow('got a teacher, expected none');
  });

  it.each([
    [{ weight: 0 }, 'distill: got 0'],
    [{ weight: 1.5 }, 'distill: got 1.5'],
    [{ temperature: 0 }, 'temperature: got 0'],
    [
      { teacher: 'nowhere.safetensors' },
      'nowhere.safetensors does not exist, expected the file of a model',
    ],
  ])('refuses %o', async (wrong, message) => {
    const distill = { teacher: dense(), ...wrong };
    const run = ended(training({ distill }), { out: at('refused') });
    await expect(run).rejects.toThrow(message);
  });
});

describe('openTeacher', () => {
  it('shows the teacher pixels normalised as its own were', async () => {
    const { model, info } = loadModel(dense());
    const other = at('other-pixels.safetensors');
    const own = { mean: [0.2, 0.3, 0.4], std: [0.5, 0.6, 0.7] };
    saveModel(other, model, { ...info, ...own });
    model.dispose();
    const teacher = await openTeacher(resolveTeacher({ teacher: other }), images.info, 'cpu');
    const raw = rand([2, 3, side, side]);
    const normalized = ({
      mean,
      std,
    }: {
      mean: readonly number[];
      std: readonly number[];
    }): Tensor => {
      const [shift, scale] = [mean, std].map((values) => tensor([...values]).reshape(1, 3, 1, 1));
      return raw.sub(shift as Tensor).div(scale as Tensor);
    };
    const shown = teacher.distillation.images?.(normalized(images.info));
    // A few roundings of float32 in place of others, of numbers up to 2.
    expect(shown?.sub(normalized(own)).abs().max().item()).toBeLessThan(1e-6);
    teacher.dispose();
    const same = await openTeacher(resolveTeacher({ teacher: dense() }), images.info, 'cpu');
    expect(same.distillation.images).toBeUndefined();
    same.dispose();
  });

  it.each([
    ['of other classes', { classes: ['left', 'wrong'] }, "class 1 'right', expected 'wrong'"],
    ['of another order', { classes: ['right', 'left'] }, "class 0 'left', expected 'right'"],
  ])('refuses a teacher %s', async (_, changes, message) => {
    const { model, info } = loadModel(dense());
    const path = at('misfit.safetensors');
    saveModel(path, model, { ...info, ...changes });
    model.dispose();
    const opened = openTeacher(resolveTeacher({ teacher: path }), images.info, 'cpu');
    await expect(opened).rejects.toThrow(message);
    await expect(opened).rejects.toThrow(
      /^train: the teacher .* does not fit folder: .*, as the teacher has it\. .* in the same order\.$/,
    );
  });
});
