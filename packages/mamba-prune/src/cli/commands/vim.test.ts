// A Vim on the command line: trained, cut by each method, evaluated, exported, on images of a few pixels.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setNumThreads } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { side, writeTinyImages } from '../../workflows/testing/tiny.js';
import { loadModel } from '../../models/model-file.js';
import { createModel } from '../../models/registry.js';
import { writeStateDict } from '../testing/model-files.js';
import { runCli } from '../testing/run-cli.js';

setNumThreads(1);

let folder = '';
const at = (...names: string[]): string => join(folder, ...names);
const data = (): string[] => `--dataset folder --data ${at('images')} --device cpu`.split(' ');
const training = (): string[] => [
  ...data(),
  ...'--epochs 1 --batch-size 4 --augment none'.split(' '),
];

async function json(argv: readonly string[]): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await runCli([...argv, '--json']);
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-vim-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const sizes = `--d-model 16 --depth 2 --patch 4 --stride 2 --image-size ${side}`.split(' ');
  const more = ['--drop-path', '0.1', '--precision', 'bf16'];
  await json([
    'train',
    '--arch',
    'vim_nano',
    ...sizes,
    ...more,
    ...training(),
    '--out',
    at('dense'),
  ]);
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('a Vim on the command line', () => {
  it.each([
    ['oneshot', ['--target', 'both', '--compensate', '--compensate-images', '10']],
    ['oneshot', ['--target', 'all']],
    ['refill', ['--rounds', '2', '--fillback', '0.1']],
    ['rsst', []],
  ])('is cut by %s %j, and the file has the widths that are left', async (method, more) => {
    const out = at(`${method}${more.join('')}`);
    const half = ['--method', method, '--rate', '0.5', ...more, ...training()];
    await json(['prune', at('dense'), ...half, '--out', out]);
    const dense = await json(['inspect', at('dense')]);
    const cut = await json(['inspect', out]);
    expect(cut['parameters']).toBeLessThan(0.8 * (dense['parameters'] as number));
    expect(cut['macs']).toBeLessThan(0.9 * (dense['macs'] as number));
  });

  it('of a state dict that does not name its model is taken for one where --arch says so', async () => {
    const model = createModel('vim_nano', { imageSize: 32 });
    writeStateDict(at('plain.pth'), model, 'model');
    model.dispose();
    const inspect = ['inspect', at('plain.pth'), '--image-size', '32'];
    const { status, stderr } = await runCli(inspect);
    expect(status).toBe(2);
    expect(stderr.replaceAll(/\s+/g, ' ')).toMatch(
      /models derived from it \(VideoMamba, R-MeeTo, Famba-V and others\) have the same tensors.*say so with --arch vim_nano\./,
    );
    expect(await json([...inspect, '--arch', 'vim_nano'])).toMatchObject({ arch: 'vim_nano' });
  });

  it('is trained and cut in rounds by imp, its patches overlapping', async () => {
    const sizes = '--d_model 16 --depth 1 --patch 4 --stride 2 --image_size 8'.split(' ');
    const training =
      '--epochs 1 --warmup 0 --batch_size 8 --pruning_times 1 --rate 0.5 --mamba_structured'.split(
        ' ',
      );
    const imp = ['imp', '--arch', 'vim_nano', ...sizes, ...training, ...data()];
    await json([...imp, '--save_dir', at('imp')]);
    expect(loadModel(at('imp', 'model.safetensors')).model.config).toMatchObject({
      patchSize: 4,
      stride: 2,
      widths: { 'layers.0.ssm': 16 },
    });
  });

  it('is called by its sizes and its stride where it is inspected, and on its card', async () => {
    const label = 'vim_nano (d_model 16, depth 2, stride 2)';
    expect((await runCli(['inspect', at('dense')])).stdout.replaceAll(/\s+/g, ' ')).toContain(
      `model ${label}, input 3x8x8, 2 classes`,
    );
    await json(['export', at('dense'), '--format', 'hf', '--out', at('hub')]);
    expect(readFileSync(at('hub', 'README.md'), 'utf8')).toContain(`This is a ${label}, which`);
  });

  it('is cut to a budget', async () => {
    const budget = ['--target-macs', '0.7x'];
    await json(['prune', at('dense'), ...budget, ...training(), '--out', at('budget')]);
    const [dense, cut] = await Promise.all(
      ['dense', 'budget'].map((name) => json(['inspect', at(name)])),
    );
    expect(cut?.['macs']).toBeLessThanOrEqual(0.7 * (dense?.['macs'] as number));
  });

  it('has no MLP to be cut, which is said', async () => {
    const out = at('none');
    const argv = ['prune', at('dense'), '--mlp-rate', '0.5', ...training(), '--out', out];
    const { status, stderr } = await runCli(argv);
    expect(status).toBe(2);
    expect(stderr).toMatch(/mlp/);
    expect(existsSync(at('none'))).toBe(false);
  });

  it('is evaluated, timed, its sensitivity measured, and exported', async () => {
    expect(await json(['eval', at('dense'), ...data()])).toHaveProperty('accuracy');
    await json([
      'bench',
      at('dense'),
      '--device',
      'cpu',
      '--batch',
      '2',
      '--runs',
      '1',
      '--min-time',
      '1',
    ]);
    await json(['sensitivity', at('dense'), ...data(), '--images', '8']);
    await json(['export', at('dense'), '--out', at('dense.onnx'), '--scan-op', 'linear-attention']);
    expect(existsSync(at('dense.onnx'))).toBe(true);
  });
});
