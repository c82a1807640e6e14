/** The batch size of a pruning run that is to be found: by the steps of its own trainings. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, zeros } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ImageModel } from '../../models/image-model.js';
import { saveModel } from '../../models/model-file.js';
import { createModel } from '../../models/registry.js';
import { RunFolder } from '../../training/run-folder.js';
import type { LossTerm } from '../../training/hooks.js';
import { modelInfoOf, openData } from '../fit.js';
import { side, tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from '../testing/tiny.js';
import { trainRun } from '../train-run.js';
import { pruneRun } from './run.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-auto-batch-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  manualSeed(1);
  const { info } = await openData({ dataset: 'folder', data: at('images'), imageSize: side });
  const sizes = { dModel: 8, depth: 1, dState: 2, patchSize: 4, imageSize: side, channels: 3 };
  const model = createModel('mamba_nano', { ...sizes, numClasses: 2 });
  saveModel(at('dense.safetensors'), model, modelInfoOf(info, []));
  model.dispose();
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** A loss term that the device has memory for with so many images. */
function greedy(room: number): { term: LossTerm; sizes: number[] } {
  const sizes: number[] = [];
  const compute: LossTerm['compute'] = ({ images }) => {
    sizes.push(images.size(0));
    if (images.size(0) > room) throw new Error('CUDA out of memory. Tried to allocate 2.00 GiB');
    return zeros([]);
  };
  return { term: { name: 'greedy', compute }, sizes };
}

describe('the batch size of a pruning run', () => {
  it('is one that the hooks of the regularised training and of the last one have memory for', async () => {
    const { term, sizes } = greedy(5);
    const notes: string[] = [];
    const settings = tinyPruning(at('dense.safetensors'), at('images'), {
      method: 'rsst',
      rsst: { epochs: 1 },
      recipe: { ...tinyRecipe, epochs: 1 },
      distill: { weight: 0.5 },
    });
    const { model, finished } = await pruneRun(settings, {
      out: at('run'),
      autoBatch: true,
      hooks: { extraLosses: [term], onNote: (note) => notes.push(note) },
    });
    model.dispose();
    expect(finished).toBe(true);
    // A step of the regularised training that fails, two of it that do not, two of the training with a teacher.
    expect(sizes.slice(0, 5)).toEqual([8, 4, 4, 4, 4]);
    expect(Math.max(...sizes.slice(5))).toBe(4);
    expect(notes.filter((note) => note.includes('do not fit'))).toEqual([
      'Batches of 8 images do not fit into the memory of cpu: training with 4, and with a learning rate of 0.0015 ' +
        'in place of 0.003, in proportion, over the same epochs.',
    ]);
    const stored = RunFolder.open(at('run')).config['settings'];
    expect(stored).toMatchObject({ recipe: { batchSize: 4, lr: 0.0015 } });
  });

  it('is one that a norm which weighs doomed units has memory for too, and the norm is plain again', async () => {
    const weighing: (boolean | undefined)[] = [];
    const sizes = { baseWidth: 8, blocks: [1], stemStride: 1, imageSize: side, channels: 3 };
    const vmamba = createModel('vmamba_nano', { ...sizes, numClasses: 2 });
    const { info } = await openData({ dataset: 'folder', data: at('images'), imageSize: side });
    saveModel(at('vmamba.safetensors'), vmamba, modelInfoOf(info, []));
    vmamba.dispose();
    const settings = tinyPruning(at('vmamba.safetensors'), at('images'), {
      method: 'rsst',
      rsst: { units: 'doomed', epochs: 1 },
      recipe: { ...tinyRecipe, epochs: 1 },
    });
    const seen: LossTerm = {
      name: 'seen',
      compute: ({ model }) => {
        weighing.push((model as ImageModel).normOver?.('layers.0.blocks.0.ssm')?.isWeighing);
        return zeros([]);
      },
    };
    const { model } = await pruneRun(settings, {
      out: at('weighed'),
      autoBatch: true,
      hooks: { extraLosses: [seen] },
    });
    model.dispose();
    // Two steps of each training are tried: the second begins plain. Then come the four steps of each.
    const tried = [true, true, false, false];
    const trained = [true, true, true, true, false, false, false, false];
    expect(weighing).toEqual([...tried, ...trained]);
  });

  it('is not looked for in a run that has one', async () => {
    const control = { out: at('run'), autoBatch: true, resume: true };
    const settings = tinyPruning(at('dense.safetensors'), at('images'));
    await expect(pruneRun(settings, control)).rejects.toThrow(
      'prune: got `autoBatch` with `resume`, expected one of the two: a run keeps the batch size that it began with. ' +
        'Leave `autoBatch` out, or start a new run.',
    );
    await expect(trainRun(tinyTraining(at('images')), control)).rejects.toThrow(
      'train: got `autoBatch` with `resume`',
    );
  });
});
