// A folder for the Hugging Face Hub in Python: its files, our examples, and the program that its card shows.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manualSeed, noGrad, randn } from '@mamba-prune/libtorch';
import { createModel, exportHubFolder, pruneOneShot } from 'mamba-prune';
import { predictImages } from 'mamba-prune/workflows';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonWith, unlessPython } from './support/python.js';

const example = (file: string): string =>
  fileURLToPath(new URL(`../examples/python/${file}`, import.meta.url));

const needs = {
  onnxruntime: 'onnxruntime, numpy, PIL',
  safetensors: 'safetensors.numpy',
  torch: 'torch',
};
const onnxPython = pythonWith(needs.onnxruntime);
const safetensorsPython = pythonWith(needs.safetensors);
const torchPython = pythonWith(needs.torch);

const folder = mkdtempSync(join(tmpdir(), 'hub-folder-python-'));
const picture = join(folder, 'picture.png');
const side = 16;

/** By their folders, with what predict says of the picture. */
const models = new Map<string, { likeliest: string; percent: string; parameters: number }>();

beforeAll(async () => {
  manualSeed(2);
  // A slope across the diagonal: what is cut out elsewhere, or turned, looks otherwise.
  const [width, height] = [40, 50];
  const pixels = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / (3 * width))];
    return [6 * x, 5 * y, 255 - 3 * (x + y)][i % 3] as number;
  });
  await sharp(pixels, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(picture);
  for (const channels of [3, 1]) {
    const info = {
      classes: ['ant', 'bee', 'cat', 'dog', 'eel'],
      mean: [0.5, 0.45, 0.4].slice(0, channels),
      std: [0.2, 0.25, 0.3].slice(0, channels),
      preprocessing: { interpolation: 'bicubic', cropShare: 0.8 } as const,
      history: [],
    };
    const size = { numClasses: 5, imageSize: side, channels };
    const dense = createModel('mamba_nano', { ...size, dModel: 16, depth: 2, dState: 4 });
    noGrad(() => {
      for (const tensor of dense.parameters()) tensor.add_(randn(tensor.shape).mul(0.1));
    });
    const rates = { ssm: 0.4, mlp: 0.4 };
    const { model } = await pruneOneShot(dense, { rates, importance: 'l2', ranking: 'global' });
    const name = join(folder, channels === 3 ? 'colour' : 'grey');
    await exportHubFolder(name, model, info);
    const [prediction] = await predictImages(model, info, [picture]);
    const { name: likeliest = '', probability = NaN } = prediction?.top[0] ?? {};
    const percent = (100 * probability).toFixed(1);
    models.set(name, { likeliest, percent, parameters: model.numParameters() });
  }
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const run = (python: string | undefined, args: readonly string[], cwd = folder): string =>
  execFileSync(python ?? '', args, { cwd, encoding: 'utf8' });

describe('in Python', () => {
  it.skipIf(onnxPython === undefined)(
    `the program of the card gives the class of predict${unlessPython(onnxPython, needs.onnxruntime)}`,
    () => {
      for (const [name, { likeliest }] of models) {
        const card = readFileSync(join(name, 'README.md'), 'utf8');
        const [, program = ''] = /```python\n([\s\S]*?)```/.exec(card) ?? [];
        const here = program.replace('picture.jpg', picture);
        expect(here).not.toBe(program);
        expect(run(onnxPython, ['-c', here], name).trim()).toBe(likeliest);
      }
    },
  );

  it.skipIf(onnxPython === undefined)(
    `run_onnx.py takes the folder, with the probability of predict${unlessPython(onnxPython, needs.onnxruntime)}`,
    () => {
      for (const [name, { likeliest, percent }] of models) {
        const printed = run(onnxPython, [example('run_onnx.py'), name, picture]);
        expect(printed).toBe(`${picture}: ${likeliest} ${percent}%\n`);
      }
    },
  );

  it.skipIf(safetensorsPython === undefined)(
    `safetensors reads the weights${unlessPython(safetensorsPython, needs.safetensors)}`,
    () => {
      const script =
        'import sys\nfrom safetensors.numpy import load_file\n' +
        'print(sum(array.size for array in load_file(sys.argv[1] + "/model.safetensors").values()))';
      for (const [name, { parameters }] of models) {
        expect(Number(run(safetensorsPython, ['-c', script, name]))).toBe(parameters);
      }
    },
  );

  it.skipIf(torchPython === undefined)(
    `load_model.py takes the folder${unlessPython(torchPython, needs.torch)}`,
    () => {
      for (const [name, { parameters }] of models) {
        const printed = run(torchPython, [example('load_model.py'), name]);
        expect(printed).toContain(`${parameters.toLocaleString('en')} parameters, ${side} px`);
      }
    },
  );
});
