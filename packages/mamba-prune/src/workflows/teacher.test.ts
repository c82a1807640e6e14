import { copyFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Tensor, ops, rand, randn, saveSafetensors, tensor } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Dataset } from '../data/types.js';
import { loadModel, saveModel } from '../models/model-file.js';
import { RunFolder } from '../training/run-folder.js';
import { stopAfter } from '../training/testing/toy.js';
import { keptWeightsPath } from './prune/rewound-weights.js';
import type { RunControl, TrainSettings } from './settings.js';
import { OpenedTeacher } from './opened-teacher.js';
import { resolveTeacher } from './teacher.js';
import { side, tinyTraining, writeTinyImages } from './testing/tiny.js';
import { type TrainRun, trainRun } from './train-run.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const dense = (): string => at('dense', 'model.safetensors');
/** Answers one class, whatever it is shown. */
const stubborn = (answer: number): string => at(`stubborn-${answer}.safetensors`);
/** The dense one, with pixels normalised in another way than those of the data. */
const otherPixels = (): string => at('other-pixels.safetensors');
const ownPixels = { mean: [0.2, 0.3, 0.4], std: [0.5, 0.6, 0.7] };
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
  const { model: teacher, info: known } = loadModel(dense());
  saveModel(otherPixels(), teacher, { ...known, ...ownPixels });
  teacher.dispose();
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
    expect(info.history.at(-1)).toMatchObject({
      step: 'train',
      teacher: dense(),
      distill: 0.3,
      temperature: 1,
    });
  });

  describe('goes on as if it had not been stopped', () => {
    const distill = (): TrainSettings['distill'] => ({
      teacher: otherPixels(),
      weight: 0.7,
      temperature: 2,
    });
    /** With random numbers in the model and in the data, and averages. */
    const random = (): TrainSettings => {
      const { model, recipe } = training();
      return training({
        model: { ...model, dropPath: 0.3 },
        recipe: { ...recipe, augment: 'standard', mixup: 0.4, emaDecay: 0.9 },
        distill: distill(),
      });
    };
    let whole: number[][];

    beforeAll(async () => {
      whole = valuesOf((await ended(random(), { out: at('whole') })).result.path);
    });

    it.each([
      ["at an epoch's end", 4],
      ['in the middle of an epoch', 6],
    ])('%s', async (_, steps) => {
      const out = at(`stopped-${steps}`);
      const { hooks, signal } = stopAfter(steps);
      const { settings, result } = await ended(random(), { out, signal, hooks });
      expect(result).toMatchObject({ finished: false, steps });
      const again = await ended(settings, { out, resume: true });
      expect(again.result.finished).toBe(true);
      expect(valuesOf(again.result.path)).toEqual(whole);
    });
  });

  it('has read the teacher when it begins: what becomes of the file then is for the next one', async () => {
    const distill = { teacher: at('replaced.safetensors'), weight: 0.7 };
    copyFileSync(dense(), distill.teacher);
    const untouched = await ended(training({ distill }), { out: at('untouched') });
    const hooks = {
      onStep: () => {
        copyFileSync(stubborn(1), distill.teacher);
      },
    };
    const { result, settings } = await ended(training({ distill }), { out: at('replaced'), hooks });
    expect(valuesOf(result.path)).toEqual(valuesOf(untouched.result.path));
    const recipe = { ...settings.recipe, epochs: 4 };
    const on = ended({ ...settings, recipe }, { out: at('replaced'), resume: true });
    await expect(on).rejects.toThrow('is not the one that the run began with');
  });

  it('deletes no teacher that lies in the run that it replaces', async () => {
    const { path } = await ended(training(), { out: at('own') });
    const distill = { teacher: join(path, 'model.safetensors') };
    const before = valuesOf(distill.teacher);
    const run = ended(training({ distill }), { out: path, overwrite: true });
    await expect(run).rejects.toThrow(
      'model.safetensors, which the new run needs and `overwrite` would delete, expected another folder',
    );
    expect(valuesOf(distill.teacher)).toEqual(before);
  });

  it('refuses a worker whose teacher is not that of rank 0', async () => {
    const group = {
      rank: 1,
      workers: 2,
      broadcastText: () => '0'.repeat(64),
    } as unknown as NonNullable<RunControl['group']>;
    const run = ended(training({ distill: { teacher: dense() } }), { out: at('worker'), group });
    await expect(run).rejects.toThrow(
      /is not that of rank 0: .* expected 0{64}\. Put the same file/,
    );
  });

  it('says what nothing tells of a file of another program, and keeps what was said of it when it goes on', async () => {
    const { model } = loadModel(dense());
    const path = at('state-dict.safetensors');
    saveSafetensors(path, model.stateDict());
    model.dispose();
    const pixels = { mean: [0.1, 0.2, 0.3], std: [0.4, 0.5, 0.6] };
    const { model: sizes } = training();
    const unsaid = { ...sizes, arch: 'mamba_nano', scan: 'uni', imageSize: side } as const;
    const said = { ...unsaid, ...pixels };
    const { settings } = await ended(training({ distill: { teacher: path, import: said } }), {
      out: at('said'),
    });
    const notes: string[] = [];
    const hooks = { onNote: (note: string) => notes.push(note) };
    const assuming = training({ distill: { teacher: path, import: unsaid } });
    await ended(assuming, { out: at('unsaid'), hooks });
    expect(notes.join(' ')).toContain(
      'nothing tells how its pixels were normalised, so it is shown them as the images of the training are.',
    );
    const on = (distill: TrainSettings['distill']): Promise<TrainRun> =>
      ended(
        { ...settings, recipe: { ...settings.recipe, epochs: 4 }, distill },
        { out: at('said'), resume: true },
      );
    await expect(on({ teacher: path, import: { ...said, mean: [0, 0, 0] } })).rejects.toThrow(
      'import.mean: got [0,0,0], expected [0.1,0.2,0.3]',
    );
    const { settings: later } = await on({ teacher: path });
    expect(later.distill?.import).toEqual(said);
  });

  it('keeps what the files beside a teacher say, and goes on with it where they are gone', async () => {
    const { model } = loadModel(dense());
    mkdirSync(at('beside'));
    const path = at('beside', 'weights.safetensors');
    saveSafetensors(path, model.stateDict());
    model.dispose();
    const preprocessor = { image_mean: [0.1, 0.2, 0.3], image_std: [0.4, 0.5, 0.6] };
    const card = at('beside', 'preprocessor_config.json');
    writeFileSync(card, JSON.stringify(preprocessor));
    const sizes = {
      ...training().model,
      arch: 'mamba_nano',
      scan: 'uni',
      imageSize: side,
    } as const;
    const distill = { teacher: path, import: sizes, weight: 1 };
    const whole = await ended(training({ distill }), { out: at('beside-whole') });
    const { hooks, signal } = stopAfter(4);
    const { settings } = await ended(training({ distill }), {
      out: at('beside-run'),
      hooks,
      signal,
    });
    const { image_mean: mean, image_std: std } = preprocessor;
    expect(settings.distill?.import).toMatchObject({ ...sizes, mean, std });
    rmSync(card);
    // Told as at the start.
    const on = await ended(training({ distill }), { out: at('beside-run'), resume: true });
    expect(valuesOf(on.result.path)).toEqual(valuesOf(whole.result.path));
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
    [{ sha256: 'abc' }, 'is not the one that was asked for: its SHA-256 is'],
    [{ strength: 1 }, 'got the option `strength`, expected some of `teacher`'],
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

describe('an opened teacher', () => {
  it('shows the teacher pixels normalised as its own were', async () => {
    const resolved = resolveTeacher({ teacher: otherPixels() });
    const teacher = await OpenedTeacher.open(resolved);
    const distillation = teacher.teach(images.info, 'cpu');
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
    const shown = distillation.images?.(normalized(images.info));
    // A few roundings of float32 in place of others, of numbers up to 2.
    expect(shown?.sub(normalized(ownPixels)).abs().max().item()).toBeLessThan(1e-6);
    const rounded = normalized(images.info).to('bfloat16');
    const inHalf = distillation.images?.(rounded);
    expect(inHalf?.dtype).toBe('bfloat16');
    // Two roundings of 2^-8: of numbers up to 2.7 that then become less than half as large, and of numbers up to 1.6.
    const error = inHalf?.to('float32').sub(normalized(ownPixels)).abs().max().item();
    expect(error).toBeLessThan((2.7 / 2 + 1.6) * 2 ** -8);
    teacher.dispose();
    const same = await OpenedTeacher.open(resolveTeacher({ teacher: dense() }));
    expect(same.teach(images.info, 'cpu').images).toBeUndefined();
    same.dispose();
  });

  it.each([
    ['of other classes', { classes: ['left', 'wrong'] }, "class 1 'right', expected 'wrong'"],
    ['of a class with a point', { classes: ['left', 'St. Right'] }, "expected 'St. Right', as the"],
    ['of another order', { classes: ['right', 'left'] }, "class 0 'left', expected 'right'"],
  ])('refuses a teacher %s', async (_, changes, message) => {
    const { model, info } = loadModel(dense());
    const path = at('misfit.safetensors');
    saveModel(path, model, { ...info, ...changes });
    model.dispose();
    const opened = await OpenedTeacher.open(resolveTeacher({ teacher: path }));
    const teach = () => opened.teach(images.info, 'cpu');
    expect(teach).toThrow(message);
    expect(teach).toThrow(
      /^train: the teacher .* does not fit folder: .*, as the teacher has it\. .* in the same order\.$/,
    );
  });
});
