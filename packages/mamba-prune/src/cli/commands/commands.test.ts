// Whole commands on a small data set of image files and a model of a few thousand parameters.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, saveSafetensors } from '@mamba-prune/libtorch';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Prediction } from '../../inference/predict.js';
import { loadModel, saveModel } from '../../models/model-file.js';
import { createModel } from '../../models/registry.js';
import { pruneRun } from '../../workflows/prune/run.js';
import { type PruningRecord, readPruningRecord } from '../../workflows/prune/record.js';
import type { PruneSettings } from '../../workflows/prune/settings.js';
import { runCli } from '../testing/run-cli.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const small = ['--arch', 'mamba_nano', '--d-model', '8', '--depth', '2', '--d-state', '2'];
const data = (): string[] => ['--dataset', 'folder', '--data', at('images')];

/** Dark images of class 0, bright ones of class 1. */
async function makeImages(): Promise<void> {
  for (const part of ['train', 'test']) {
    for (const [name, level] of [
      ['dark', 40],
      ['light', 210],
    ] as const) {
      mkdirSync(at('images', part, name), { recursive: true });
      for (let i = 0; i < 8; i++) {
        const shade = level + 3 * i;
        const background = { r: shade, g: shade, b: shade };
        await sharp({ create: { width: 8, height: 8, channels: 3, background } })
          .png()
          .toFile(at('images', part, name, `${i}.png`));
      }
    }
  }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-cli-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await makeImages();
  manualSeed(1);
  const model = createModel('mamba_nano', {
    dModel: 8,
    depth: 2,
    dState: 2,
    channels: 1,
    imageSize: 8,
    numClasses: 2,
  });
  const info = {
    dataset: 'folder',
    classes: ['dark', 'light'],
    mean: [0.5],
    std: [0.5],
    history: [],
  };
  saveModel(at('grey.safetensors'), model, info);
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

async function json(argv: readonly string[]): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await runCli([...argv, '--json']);
  expect(stderr.split('\n').filter((line) => line.startsWith('mamba-prune'))).toEqual([]);
  expect(status).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe('export', () => {
  it('writes a model that is the same, and replaces nothing unasked', async () => {
    const out = at('exported.safetensors');
    const result = await json(['export', at('grey.safetensors'), '--out', out]);
    expect(result).toMatchObject({ arch: 'mamba_nano', format: 'safetensors', assumed: [] });
    const [before, after] = [at('grey.safetensors'), out].map((path) => loadModel(path));
    expect(after?.model.config).toEqual(before?.model.config);
    expect(after?.info).toEqual(before?.info);
    const weights = after?.model.stateDict();
    for (const [name, tensor] of before?.model.stateDict() ?? []) {
      expect(weights?.get(name)?.equal(tensor), name).toBe(true);
    }
    const again = await runCli(['export', at('grey.safetensors'), '--out', out]);
    expect(again.status).toBe(2);
    expect(again.stderr).toMatch(/exported\.safetensors exists, expected a new file/);
  });

  it('describes weights that came without a description', async () => {
    const { model } = loadModel(at('grey.safetensors'));
    saveSafetensors(at('bare.safetensors'), model.stateDict(), {});
    const out = at('described.safetensors');
    await json(['export', at('bare.safetensors'), ...small, '--scan', 'uni', '--out', out]);
    expect(loadModel(out).model.config.widths).toEqual(model.config.widths);
  });
});

describe('inspect', () => {
  it('prints a table that fits 80 columns', async () => {
    const { status, stdout } = await runCli(['inspect', at('grey.safetensors')]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/blocks\.0\.ssm +16 +16 +100\.0% +█{20} +\d+ +[\d.]+( K)?\n/);
    expect(stdout).toMatch(/mlp +64 +64 +100\.0% +█{32}\n/);
    expect(
      Math.max(
        ...stdout
          .split('\n')
          .slice(1)
          .map((line) => line.length),
      ),
    ).toBeLessThanOrEqual(80);
  });

  it('has the totals as numbers under --json', async () => {
    const result = await json(['inspect', at('grey.safetensors')]);
    const { model } = loadModel(at('grey.safetensors'));
    expect(result).toMatchObject({
      arch: 'mamba_nano',
      input: [1, 8, 8],
      parameters: model.numParameters(),
      macs: model.macs().reduce((sum, { macs }) => sum + macs, 0),
      classes: ['dark', 'light'],
    });
    model.dispose();
  });
});

describe('predict', () => {
  it('ends with 2 if an image is not there', async () => {
    const { status, stderr } = await runCli(['predict', at('grey.safetensors'), at('none.png')]);
    expect(status).toBe(2);
    expect(stderr).toContain(
      'none.png does not exist, expected a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM file',
    );
  });

  it('takes colour images of any size for a grey model', async () => {
    const image = at('images', 'test', 'dark', '0.png');
    const { predictions } = await json([
      'predict',
      at('grey.safetensors'),
      image,
      image,
      '--top-k',
      '9',
    ]);
    const [first, second] = predictions as {
      path: string;
      top: { name: string; probability: number }[];
    }[];
    expect(first).toEqual(second);
    expect(first?.path).toBe(image);
    expect(first?.top).toHaveLength(2);
    const sum = first?.top.reduce((total, { probability }) => total + probability, 0);
    // A softmax in float32 sums to one to some 1e-7.
    expect(sum).toBeCloseTo(1, 5);
    const [best, other] = first?.top ?? [];
    expect(best?.probability).toBeGreaterThanOrEqual(other?.probability ?? 1);
  });

  it('goes on after a file that is no image, names it in its place, and ends with 1', async () => {
    const good = at('images', 'test', 'dark', '0.png');
    const bad = at('grey.safetensors');
    const argv = ['predict', at('grey.safetensors'), good, bad, good];
    const { status, stderr, stdout } = await runCli(argv);
    expect(status).toBe(1);
    expect(stdout).toMatch(
      /0\.png\n[^]*grey\.safetensors\n {2}cannot be used: unsupported image format[^]*0\.png\n/,
    );
    expect(stderr).toMatch(
      /^mamba-prune predict: 1 of 3 images cannot be used: .*grey\.safetensors \(unsupported image/,
    );
    const dark = await runCli(['predict', at('grey.safetensors'), at('images', 'test', 'dark')]);
    expect(dark.stdout).toContain('cannot be used: it is a folder, expected a file: give those in');
    const told = await runCli([...argv, '--json']);
    expect(told.status).toBe(1);
    const { predictions } = JSON.parse(told.stdout) as { predictions: Prediction[] };
    expect(
      predictions.map(({ path, top, error }) => [path, top.length, error?.slice(0, 24)]),
    ).toEqual([
      [good, 2, undefined],
      [bad, 0, 'unsupported image format'],
      [good, 2, undefined],
    ]);
    expect(predictions[0]).toEqual(predictions[2]);
  });

  it('sees the same pixels as eval, and the edge of images that have the model’s size', async () => {
    // The frame alone tells the classes apart; a crop would cut it off.
    for (const part of ['train', 'val']) {
      for (const [name, background] of [
        ['blue', '#0000ff'],
        ['red', '#ff0000'],
      ] as const) {
        mkdirSync(at('frames', part, name), { recursive: true });
        for (let i = 0; i < 8; i++) {
          const shade = 60 + 10 * i;
          const inner = sharp({
            create: {
              width: 14,
              height: 14,
              channels: 3,
              background: { r: shade, g: shade, b: shade },
            },
          });
          await sharp({ create: { width: 16, height: 16, channels: 3, background } })
            .composite([{ input: await inner.png().toBuffer(), left: 1, top: 1 }])
            .png()
            .toFile(at('frames', part, name, `${i}.png`));
        }
      }
    }
    const folder = ['--dataset', 'folder', '--data', at('frames')];
    const run = at('frames-run');
    await json([
      'train',
      ...small,
      ...folder,
      '--image-size',
      '16',
      '--epochs',
      '8',
      '--batch-size',
      '4',
      '--lr',
      '0.01',
      '--augment',
      'none',
      '--out',
      run,
    ]);
    const { accuracy } = await json(['eval', run, '--data', at('frames')]);
    expect(accuracy).toBe(1);
    const files = ['blue', 'red'].flatMap((name) =>
      Array.from({ length: 8 }, (_, i) => at('frames', 'val', name, `${i}.png`)),
    );
    const { predictions } = await json(['predict', run, ...files]);
    const right = (predictions as Prediction[]).filter(({ path, top }) =>
      path.includes(`/${top[0]?.name ?? ''}/`),
    );
    expect(right).toHaveLength(16);
  });

  it('prepares images as the training was told', async () => {
    const run = at('prepared');
    const told = ['--interpolation', 'bicubic', '--crop-share', '0.9'];
    await json([
      'train',
      ...small,
      ...data(),
      ...told,
      '--image-size',
      '8',
      '--epochs',
      '1',
      '--out',
      run,
    ]);
    const { info, model } = loadModel(join(run, 'model.safetensors'));
    model.dispose();
    expect(info.preprocessing).toEqual({ interpolation: 'bicubic', cropShare: 0.9 });
    const wrong = await runCli([
      'train',
      ...small,
      '--dataset',
      'fashion-mnist',
      '--crop-share',
      '0.9',
      '--out',
      at('no'),
    ]);
    expect(wrong.status).toBe(2);
    expect(wrong.stderr).toContain('Leave --crop-share out; only image folders are resized.');
    const beyond = await runCli([
      'train',
      ...small,
      ...data(),
      '--crop-share',
      '0',
      '--out',
      at('no'),
    ]);
    expect(beyond.status).toBe(2);
    expect(beyond.stderr).toContain('from 0.01 to 1');
  });
});

describe('bench', () => {
  it('finds a model as fast as itself', async () => {
    const model = at('grey.safetensors');
    // A millisecond passes whenever somebody looks: what is measured does not depend on the machine.
    let clock = 0;
    onTestFinished(() => {
      vi.restoreAllMocks();
    });
    vi.spyOn(performance, 'now').mockImplementation(() => ++clock);
    const result = await json([
      'bench',
      model,
      model,
      '--batch',
      '2',
      '--runs',
      '5',
      '--min-time',
      '5',
    ]);
    const results = result['results'] as {
      model: string;
      speedup: { median: number };
      medianMs: number;
    }[];
    expect(results).toHaveLength(2);
    expect(results[0]?.speedup.median).toBe(1);
    expect(results[1]?.speedup.median).toBe(1);
    expect(results.map(({ medianMs }) => medianMs)).toEqual([1, 1]);
  });

  it('says where the time goes, part by part', async () => {
    const model = at('grey.safetensors');
    const argv = ['bench', model, '--batch', '2', '--runs', '1', '--min-time', '0', '--profile'];
    const { profiles } = (await json(argv)) as {
      profiles: {
        model: string;
        batch: number;
        pass: string;
        ms: number;
        parts: { phase: string; name: string; ms: number }[];
      }[];
    };
    expect(profiles.map(({ pass, batch }) => `${pass} ${batch}`)).toEqual([
      'inference 2',
      'training 2',
    ]);
    for (const { ms, parts } of profiles) {
      // What no operator took is a part too, so that only the rounding of a sum may be missing.
      expect(parts.reduce((sum, part) => sum + part.ms, 0) / ms).toBeCloseTo(1, 9);
    }
    expect(profiles[1]?.parts).toContainEqual(
      expect.objectContaining({ name: 'scan', phase: 'backward' }),
    );
    // Which parts are long enough for a line of their own depends on the machine.
    const { stdout } = await runCli(argv);
    expect(stdout).toMatch(/Where .* of inference go: .*, batch 2/);
    expect(stdout).toMatch(/ms +\d+\.\d%/);
  });
});

describe('train, prune, eval', () => {
  const run = (): string => at('run');

  it('trains a model that tells dark from light', async () => {
    const result = await json([
      'train',
      ...small,
      ...data(),
      '--image-size',
      '8',
      '--epochs',
      '20',
      '--batch-size',
      '8',
      '--lr',
      '0.01',
      '--augment',
      'none',
      '--out',
      run(),
    ]);
    expect(result).toMatchObject({ finished: true, epochs: 20, valAccuracy: 1 });
    const config = JSON.parse(readFileSync(join(run(), 'config.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    expect(config).toMatchObject({
      command: 'train',
      seed: 0,
      settings: {
        arch: 'mamba_nano',
        dataset: 'folder',
        model: { dModel: 8 },
        recipe: { lr: 0.01 },
      },
    });
    expect(readFileSync(join(run(), 'metrics.jsonl'), 'utf8').trim().split('\n')).toHaveLength(20);
  });

  it('leaves a finished run as it is unless told to overwrite it', async () => {
    const again = [
      'train',
      ...small,
      ...data(),
      '--image-size',
      '8',
      '--epochs',
      '1',
      '--out',
      run(),
    ];
    const { status, stderr } = await runCli(again);
    expect(status).toBe(2);
    expect(stderr).toContain('holds a run already');
    expect(loadModel(join(run(), 'model.safetensors')).info.history).toMatchObject([
      { epochs: 20 },
    ]);
  });

  it('ends with 2 where there is nothing to resume', async () => {
    const { status, stderr } = await runCli(['train', '--resume', '--out', at('images')]);
    expect(status).toBe(2);
    expect(stderr).toContain('is no run (it has no config.json)');
  });

  it('goes on to more epochs with nothing but the folder and --epochs', async () => {
    const result = await json(['train', '--resume', '--out', run(), '--epochs', '21']);
    expect(result).toMatchObject({ finished: true, epochs: 21 });
    // With nothing but the folder: it is the longer training now.
    const again = await json(['train', '--resume', '--out', run()]);
    expect(again).toMatchObject({ finished: true, epochs: 21 });
  });

  it('refuses to resume with another model', async () => {
    const { status, stderr } = await runCli(['train', '--resume', '--out', run(), '--depth', '3']);
    expect(status).toBe(2);
    expect(stderr).toContain('depth: got 3, expected 2');
  });

  it('measures the accuracy again, per class too', async () => {
    const result = await json(['eval', run(), ...data(), '--per-class']);
    expect(result).toMatchObject({ accuracy: 1, images: 16, classAccuracy: [1, 1], top5: null });
    const { stdout } = await runCli(['eval', run(), ...data(), '--per-class']);
    expect(stdout).toMatch(/accuracy +100\.00%/);
  });

  it('refuses data that the model does not fit', async () => {
    const { status, stderr } = await runCli(['eval', run(), '--dataset', 'fashion-mnist']);
    expect(status).toBe(2);
    expect(stderr).toContain('images of 1 channels, expected 3; images of 28x28 px, expected 8x8');
  });

  it('cuts and records which units are left', async () => {
    const out = at('cut');
    const result = await json([
      'prune',
      run(),
      '--rate',
      '0.5',
      '--mlp-rate',
      '0.75',
      ...data(),
      '--out',
      out,
    ]);
    const record = readPruningRecord(out) as PruningRecord;
    const total = (kind: string, widths: Record<string, number>): number =>
      Object.entries(widths)
        .filter(([name]) => name.endsWith(kind))
        .reduce((sum, [, width]) => sum + width, 0);
    // d_inner 16 and 32 neurons in each of 2 blocks.
    expect(total('ssm', record.widthsAfter)).toBe(16);
    expect(total('mlp', record.widthsAfter)).toBe(16);
    expect(record.accuracy.before).toBe(1);
    expect(record.accuracy.afterCut).not.toBeNull();
    expect(record.kept).toEqual(record.keptInSource);
    expect(result).toMatchObject({ parameters: record.parameters, training: null });
    const { model, info } = loadModel(join(out, 'model.safetensors'));
    expect(record.widthsAfter).toMatchObject(model.config.widths);
    expect(model.numParameters()).toBe(record.parameters.after);
    expect(info.history.at(-1)).toMatchObject({ step: 'prune', method: 'oneshot' });
    const { stdout } = await runCli(['inspect', out]);
    expect(stdout).toMatch(/ssm +32 +16 +50\.0% +█{16}·{16}\n/);
    expect(stdout).toMatch(/mlp +64 +16 +25\.0% +█{8}·{24}\n/);
  });

  it('prunes a pruned model, fine-tunes it, and names units of the first one', async () => {
    const out = at('cut-again');
    await json([
      'prune',
      at('cut'),
      '--target',
      'mlp',
      '--rate',
      '0.5',
      ...data(),
      '--epochs',
      '2',
      '--batch-size',
      '8',
      '--augment',
      'none',
      '--out',
      out,
    ]);
    const before = readPruningRecord(at('cut')) as PruningRecord;
    const after = readPruningRecord(out) as PruningRecord;
    for (const [name, units] of Object.entries(after.keptInSource)) {
      expect(after.kept[name]).toEqual(units.map((unit) => before.kept[name]?.[unit]));
    }
    expect(after.kept['blocks.0.ssm']).toEqual(before.kept['blocks.0.ssm']);
    expect(after.denseWidths['blocks.0.mlp']).toBe(32);
    expect(after.accuracy.after).not.toBeNull();
    const { info } = loadModel(join(out, 'model.safetensors'));
    expect(info.history.map(({ step }) => step)).toEqual(['train', 'prune', 'prune', 'finetune']);
  });

  it('resumes a fine-tuning without the original model and ends with the same bytes', async () => {
    const { settings } = JSON.parse(readFileSync(at('cut-again', 'config.json'), 'utf8')) as {
      settings: PruneSettings;
    };
    const out = at('cut-parts');
    const controller = new AbortController();
    const stopped = await pruneRun(settings, {
      out,
      signal: controller.signal,
      hooks: {
        onStep: ({ step }) => {
          if (step === 2) controller.abort();
        },
      },
    });
    expect(stopped).toMatchObject({ finished: false, result: { steps: 2 } });
    stopped.model.dispose();
    const source = at('cut', 'model.safetensors');
    renameSync(source, `${source}.away`);
    try {
      await json(['prune', '--resume', '--out', out]);
    } finally {
      renameSync(`${source}.away`, source);
    }
    const [whole, parts] = ['cut-again', 'cut-parts'].map((run) =>
      readFileSync(at(run, 'model.safetensors')),
    );
    expect(parts?.equals(whole ?? Buffer.alloc(0))).toBe(true);
    expect(readFileSync(join(out, 'pruning.json'), 'utf8')).toBe(
      readFileSync(at('cut-again', 'pruning.json'), 'utf8'),
    );
  });

  it('keeps weights to rewind to, and the recipe of a preset', async () => {
    const out = at('preset');
    await json([
      'train',
      ...small,
      ...data(),
      '--image-size',
      '8',
      '--preset',
      'fast',
      '--epochs',
      '2',
      '--augment',
      'none',
      '--batch-size',
      '8',
      '--keep-epochs',
      '1',
      '--tensorboard',
      '--out',
      out,
    ]);
    const { settings } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')) as {
      settings: { preset: string; recipe: object };
    };
    // Of the preset are what was not typed; its warm-up of a tenth follows the epochs.
    expect(settings).toMatchObject({
      preset: 'fast',
      recipe: { lr: 5e-4, warmupEpochs: 0.2, labelSmoothing: 0.05, epochs: 2 },
    });
    for (const name of ['init', 'epoch-1']) {
      expect(existsSync(join(out, 'checkpoints', `${name}.safetensors`))).toBe(true);
    }
    expect(existsSync(join(out, 'tensorboard'))).toBe(true);
  });

  it('prunes in rounds with a table of them, and all of it under --json', async () => {
    const argv = [
      'prune',
      at('preset'),
      '--method',
      'refill',
      '--fillback',
      '0.25',
      '--rounds',
      '2',
      '--target',
      'mlp',
      '--rate',
      '0.5',
      '--epochs',
      '1',
      '--batch-size',
      '8',
      '--rewind',
      'epoch:1',
      '--distill',
      '0.5',
      '--score',
      'activation',
      '--augment',
      'none',
      ...data(),
    ];
    const shown = await runCli([...argv, '--out', at('rounds')]);
    expect(shown.status, shown.stderr).toBe(0);
    expect(shown.stdout).toMatch(
      / {2}round +mlp +before cut +after cut +trained +parameters +MACs/,
    );
    expect(shown.stdout).toMatch(/\n {6}2 +\d\d\.\d% /);
    expect(shown.stderr).toMatch(
      /Round 2 of 2\n {2}cut to [\d.]+ K parameters \(\d+ units came back\)/,
    );
    const result = await json([...argv, '--out', at('rounds-json')]);
    expect(result).toMatchObject({
      plannedRounds: 2,
      settings: { refill: { fillback: 0.25 }, rewind: 'epoch:1', distill: { weight: 0.5 } },
      rounds: [{ round: 1 }, { round: 2, finished: true }],
    });
    const { stdout, stderr } = await runCli(['inspect', at('rounds')]);
    expect(stdout, stderr).toMatch(/Not listed, nothing removed: .*dt_rank/);
    expect(stdout).toContain('--dt-rank-rate');
    expect(stdout).not.toMatch(/blocks\.0\.(state|dt_rank)/);
  });

  it('refuses flags of another method before any work', async () => {
    const argv = ['prune', at('preset'), '--fillback', '0.5', '--out', at('never')];
    const { status, stderr } = await runCli(argv);
    expect(status).toBe(2);
    expect(stderr).toContain('got --fillback, which belongs to --method refill, not oneshot');
    expect(existsSync(at('never'))).toBe(false);
  });

  it('leaves no folder behind when something is wrong from the start', async () => {
    const out = at('never');
    for (const argv of [
      ['prune', run(), '--target', 'ssm', '--mlp-rate', '0.5', '--out', out],
      ['prune', run(), '--dataset', 'fashion-mnist', '--out', out],
      ['prune', run(), '--epochs', '1', '--lr', '-1', '--out', out],
      ['train', ...small, ...data(), '--image-size', '9', '--out', out],
      ['train', ...small, '--dataset', 'cifar10', '--data', at('nothing'), '--out', out],
      ['train', ...small, ...data(), '--image-size', '8', '--warmup-epochs', '40', '--out', out],
    ]) {
      const { status } = await runCli(argv);
      expect(status).toBeGreaterThan(0);
      expect(existsSync(out)).toBe(false);
    }
  });
});
