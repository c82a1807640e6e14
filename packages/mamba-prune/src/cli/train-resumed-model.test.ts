// What is said of a model to a run that has begun, and the message that names what of it is another one.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { side, writeTinyImages } from '../workflows/testing/tiny.js';
import { runCli } from './testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-resumed-model-'));
const at = (...path: string[]): string => join(folder, ...path);
const words = (text: string): string[] => text.split(' ');
const resume = (run: string, flags: readonly string[]) =>
  runCli(['train', '--resume', '--epochs', '2', ...flags, '--out', at(run)]);

beforeAll(async () => {
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const short = [
    '--dataset',
    'folder',
    '--data',
    at('images'),
    ...words(`--epochs 1 --batch-size 16 --image-size ${side}`),
  ];
  for (const [run, model] of [
    ['mamba', words('--arch mamba_nano --d-model 8 --depth 1 --d-state 2')],
    ['vit', words('--arch vit_tiny --d-model 12 --depth 1 --heads 3 --patch 4')],
    ['further', ['--from', at('mamba')]],
  ] as const) {
    const begun = await runCli(['train', ...model, ...short, '--out', at(run)]);
    expect(begun.status, begun.stderr).toBe(0);
  }
}, 60_000);
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('train --resume', () => {
  it.each([
    ['mamba', '--depth 2', '--depth: got 2, expected 1'],
    ['mamba', '--d-model 16', '--d-model: got 16, expected 8'],
    ['mamba', '--arch mamba_tiny', '--arch: got "mamba_tiny", expected "mamba_nano"'],
    ['mamba', '--image-size 16', `--image-size: got 16, expected ${side}`],
    [
      'mamba',
      '--depth 3 --d-model 16',
      '--d-model: got 16, expected 8; --depth: got 3, expected 1',
    ],
    ['vit', '--heads 2', '--heads: got 2, expected 3'],
    ['further', '--depth 2', '--depth: got 2, expected 1'],
    ['further', '--drop-path 0.5', '--drop-path: got 0.5, expected 0'],
  ])('names of %s what was asked for with %s alone', async (run, flags, changes) => {
    const { status, stderr } = await resume(run, words(flags));
    expect(stderr).toContain(`is not the one that the run began with: ${changes}. Give what`);
    expect(status).toBe(2);
  });

  it('refuses what the architecture does not have, with weights to begin with too', async () => {
    const { status, stderr } = await resume('further', ['--heads', '2']);
    expect(stderr).toContain('mamba_nano: got the option --heads, expected some of --scan');
    expect(status).toBe(2);
  });

  it('takes what the run began with', async () => {
    const model = words(`--arch vit_tiny --d-model 12 --heads 3 --image-size ${side}`);
    const { status, stderr } = await resume('vit', model);
    expect(status, stderr).toBe(0);
  });
});
