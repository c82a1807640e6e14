// Runs that fail before their first step: nothing is left of them, and the same command can be given again.
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { ops, saveSafetensors } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadModel, saveModel } from '../models/model-file.js';
import { StoppedAtStartError, TrainingDivergedError } from '../training/errors.js';
import { RunFolder } from '../training/run-folder.js';
import { impRun } from './imp.js';
import { pruneRun } from './prune/run.js';
import type { PruneSettings } from './prune/settings.js';
import { tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from './testing/tiny.js';
import { trainRun } from './train-run.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const dense = (): string => at('dense', 'model.safetensors');

/** Leaves a PNG whole to the eye of whoever checks it before the run begins: its pixels cannot be decompressed. */
function spoilPixels(path: string): void {
  const bytes = readFileSync(path);
  const type = bytes.indexOf('IDAT');
  const end = type + 4 + bytes.readUInt32BE(type - 4);
  bytes.fill(255, type + 6, end);
  bytes.writeUInt32BE(crc32(bytes.subarray(type, end)), end);
  writeFileSync(path, bytes);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-failed-start-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  for (const part of ['train', 'test']) {
    await writeTinyImages(at(`broken-${part}`));
    for (const name of readdirSync(at(`broken-${part}`, part, 'left'))) {
      spoilPixels(at(`broken-${part}`, part, 'left', name));
    }
  }
  const { model } = await trainRun(tinyTraining(at('images')), { out: at('dense') });
  model.dispose();
  const lost = loadModel(dense());
  for (const weight of lost.model.parameters()) ops.fill_(weight.detach(), 1e38);
  mkdirSync(at('lost'));
  saveModel(at('lost', 'model.safetensors'), lost.model, lost.info);
  lost.model.dispose();
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('a run that fails before its first step', () => {
  const doomed: Partial<PruneSettings> = {
    method: 'rsst',
    rsst: { units: 'doomed', epochs: 1 },
    recipe: tinyRecipe,
  };

  it.each([
    [
      'its images for the first measurement are broken',
      'dense',
      'broken-test',
      {},
      'cannot be decoded',
    ],
    [
      'its images for the first training are broken',
      'dense',
      'broken-train',
      doomed,
      'cannot be decoded',
    ],
    ['the loss of its model is no number', 'lost', 'images', {}, 'got a loss of NaN'],
  ] as const)('leaves nothing of a pruning as %s', async (_why, model, images, changes, why) => {
    const settings = tinyPruning(at(model, 'model.safetensors'), at(images), changes);
    const out = at('new', 'folders', 'run');
    await expect(pruneRun(settings, { out })).rejects.toThrow(why);
    expect(existsSync(at('new'))).toBe(false);
    const run = await pruneRun(tinyPruning(dense(), at('images')), { out });
    run.model.dispose();
    expect(run.finished).toBe(true);
    rmSync(at('new'), { recursive: true });
  });

  it('leaves nothing of a training but the folder that was there', async () => {
    mkdirSync(at('empty'));
    await expect(trainRun(tinyTraining(at('broken-train')), { out: at('empty') })).rejects.toThrow(
      'cannot be decoded',
    );
    expect(readdirSync(at('empty'))).toEqual([]);
  });

  it('leaves nothing of imp', async () => {
    const plan = (images: string) => ({
      arch: 'mamba_nano',
      model: tinyTraining(images).model,
      dense: tinyTraining(images),
      prune: tinyPruning(at('imp', 'dense', 'model.safetensors'), images),
    });
    await expect(impRun(plan(at('broken-train')), { out: at('imp') })).rejects.toThrow(
      'cannot be decoded',
    );
    expect(existsSync(at('imp'))).toBe(false);
  });

  it("leaves nothing of imp with a model of somebody else's", async () => {
    const { model } = loadModel(dense());
    saveSafetensors(at('foreign.safetensors'), model.stateDict());
    model.dispose();
    const plan = (images: string) => ({
      arch: 'mamba_nano',
      model: tinyTraining(images).model,
      prune: tinyPruning(at('foreign.safetensors'), images),
    });
    const out = at('imps', 'foreign');
    await expect(impRun(plan(at('broken-test')), { out })).rejects.toThrow('cannot be decoded');
    expect(existsSync(at('imps'))).toBe(false);
  });
});

/** Names and contents of all files below a folder. */
const filesBelow = (path: string) =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .sort()
    .map((file) => [file, readFileSync(file, 'base64')]);

describe('a run in place of another one', () => {
  it('leaves a pruning as it was where the new one fails before its first measurement', async () => {
    const out = at('replaced-pruning');
    const settings = (images: string) => tinyPruning(dense(), at(images));
    (await pruneRun(settings('images'), { out })).model.dispose();
    const before = filesBelow(out);
    const again = { out, overwrite: true };
    await expect(pruneRun(settings('broken-test'), again)).rejects.toThrow('cannot be decoded');
    expect(filesBelow(out)).toEqual(before);
    (await pruneRun(settings('images'), again)).model.dispose();
    expect(readdirSync(out)).not.toContain('.replaced');
  });

  it('leaves a training as it was where the new one fails before its first step', async () => {
    const out = at('replaced-training');
    const first = await trainRun(tinyTraining(at('images')), { out });
    first.model.dispose();
    const before = filesBelow(out);
    const again = { out, overwrite: true };
    await expect(trainRun(tinyTraining(at('broken-train')), again)).rejects.toThrow(
      'cannot be decoded',
    );
    expect(filesBelow(out)).toEqual(before);
  });

  it('takes its place once the new one has done an epoch', async () => {
    const out = at('replaced-later');
    const settings = tinyTraining(at('images'));
    (await trainRun(settings, { out })).model.dispose();
    const failing = trainRun(settings, {
      out,
      overwrite: true,
      hooks: {
        onStep: ({ epoch }) => {
          if (epoch === 1) expect(existsSync(join(out, '.replaced', 'config.json'))).toBe(true);
          if (epoch !== 2) return;
          expect(existsSync(join(out, '.replaced'))).toBe(false);
          throw new Error('no more');
        },
      },
    });
    await expect(failing).rejects.toThrow('no more');
    expect(RunFolder.open(out).readMetrics()).toHaveLength(1);
  });

  it('still brings the first one back after a process that was killed in between', async () => {
    const out = at('replaced-twice');
    (await trainRun(tinyTraining(at('images')), { out })).model.dispose();
    const before = filesBelow(out);
    const killed = RunFolder.create(
      out,
      { command: 'train', args: [], seed: 0 },
      { overwrite: true },
    );
    rmSync(join(killed.path, 'run.lock'));
    const again = { out, overwrite: true };
    await expect(trainRun(tinyTraining(at('broken-train')), again)).rejects.toThrow(
      'cannot be decoded',
    );
    expect(filesBelow(out)).toEqual(before);
  });
});

/** Aborted from the start: what listens to it stops at its first look. */
const stopped = (out: string) => ({ out, overwrite: true, signal: AbortSignal.abort() });

describe('a run that is stopped in place of another one', () => {
  it('leaves a training as it was before the first step of the new one', async () => {
    const out = at('stopped-training');
    const settings = tinyTraining(at('images'));
    (await trainRun(settings, { out })).model.dispose();
    const before = filesBelow(out);
    await expect(trainRun(settings, stopped(out))).rejects.toThrow(StoppedAtStartError);
    expect(filesBelow(out)).toEqual(before);
    // One that replaces none can be gone on with, as ever.
    const fresh = at('stopped-fresh');
    const { result } = await trainRun(settings, { ...stopped(fresh), overwrite: false });
    expect(result.finished).toBe(false);
    expect(RunFolder.isRun(fresh)).toBe(true);
  });

  it('leaves a training as it was but for the steps of the new one', async () => {
    const out = at('stopped-later');
    const settings = tinyTraining(at('images'));
    (await trainRun(settings, { out })).model.dispose();
    const stop = new AbortController();
    const { result } = await trainRun(settings, {
      out,
      overwrite: true,
      signal: stop.signal,
      hooks: {
        onStep: () => {
          stop.abort();
        },
      },
    });
    expect(result).toMatchObject({ finished: false, steps: 1 });
    expect(readdirSync(out)).not.toContain('.replaced');
    expect(RunFolder.open(out).hasTrained).toBe(true);
  });

  it.each([
    ['that was trained', {}],
    ['without any training', { recipe: { ...tinyRecipe, epochs: 0 } }],
  ])('leaves a pruning %s as it was before the first measurement', async (_, changes) => {
    const out = at(`stopped-pruning-${Object.keys(changes).length}`);
    const settings = tinyPruning(dense(), at('images'), changes);
    (await pruneRun(settings, { out })).model.dispose();
    const before = filesBelow(out);
    await expect(pruneRun(settings, stopped(out))).rejects.toThrow(
      `Stopped before anything was done: ${out} is as it was before.`,
    );
    expect(filesBelow(out)).toEqual(before);
  });
});

describe('a run that fails later', () => {
  it('keeps what can be gone on with', async () => {
    const settings = tinyTraining(at('images'));
    const failing = trainRun(settings, {
      out: at('later'),
      hooks: {
        onStep: ({ epoch }) => {
          if (epoch === 2) throw new Error('no more');
        },
      },
    });
    await expect(failing).rejects.toThrow('no more');
    expect(RunFolder.open(at('later')).readMetrics()).toHaveLength(1);
    const { model, result } = await trainRun(settings, { out: at('later'), resume: true });
    model.dispose();
    expect(result.finished).toBe(true);
  });

  it('keeps the steps of a training that diverged', async () => {
    const settings = tinyTraining(at('images'));
    const recipe = { ...settings.recipe, lr: 1e6, optimizer: 'sgd' } as const;
    await expect(trainRun({ ...settings, recipe }, { out: at('diverged') })).rejects.toThrow(
      TrainingDivergedError,
    );
    expect(existsSync(at('diverged', 'config.json'))).toBe(true);
  });
});
