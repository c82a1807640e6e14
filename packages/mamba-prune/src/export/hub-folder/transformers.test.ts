// What transformers.js makes of a folder for the hub, read from the disk: the labels and probabilities of `predict`.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ImageClassificationOutput, env, pipeline } from '@huggingface/transformers';
import { manualSeed, noGrad, ops, randn } from '@mamba-prune/libtorch';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../../cli/testing/run-cli.js';
import type { ImageModel } from '../../models/image-model.js';
import type { ModelInfo } from '../../models/model-file.js';
import type { ModelOptions } from '../../models/model-options.js';
import { createModel } from '../../models/registry.js';
import { pruneOneShot } from '../../pruning/oneshot.js';
import { exportHubFolder } from './write-folder.js';

const folder = mkdtempSync(join(tmpdir(), 'hub-folder-'));
const at = (...path: string[]): string => join(folder, ...path);
const asked: string[] = [];

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const side = 16;
const classes = ['ant', 'bee', 'cat', 'dog', 'eel'];
const info = (channels: number): ModelInfo => ({
  classes,
  mean: [0.5, 0.45, 0.4].slice(0, channels),
  std: [0.2, 0.25, 0.3].slice(0, channels),
  // The shorter side becomes 20 pixels.
  preprocessing: { interpolation: 'bilinear', cropShare: 0.8 },
  history: [],
});

/** In no value as it was initialised: zeros and ones hide mistakes. */
function trained(arch: string, options: ModelOptions): ImageModel {
  manualSeed(1);
  const model = createModel(arch, { numClasses: classes.length, imageSize: side, ...options });
  noGrad(() => {
    for (const tensor of model.parameters()) tensor.add_(randn(tensor.shape).mul(0.1));
    for (const [name, tensor] of model.stateDict()) {
      if (name.endsWith('running_mean')) tensor.add_(randn(tensor.shape));
      if (name.endsWith('running_var')) ops.uniform_(tensor, 0.5, 2);
    }
  });
  return model.eval();
}

async function pruned(dense: ImageModel): Promise<ImageModel> {
  const kinds = new Set(dense.pruningGroups().map(({ kind }) => kind));
  const rates = Object.fromEntries(Array.from(kinds, (kind) => [kind, 0.4]));
  const { model } = await pruneOneShot(dense, { rates, importance: 'l2', ranking: 'global' });
  return model.eval();
}

const mamba = { dModel: 16, depth: 6, dState: 4, scan: 'cross' } as const;
const models: Readonly<Record<string, () => ImageModel | Promise<ImageModel>>> = {
  mamba: () => trained('mamba_nano', mamba),
  'mamba-pruned': () => pruned(trained('mamba_nano', mamba)),
  'mamba-grey': () => trained('mamba_nano', { dModel: 16, depth: 2, dState: 4, channels: 1 }),
  vit: () => trained('vit_tiny', { dModel: 24, heads: 3, depth: 2 }),
  'vit-pruned': () => pruned(trained('vit_tiny', { dModel: 24, heads: 3, depth: 2 })),
  resnet: () => trained('resnet20', { baseWidth: 8, blocks: [1, 2] }),
  'resnet-pruned': () => pruned(trained('resnet20', { baseWidth: 8, blocks: [1, 2] })),
};

/** Noise, the same every time. */
async function writePicture(name: string, width: number, height: number, channels: 1 | 3) {
  let state = width * height + channels;
  const pixels = Uint8Array.from({ length: width * height * channels }, () => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return state >> 16;
  });
  await sharp(pixels, { raw: { width, height, channels } }).png().toFile(at(name));
}

/** A soft slope in every channel. */
async function writeSlope(name: string, width: number, height: number) {
  const pixels = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / (3 * width))];
    return [(230 * x) / width, (200 * y) / height, 250 - (180 * x) / width][i % 3] as number;
  });
  await sharp(pixels, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(at(name));
}

// As high as the resize makes them, so that they are only cut: transformers.js resizes otherwise.
const pictures = ['wide.png', 'high.png', 'grey.png'];

beforeAll(async () => {
  env.allowRemoteModels = false;
  env.localModelPath = `${folder}/`;
  env.useFSCache = false;
  env.fetch = (input) => {
    asked.push(String(input));
    return Promise.reject(new Error('nothing is to be fetched'));
  };
  await writePicture('wide.png', 26, 20, 3);
  await writePicture('high.png', 20, 32, 3);
  await writePicture('grey.png', 20, 20, 1);
  await writeSlope('slope.png', 60, 80);
  for (const [name, make] of Object.entries(models)) {
    const model = await make();
    await exportHubFolder(at(name), model, info(model.config.channels));
    model.dispose();
  }
});

/** Probabilities by class, of each picture. */
type Answers = Record<string, number>[];

async function predicted(model: string, images: readonly string[]): Promise<Answers> {
  const paths = images.map((image) => at(image));
  const { status, stdout, stderr } = await runCli(['predict', model, ...paths, '--json']);
  expect(status, stderr).toBe(0);
  const { predictions } = JSON.parse(stdout) as {
    predictions: { top: { name: string; probability: number }[] }[];
  };
  return predictions.map(({ top }) =>
    Object.fromEntries(top.map(({ name, probability }) => [name, probability])),
  );
}

async function classified(
  name: string,
  dtype: 'fp32' | 'fp16' | 'q8',
  images: readonly string[],
): Promise<Answers> {
  const classify = await pipeline('image-classification', name, { dtype });
  const answers: Answers = [];
  for (const image of images) {
    const found: ImageClassificationOutput = await classify(at(image), { top_k: 5 });
    answers.push(Object.fromEntries(found.map(({ label, score }) => [label, score])));
  }
  await classify.dispose();
  return answers;
}

/** Classes with their probabilities from the largest, which is the order of the labels. */
const likeliest = (answer: Record<string, number>): string | undefined =>
  Object.entries(answer).sort(([, a], [, b]) => b - a)[0]?.[0];

function expectSame(got: Answers, expected: Answers, tolerance: number): void {
  expect(got.length).toBe(expected.length);
  for (const [i, answer] of got.entries()) {
    expect(Object.keys(answer).sort()).toEqual(classes);
    expect(likeliest(answer)).toBe(likeliest(expected[i] ?? {}));
    for (const name of classes) {
      const difference = Math.abs((answer[name] ?? NaN) - (expected[i]?.[name] ?? NaN));
      expect(difference, `${pictures[i] ?? ''}, ${name}`).toBeLessThan(tolerance);
    }
  }
}

describe.each(Object.keys(models))('transformers.js reads %s', (name) => {
  it('in float32, with the labels and probabilities of predict', async () => {
    const expected = await predicted(at(name), pictures);
    // Different enough that a wrong crop, channel or weight shows.
    expect(Math.abs((expected[0]?.['ant'] ?? 0) - (expected[1]?.['ant'] ?? 0))).toBeGreaterThan(
      1e-4,
    );
    // Both round pixels, sums and exponentials as float32: 1e-7 of a logit each, after some ten layers.
    expectSame(await classified(name, 'fp32', pictures), expected, 1e-5);
  });

  it('in fewer bits, with those that the same file has here', async () => {
    // int8 weights are computed with as float32.
    const int8 = await predicted(at(name, 'onnx', 'model_quantized.onnx'), pictures);
    expectSame(await classified(name, 'q8', pictures), int8, 1e-5);
    // A pixel that is rounded otherwise moves a float16 by 2^-11 of itself, and what follows with it.
    const half = await predicted(at(name, 'onnx', 'model_fp16.onnx'), pictures);
    expectSame(await classified(name, 'fp16', pictures), half, 2e-3);
    const whole = await predicted(at(name, 'onnx', 'model.onnx'), pictures);
    expect(half).not.toEqual(whole);
    expect(int8).not.toEqual(whole);
  });
});

describe('a picture of another size', () => {
  it('is resized and cut in the same place', async () => {
    for (const name of ['mamba', 'vit', 'resnet']) {
      const expected = await predicted(at(name), ['slope.png']);
      // Of a slope every resize makes the same slope, but for half a pixel and its rounding to a level. Without the
      // crop, the values at the edges are 20% of the range away.
      expectSame(await classified(name, 'fp32', ['slope.png']), expected, 0.02);
    }
  });
});

it('nothing was fetched', () => {
  expect(asked).toEqual([]);
});
