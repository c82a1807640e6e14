// train and prune --recipe-from: the recipe of another run.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RecipeSettings } from '../../workflows/settings.js';
import { writeTinyImages } from '../../workflows/testing/tiny.js';
import { runCli } from '../testing/run-cli.js';

let folder: string;
const at = (...path: string[]): string => join(folder, ...path);
const common = ['--threads', '1', '--device', 'cpu'];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mp-recipe-from-'));
  mkdirSync(at('images'));
  await writeTinyImages(at('images'));
  const flags = ['--epochs', '2', '--batch-size', '8', '--optimizer', 'muon', '--lr', '2e-3'];
  const more = ['--warmup-epochs', '1', '--mixup', '0.3', '--plain-epochs', '1', '--seed', '5'];
  await run('dense', 'train', ...data(), ...sizes, ...flags, ...more, '--test-images', '8');
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const sizes = ['--arch', 'mamba_nano', '--d-model', '8', '--depth', '2', '--d-state', '3'];
const data = () => ['--dataset', 'folder', '--data', at('images'), '--image-size', '8'];

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ');

async function run(out: string, ...args: string[]): Promise<RecipeSettings> {
  const outcome = await runCli([...args, ...common, '--out', at(out)]);
  expect(oneLine(outcome.stderr)).not.toContain('mamba-prune:');
  expect(outcome.status).toBe(0);
  const config = JSON.parse(readFileSync(at(out, 'config.json'), 'utf8')) as {
    settings: { recipe: RecipeSettings };
  };
  return config.settings.recipe;
}

async function refused(...args: string[]): Promise<string> {
  const outcome = await runCli([...args, ...common]);
  expect(outcome.status).not.toBe(0);
  return oneLine(outcome.stderr);
}

const recipe = { batchSize: 8, optimizer: 'muon', lr: 2e-3, mixup: 0.3 };

describe('--recipe-from', () => {
  it('trains on after a cut as the model was trained; warm-up and plain epochs keep their share', async () => {
    const flags = ['--recipe-from', at('dense'), '--epochs', '4', '--rate', '0.5'];
    const found = await run('pruned', 'prune', at('dense'), ...flags);
    expect(found).toMatchObject({ ...recipe, epochs: 4, warmupEpochs: 2, plainEpochs: 2, seed: 0 });
    // How many images a run looks at is its own.
    expect(found).not.toHaveProperty('maxTestImages');
  });

  it('trains another model by it, and by what is typed beside it', async () => {
    const flags = ['--recipe-from', at('dense', 'model.safetensors'), '--lr', '1e-3'];
    const found = await run('other', 'train', ...data(), ...sizes, ...flags);
    expect(found).toMatchObject({ ...recipe, epochs: 2, warmupEpochs: 1, lr: 1e-3 });
  });

  it('refuses what has no recipe, a preset beside it, and a run that has its own', async () => {
    const from = ['--recipe-from', at('images')];
    expect(await refused('prune', at('dense'), ...from, '--out', at('x'))).toMatch(
      /--recipe-from: got .*images, expected the folder of a run of train or prune/,
    );
    const both = ['--recipe-from', at('dense'), '--preset', 'best'];
    expect(await refused('train', ...data(), ...both, '--out', at('x'))).toMatch(
      /--recipe-from.*--preset/,
    );
    const again = ['--resume', '--recipe-from', at('dense')];
    const keeps = 'got --recipe-from with --resume: the run keeps the recipe that it began with.';
    expect(await refused('train', ...again, '--out', at('dense'))).toContain(keeps);
  });
});
