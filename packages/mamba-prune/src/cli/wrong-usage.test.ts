// Slips of the hand that are likely: each gets one sentence with what was given, what was expected and what to do.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, saveSafetensors } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createModel } from '../models/registry.js';
import { side, writeTinyImages } from '../workflows/testing/tiny.js';
import { writeModelFiles } from './testing/model-files.js';
import { runCli } from './testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-wrong-usage-'));
const at = (...path: string[]): string => join(folder, ...path);
const words = (text: string): string[] => text.split(' ');
const data = (): string[] => ['--dataset', 'folder', '--data', at('images')];
const ours = (): string => at('ours.safetensors');

beforeAll(async () => {
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  writeModelFiles(folder);
  manualSeed(1);
  const sizes = { dModel: 40, depth: 1, heads: 5, imageSize: side, patchSize: 4, numClasses: 2 };
  const vit = createModel('vit_tiny', sizes);
  saveSafetensors(at('vit.safetensors'), vit.stateDict(), {});
  vit.dispose();
  const cut = await runCli(['prune', ours(), '--rate', '0.5', ...data(), '--out', at('pruned')]);
  expect(cut.status, cut.stderr).toBe(0);
}, 60_000);
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const further = (size: number): string[] => [
  'train',
  '--from',
  ours(),
  ...data(),
  ...words(`--image-size ${size} --epochs 1 --batch-size 16 --out`),
  at('never'),
];

describe('a command that is given', () => {
  it.each<[what: string, argv: () => string[], message: RegExp]>([
    [
      'a folder of images that is not there',
      () => ['eval', ours(), '--dataset', 'folder', '--data', at('gone')],
      /gone does not exist, expected a folder with train\/CLASS\/IMAGE/,
    ],
    [
      'a file as the folder of images',
      () => ['eval', ours(), '--dataset', 'folder', '--data', at('net.pth')],
      /net\.pth is a file, expected a folder with train\/CLASS\/IMAGE/,
    ],
    [
      'a run to resume that is not there',
      () => ['train', '--resume', '--out', at('gone')],
      /gone does not exist, expected a run\. Give the folder of a run\./,
    ],
    [
      'a run to resume with another method',
      () => ['prune', '--resume', ...words('--method rsst --reg-epochs 1 --out'), at('pruned')],
      /began with: --method: got "rsst", expected "oneshot"\. Give what/,
    ],
    [
      'a run to resume with another size',
      () => ['prune', '--resume', ...words('--depth 3 --out'), at('pruned')],
      /began with: --depth: got 3, expected nothing\. Give what/,
    ],
    [
      'batches to score with where nothing looks at images',
      () => ['sensitivity', ours(), ...data(), ...words('--importance l1 --score-batches 3')],
      /got --score-batches, which belongs to --importance taylor, .* or --score activation\. Leave it out\./,
    ],
    [
      'images of another size than a model of ours is for',
      () => further(16),
      /It was made for images of 8 px: give such ones \(--image-size resizes those of folders\)\.$/m,
    ],
    [
      'a model of ours whose positions are to be resampled',
      () => [...further(16), '--resample-positions'],
      /got --resample-positions for a file that describes itself.*Leave it out, and use images of 8 px\./,
    ],
    [
      'a dense model that does not say everything',
      () => [
        'compare',
        '--dense',
        at('vit.safetensors'),
        ...data(),
        ...words('--rate 0.5 --seeds 1 --out'),
        at('never'),
      ],
      /or the width of one as --head-dim\. --dense takes a file as it is: say this to '.*export .*--dense described\.safetensors\./,
    ],
  ])('%s says so', async (_, argv, message) => {
    const { status, stderr } = await runCli(argv());
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/ENOENT|ENOTDIR|^ +at /m);
    expect(status).toBeGreaterThan(0);
  });
});
