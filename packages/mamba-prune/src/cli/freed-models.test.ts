// Commands that run in one process after another: every model that one opens is freed, whether it ends well or by an error. A
// large one takes seconds to open.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SafetensorsFile } from '@mamba-prune/libtorch/files';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { mambaFamily } from '../models/mamba/family.js';
import { VisionMamba } from '../models/mamba/model.js';
import { openModelFile } from '../workflows/open-model-file.js';
import { writeTinyImages } from '../workflows/testing/tiny.js';
import { smallFlags, writeModelFiles } from './testing/model-files.js';
import { runCli } from './testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-freed-'));
const at = (...path: string[]): string => join(folder, ...path);
const words = (text: string): string[] => text.split(' ');
const data = (): string[] => ['--dataset', 'folder', '--data', at('images')];
const ours = (): string => at('ours.safetensors');

beforeAll(async () => {
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  writeModelFiles(folder);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** Models that were made and not freed. */
async function left(
  argv: readonly string[],
): Promise<{ status: number; made: number; left: number }> {
  const create = vi.spyOn(mambaFamily, 'create');
  const dispose = vi.spyOn(VisionMamba.prototype, 'dispose');
  try {
    const { status } = await runCli(argv);
    const freed = new Set<unknown>(dispose.mock.contexts);
    const models = create.mock.results.map(({ value }) => value as unknown);
    return { status, made: models.length, left: models.filter((each) => !freed.has(each)).length };
  } finally {
    create.mockRestore();
    dispose.mockRestore();
  }
}

const training = words('--epochs 1 --batch-size 16 --image-size 8');
const image = (): string => at('images', 'test', 'left', '0.png');

describe('prune', () => {
  it('opens the model of a new run once', async () => {
    const read = vi.spyOn(SafetensorsFile, 'open');
    try {
      const reads = (): number => read.mock.calls.filter(([path]) => path === ours()).length;
      (await openModelFile(ours())).model.dispose();
      const once = reads();
      expect(once).toBeGreaterThan(0);
      const { status } = await runCli(['prune', ours(), '--rate', '0.5', '--out', at('once')]);
      expect(status).toBe(0);
      expect(reads()).toBe(2 * once);
    } finally {
      read.mockRestore();
    }
  });
});

describe('a command', () => {
  it.each<[name: string, argv: () => string[]]>([
    ['inspect', () => ['inspect', ours()]],
    ['eval', () => ['eval', ours(), ...data()]],
    ['predict', () => ['predict', ours(), image()]],
    ['bench', () => ['bench', ours(), ...words('--batch 1 --runs 1 --min-time 0')]],
    ['export', () => ['export', ours(), '--out', at('a.safetensors')]],
    ['export to ONNX', () => ['export', ours(), '--out', at('a.onnx'), ...data()]],
    ['export for the hub', () => ['export', ours(), '--format', 'hf', '--out', at('hub')]],
    ['sensitivity', () => ['sensitivity', ours(), ...data(), ...words('--images 8 --rates 0.5')]],
    ['train', () => ['train', ...smallFlags, ...data(), ...training, '--out', at('trained')]],
    [
      'train --from with a teacher',
      () => [
        'train',
        '--from',
        ours(),
        '--teacher',
        ours(),
        ...data(),
        ...training,
        '--out',
        at('further'),
      ],
    ],
    [
      'train --widths-from',
      () => ['train', '--widths-from', ours(), ...data(), ...training, '--out', at('fresh')],
    ],
    [
      'prune',
      () => ['prune', ours(), ...data(), ...words('--rate 0.5 --epochs 1 --out'), at('pruned')],
    ],
    [
      'imp',
      () => [
        ...words('imp --arch mamba_nano --mamba_structured --d_model 8 --depth 1 --d_state 2'),
        ...data(),
        ...words('--epochs 1 --warmup 0 --pruning_times 1 --batch_size 16 --image_size 8'),
        '--save_dir',
        at('imp'),
      ],
    ],
  ])('%s frees every model', async (_, argv) => {
    const found = await left(argv());
    expect(found).toMatchObject({ status: 0, left: 0 });
    expect(found.made).toBeGreaterThan(0);
  });

  const nowhere = (): string[] => ['--dataset', 'folder', '--data', at('nowhere')];

  it.each<[name: string, argv: () => string[]]>([
    ['eval', () => ['eval', ours(), ...nowhere()]],
    ['sensitivity', () => ['sensitivity', ours(), ...nowhere()]],
    ['export', () => ['export', ours(), '--out', at('b.onnx'), ...nowhere()]],
    [
      'prune',
      () => ['prune', ours(), ...nowhere(), ...words('--rate 0.5 --epochs 1 --out'), at('never')],
    ],
    ['predict', () => ['predict', ours(), at('images')]],
    ['bench', () => ['bench', ours(), at('net.pth'), ...words('--batch 1 --runs 1 --min-time 0')]],
    [
      'train --from',
      () => ['train', '--from', ours(), ...nowhere(), ...training, '--out', at('never')],
    ],
  ])('%s frees every model that it has opened before an error', async (_, argv) => {
    const found = await left(argv());
    expect(found.status).toBeGreaterThan(0);
    expect(found).toMatchObject({ left: 0 });
    expect(found.made).toBeGreaterThan(0);
  });
});
