// For tests: real runs of a model of a thousand parameters, made in seconds.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pruneRun, trainRun } from 'mamba-prune';
import {
  tinyPruning,
  tinyRecipe,
  tinyTraining,
  writeTinyImages,
} from '../../../mamba-prune/src/workflows/testing/tiny.js';

export interface SmallRuns {
  /** Holds `images`, and `runs` with dense, oneshot, refill and rsst. */
  readonly folder: string;
  readonly runs: string;
  readonly images: string;
  remove(): void;
}

/** A dense training of three epochs, and what each method makes of it. */
export async function makeSmallRuns(): Promise<SmallRuns> {
  const folder = mkdtempSync(join(tmpdir(), 'mp-report-'));
  const [images, runs] = [join(folder, 'images'), join(folder, 'runs')];
  mkdirSync(runs);
  await writeTinyImages(images);
  const dense = join(runs, 'dense');
  const args = ['train', '--arch', 'mamba_nano', '--out', 'it is here'];
  (await trainRun(tinyTraining(images), { out: dense, args })).model.dispose();
  const source = join(dense, 'model.safetensors');
  const recipe = { ...tinyRecipe, epochs: 1 };
  const prune = async (name: string, changes: Parameters<typeof tinyPruning>[2]): Promise<void> => {
    const run = await pruneRun(tinyPruning(source, images, changes), { out: join(runs, name) });
    run.model.dispose();
  };
  await prune('oneshot', { recipe, ranking: 'global' });
  await prune('refill', {
    method: 'refill',
    refill: { fillback: 0.25 },
    rounds: 2,
    recipe,
    rates: { ssm: 0.5, mlp: 0.5 },
  });
  await prune('rsst', {
    method: 'rsst',
    rsst: { units: 'doomed', strength: 100, schedule: 'constant', epochs: 2 },
    recipe,
  });
  return {
    folder,
    runs,
    images,
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
