// The tour with a model that takes seconds, on the images that come with the package.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { jsonOf } from '../cli/commands/quickstart.js';
import {
  type QuickstartPreset,
  type QuickstartReport,
  quickstart,
  quickstartPreset,
} from './quickstart.js';
import type { RunState } from './run-state.js';

let folder = '';
const recipe = {
  epochs: 1,
  batchSize: 16,
  maxTrainImages: 32,
  maxTestImages: 20,
  seed: 0,
} as const;
const preset: QuickstartPreset = {
  ...quickstartPreset,
  train: {
    ...quickstartPreset.train,
    model: { patchSize: 14, dModel: 8, depth: 1, dState: 2 },
    recipe,
  },
  finetune: recipe,
  bench: { batches: [1], rounds: 1, minRoundMs: 1 },
};

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-tour-'));
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('the quickstart', () => {
  it('chooses units by the images, and uses what is there of before as it is', async () => {
    const go = async (fresh = false) => {
      const states: Record<string, RunState> = {};
      const hooks = {
        onStep: (step: string, state: RunState) => {
          states[step] = state;
        },
      };
      const report = await quickstart({ out: folder, fresh }, preset, hooks);
      return { states, pruning: report?.pruning };
    };
    const first = await go();
    // Machines get units as the file of the run has them.
    const file = JSON.parse(readFileSync(join(folder, 'pruned', 'pruning.json'), 'utf8')) as object;
    expect(await jsonOf({ pruning: first.pruning } as QuickstartReport)).toEqual({ pruning: file });
    expect(first.pruning).toMatchObject({ importance: 'taylor', importanceReason: 'images' });
    expect((await go()).states).toMatchObject({ train: 'finished', prune: 'finished' });
    // As of a version whose default was l1 and stood in the settings.
    const path = join(folder, 'pruned', 'config.json');
    const config = JSON.parse(readFileSync(path, 'utf8')) as { settings: Record<string, unknown> };
    const settings = { ...config.settings, importance: 'l1', importanceReason: undefined };
    writeFileSync(path, JSON.stringify({ ...config, settings }));
    expect((await go()).states).toMatchObject({ prune: 'finished' });
    expect((await go(true)).pruning).toMatchObject({ importance: 'taylor' });
  });

  it('prunes again where it was stopped after the training of another dense model', async () => {
    const out = join(folder, 'stopped');
    await quickstart({ out }, preset);
    const other = { ...preset, train: { ...preset.train, recipe: { ...recipe, seed: 1 } } };
    const stop = new AbortController();
    const go = async (onStep: (step: string, state: RunState) => void) =>
      quickstart({ out, signal: stop.signal }, other, { onStep });
    await expect(
      go((step) => {
        if (step === 'prune') stop.abort();
      }),
    ).rejects.toThrow(`${join(out, 'pruned')} is as it was before`);
    const states: Record<string, RunState> = {};
    const again = { onStep: (step: string, state: RunState) => (states[step] = state) };
    await quickstart({ out }, other, again);
    expect(states).toMatchObject({ train: 'finished', prune: 'replaced' });
  });
});
