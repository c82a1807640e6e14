// Commands that write and take ONNX files, on a model and images of a few pixels.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { saveModel } from '../../models/model-file.js';
import { createModel } from '../../models/registry.js';
import { side, writeTinyImages } from '../../workflows/testing/tiny.js';
import { runCli } from '../testing/run-cli.js';

let folder = '';
const at = (name: string): string => join(folder, name);
const data = (): string[] => ['--dataset', 'folder', '--data', at('images')];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-onnx-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  manualSeed(3);
  const info = {
    dataset: 'folder',
    classes: ['left', 'right'],
    mean: [0.5, 0.5, 0.5],
    std: [0.25, 0.25, 0.25],
    history: [],
  };
  const common = { imageSize: side, numClasses: 2 };
  const mamba = { ...common, dModel: 8, depth: 2, dState: 2 };
  saveModel(at('mamba.safetensors'), createModel('mamba_nano', mamba), info);
  const resnet = createModel('resnet20', { ...common, baseWidth: 4, blocks: [1] });
  saveModel(at('resnet.safetensors'), resnet, info);
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

async function json(argv: readonly string[]): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await runCli([...argv, '--json']);
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

describe('export to ONNX', () => {
  it('takes the format from the name of the file, and says what was checked', async () => {
    const out = at('plain.onnx');
    const shown = await runCli(['export', at('mamba.safetensors'), '--out', out]);
    expect(shown.status, shown.stderr).toBe(0);
    expect(shown.stdout).toMatch(/checked +by onnxruntime, 4 images \(made-up images\)/);
    const again = await json(['export', at('mamba.safetensors'), '--out', out, '--overwrite']);
    expect(again).toMatchObject({
      format: 'onnx',
      precision: 'float32',
      verifiedOn: 'made-up images',
      verification: { images: 4, agreement: 1 },
      accuracy: null,
    });
  });

  it('measures the accuracy that fewer bits cost, where a data set is given', async () => {
    const argv = ['export', at('mamba.safetensors'), ...data(), '--quantize', 'int8'];
    const result = await json([...argv, '--out', at('int8.onnx'), '--images', '10']);
    expect(result).toMatchObject({
      precision: 'int8',
      verifiedOn: 'test images of folder',
      accuracy: [
        { model: 'libtorch, float32', images: 10, fileBytes: null },
        { model: 'ONNX, float32', images: 10 },
        { model: 'ONNX, int8', images: 10, fileBytes: result['fileBytes'] },
      ],
    });
    const shown = await runCli([...argv, '--out', at('int8.onnx'), '--overwrite']);
    expect(shown.stdout).toMatch(/ONNX, int8 +\d+\.\d\d% +[\d.]+ +[\d.]+ KiB/);
    expect(shown.stdout).toContain('16 test images');
  });

  it('refuses what does not fit together, and writes nothing', async () => {
    const cases = [
      [
        ['mamba.safetensors', '--format', 'safetensors', '--quantize', 'int8'],
        /--quantize: belongs to --format onnx/,
      ],
      [
        ['resnet.safetensors', '--format', 'onnx', '--scan-op', 'scan'],
        /--scan-op: resnet20 has no scan/,
      ],
      [
        ['resnet.safetensors', '--format', 'onnx', '--quantize', 'int8-dynamic'],
        /layers are convolutions/,
      ],
      [
        ['mamba.safetensors', '--format', 'onnx', '--scan-op', 'loop'],
        /Expected scan-adaptive, scan or linear-attention/,
      ],
    ] as const;
    for (const [[model, ...options], message] of cases) {
      const { status, stderr } = await runCli([
        'export',
        at(model),
        ...options,
        '--out',
        at('never'),
      ]);
      expect(stderr).toMatch(message);
      expect(status).toBe(2);
    }
    expect(existsSync(at('never'))).toBe(false);
  });
});

describe('commands that take an ONNX file', () => {
  it.each([
    ['int8', 'For 8-bit products export it with --quantize int8-dynamic.'],
    ['bf16', 'No ONNX file that export writes computes in bf16; for 16 bits'],
  ])('say that %s does not reach it', async (asked, advice) => {
    const [file, image] = [at('precision.onnx'), at(join('images', 'test', 'left', '0.png'))];
    await json(['export', at('mamba.safetensors'), '--out', file, '--no-verify', '--overwrite']);
    const told = `computes in what the file says, which is fp32, whatever --precision is. ${advice}`;
    for (const argv of [
      ['eval', file, ...data(), '--device', 'cpu'],
      ['predict', file, image, '--device', 'cpu'],
    ]) {
      const { status, stderr } = await runCli([...argv, '--precision', asked]);
      expect(status, stderr).toBe(0);
      expect(stderr.replace(/\s+/g, ' ')).toContain(told);
      expect((await runCli(argv)).stderr).not.toContain('--precision');
      // What stderr notes stands in the JSON as well.
      const result = await json([...argv, '--precision', asked]);
      expect(result).toMatchObject({ precision: 'fp32', notes: [expect.stringContaining(told)] });
    }
  });

  it('say what it computes in', async () => {
    const file = at('integers.onnx');
    const argv = ['export', at('mamba.safetensors'), '--quantize', 'int8-dynamic', '--out', file];
    await json([...argv, '--no-verify']);
    const { stdout } = await runCli(['eval', file, ...data()]);
    expect(stdout).toMatch(/precision +int8/);
    expect(await json(['eval', file, ...data()])).toMatchObject({ precision: 'int8', notes: [] });
  });

  it('say that a profile does not look into it', async () => {
    const [model, file] = [at('mamba.safetensors'), at('profiled.onnx')];
    await json(['export', model, '--out', file, '--no-verify']);
    const argv = ['bench', '--batch', '1', '--runs', '1', '--min-time', '0', '--profile'];
    const told = /profiled\.onnx has no profile: onnxruntime computes it\./;
    const { status, stderr } = await runCli([...argv, file, '--device', 'cpu']);
    expect(status, stderr).toBe(0);
    expect(stderr.replace(/\s+/g, ' ')).toMatch(told);
    const ours = await runCli([...argv, model, '--device', 'cpu']);
    expect(ours.stderr.replace(/\s+/g, ' ')).not.toMatch(/has no profile/);
  });

  it('evaluate it as the model it was made from', async () => {
    const out = at('eval.onnx');
    await json(['export', at('mamba.safetensors'), '--out', out, '--target', 'webgpu']);
    const [own, onnx] = [
      await json(['eval', at('mamba.safetensors'), ...data(), '--per-class']),
      await json(['eval', out, ...data(), '--per-class']),
    ];
    expect(onnx).toMatchObject({ runtime: 'onnxruntime', images: 16, accuracy: own['accuracy'] });
    expect(onnx['classAccuracy']).toEqual(own['classAccuracy']);
    expect(onnx['loss']).toBeCloseTo(own['loss'] as number, 5);
  });

  it('classify image files with it', async () => {
    const out = at('predict.onnx');
    await json(['export', at('mamba.safetensors'), '--out', out]);
    const image = at(join('images', 'test', 'left', '0.png'));
    const top = async (model: string) => {
      const { predictions } = await json(['predict', model, image]);
      return (predictions as { top: { name: string; probability: number }[] }[])[0]?.top;
    };
    const [own, onnx] = [await top(at('mamba.safetensors')), await top(out)];
    expect(onnx?.map(({ name }) => name)).toEqual(own?.map(({ name }) => name));
    expect(onnx?.[0]?.probability).toBeCloseTo(own?.[0]?.probability ?? NaN, 5);
  });

  it('time it beside the model, with as many threads', async () => {
    const out = at('bench.onnx');
    await json(['export', at('mamba.safetensors'), '--out', out]);
    const result = await json([
      'bench',
      at('mamba.safetensors'),
      out,
      '--batch',
      '2',
      '--runs',
      '2',
      '--min-time',
      '0',
      '--threads',
      '1',
    ]);
    expect(result).toMatchObject({
      threads: 1,
      models: [
        { name: 'mamba', runtime: 'libtorch' },
        { name: 'bench.onnx', runtime: 'onnxruntime cpu' },
      ],
      results: [
        { model: 'mamba', batch: 2, calls: 2 },
        { model: 'bench.onnx', batch: 2, calls: 2 },
      ],
    });
  });

  it('say what a file is that is none of ours', async () => {
    const { status, stderr } = await runCli(['eval', at('missing.onnx'), ...data()]);
    expect(stderr).toMatch(
      /missing\.onnx does not exist, expected a file of weights .*, an \.onnx file, a run folder, hf:owner\/name, pretrained:NAME or models:NAME/,
    );
    expect(status).toBe(2);
  });

  it('are the only ones: the others say which', async () => {
    const out = at('other.onnx');
    await json(['export', at('mamba.safetensors'), '--out', out]);
    for (const argv of [
      ['inspect', out],
      ['prune', out, '--rate', '0.5', '--out', at('never')],
      ['export', out, '--out', at('never.safetensors')],
    ]) {
      const { status, stderr } = await runCli(argv);
      expect(stderr).toMatch(
        /other\.onnx is an ONNX file, which only eval, predict and bench take/,
      );
      expect(status).toBe(2);
    }
    expect(existsSync(at('never'))).toBe(false);
  });
});
