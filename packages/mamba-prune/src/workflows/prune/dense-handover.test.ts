// One learning rate from the dense training to the end of the pruning, by a dense training that does not decay.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCli } from '../../cli/testing/run-cli.js';
import { loadModel } from '../../models/model-file.js';
import { readCheckpoint } from '../../training/checkpoint.js';
import { RunFolder } from '../../training/run-folder.js';
import type { EpochMetrics } from '../../training/metrics-lines.js';
import { writeTinyImages } from '../testing/tiny.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-handover-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** As it is typed. */
const words = (line: string): string[] =>
  line.split(' ').map((word) => word.replace('@', `${folder}/`));

const recipe = '--dataset folder --data @images --batch-size 8 --lr 0.004';

/** Of the last step of every epoch, which has four. */
const ratesOf = (run: string): number[] =>
  RunFolder.open(at(run))
    .readMetrics()
    .filter((line): line is EpochMetrics => line.type === 'epoch')
    .map(({ lr }) => lr);

describe('a pruning that goes on with a dense training', () => {
  it('has its learning rate, which falls in the pruning alone, and its weights', async () => {
    const sizes = '--arch mamba_nano --d-model 8 --depth 1 --image-size 8';
    const flat = '--epochs 2 --schedule constant --warmup-epochs 0.5';
    const dense = await runCli(words(`train ${sizes} ${recipe} ${flat} --out @dense`));
    expect(dense.status, dense.stderr).toBe(0);
    const method = '--method rsst --reg-units doomed --rate 0.5';
    const through = '--lr-through --warmup-epochs 0 --reg-epochs 1 --epochs 2';
    const pruned = await runCli(words(`prune @dense ${recipe} ${method} ${through} --out @pruned`));
    expect(pruned.status, pruned.stderr).toBe(0);
    const [first, second] = [ratesOf('dense'), ratesOf('pruned')];
    expect(first).toEqual([0.004, 0.004]);
    // A cosine over all twelve steps, whose first is that of the dense training.
    const cosine = (step: number) => 0.002 * (1 + Math.cos((Math.PI * step) / 12));
    expect(cosine(0)).toBe(first[1]);
    expect(second).toEqual([3, 7, 11].map((step) => expect.closeTo(cosine(step), 12) as number));
    // The last weights of the dense training, which are what is pruned.
    const { model } = loadModel(at('dense', 'model.safetensors'));
    const { tensors } = readCheckpoint(RunFolder.open(at('dense')).lastCheckpoint);
    for (const [name, tensor] of model.stateDict()) {
      const stored = tensors.get(`model.${name}`)?.data.slice().buffer as ArrayBuffer;
      expect(tensor.toNumbers(), name).toEqual([...new Float32Array(stored)]);
    }
    model.dispose();
  });
});
