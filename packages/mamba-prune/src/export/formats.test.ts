// What float16 and integer weights do to a model, and what cannot be asked for.
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FormatError, getNumThreads, manualSeed, noGrad, randn } from '@mamba-prune/libtorch';
import * as ort from 'onnxruntime-node';
import { afterAll, describe, expect, it, vi } from 'vitest';
import type { Dataset } from '../data/types.js';
import type { ImageModel } from '../models/image-model.js';
import type { ModelInfo } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { evaluateModel } from '../inference/evaluate-model.js';
import { MemorySplit } from '../data/memory-split.js';
import { measureAccuracy } from './accuracy.js';
import { type BuildOptions, buildOnnxModel } from './build-model.js';
import { exportOnnx } from './export-onnx.js';
import { measureForms } from './measure-forms.js';
import { OnnxModel } from './onnx-model.js';
import { GraphBuilder } from '../onnx/graph-builder.js';
import { modelOf } from '../onnx/model.js';
import { softplus } from '../onnx/operators.js';
import { elementTypes } from '../onnx/messages.js';
import { decodeModel, encodeModel } from '../onnx/proto.js';
import { VerificationError, ownLogits, syntheticImages, verifyOnnx } from './verify.js';
import { quantize } from '../onnx/weight-formats.js';

const folder = mkdtempSync(join(tmpdir(), 'onnx-formats-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const info: ModelInfo = {
  classes: ['a', 'b', 'c', 'd', 'e', 'f'],
  mean: [0.5, 0.45, 0.4],
  std: [0.2, 0.25, 0.3],
  history: [],
};
const size = { numClasses: 6, imageSize: 16 };

function made(arch: string, options: object): ImageModel {
  manualSeed(2);
  const model = createModel(arch, { ...size, ...options });
  noGrad(() => {
    for (const tensor of model.parameters()) tensor.add_(randn(tensor.shape).mul(0.05));
  });
  model.eval();
  return model;
}
const mamba = made('mamba_nano', { dModel: 40, depth: 2, dState: 4 });
const vit = made('vit_tiny', { dModel: 48, heads: 3, depth: 2 });
const resnet = made('resnet20', { baseWidth: 8, blocks: [1, 1] });

const bytesOf = (model: ImageModel, options: BuildOptions = {}): Uint8Array =>
  encodeModel(buildOnnxModel(model, info, options));

describe('float16 and int8', () => {
  it.each([
    ['float16, vision Mamba', mamba, { dtype: 'float16' }, 0.62],
    [
      'float16, both directions',
      made('mamba_nano', { dModel: 40, depth: 1, scan: 'bi' }),
      { dtype: 'float16' },
      0.65,
    ],
    ['float16, ViT', vit, { dtype: 'float16' }, 0.6],
    ['float16, ResNet', resnet, { dtype: 'float16' }, 0.65],
    ['int8, vision Mamba', mamba, { quantize: 'int8' }, 0.5],
    ['int8, ViT', vit, { quantize: 'int8' }, 0.45],
    ['int8, ResNet', resnet, { quantize: 'int8' }, 0.6],
    ['int8 computed in float16', mamba, { quantize: 'int8', dtype: 'float16' }, 0.45],
    ['int8-dynamic, ViT', vit, { quantize: 'int8-dynamic' }, 0.45],
    ['int8-dynamic, vision Mamba', mamba, { quantize: 'int8-dynamic' }, 0.55],
  ] as const)(
    '%s: the file shrinks and the logits stay near',
    async (name, model, options, share) => {
      const path = join(folder, `${name.replaceAll(/\W+/g, '-')}.onnx`);
      const { fileBytes, verification } = await exportOnnx(path, model, info, options);
      expect(statSync(path).size).toBe(fileBytes);
      // Small models: what stays float32 (names, positions, norms) weighs more than in a real one.
      expect(fileBytes / bytesOf(model).length).toBeLessThan(share);
      const { maxDifference = NaN, maxLogit = NaN } = verification ?? {};
      expect(maxDifference).toBeGreaterThan(0);
      // Of the largest logit; 8 bits have steps of 1/127 of a channel's largest weight.
      expect(maxDifference / maxLogit).toBeLessThan('quantize' in options ? 0.05 : 0.005);
    },
  );

  it('quantizes with a scale per output channel, to less than half a step', () => {
    const data = Float32Array.of(1, -0.5, 0.03, 100, 0, 0.2, 0, 0);
    // Channels are columns: the largest are 1, 0.5, 0.03 and 100.
    const { data: whole, scales } = quantize({ data, shape: [2, 4] }, 1);
    expect([...scales].map((scale) => Math.round(scale * 127 * 1e4) / 1e4)).toEqual([
      1, 0.5, 0.03, 100,
    ]);
    expect([...whole]).toEqual([127, -127, 127, 127, 0, 51, 0, 0]);
    // A channel of zeros has no largest weight to divide by.
    const zeros = quantize({ data: new Float32Array(2), shape: [2, 1] }, 0);
    expect([...zeros.data, ...zeros.scales]).toEqual([0, 0, 1, 1]);
  });

  it('keeps the classifier and the scan in float32', () => {
    const { graph } = buildOnnxModel(mamba, info, { dtype: 'float16', quantize: 'int8' });
    const types = new Map(graph.initializer.map(({ name, data_type: type }) => [name, type]));
    expect(types.get('head.weight')).toBe(elementTypes.float32);
    expect(types.get('blocks.0.ssm.scan.A')).toBe(elementTypes.float32);
    expect(types.get('blocks.0.ssm.in_proj.weight')).toBe(elementTypes.int8);
    expect(types.get('blocks.0.norm1.weight')).toBe(elementTypes.float16);
  });

  it('refuses integer products for a ResNet, which has one linear layer', async () => {
    const path = join(folder, 'no.onnx');
    await expect(exportOnnx(path, resnet, info, { quantize: 'int8-dynamic' })).rejects.toThrow(
      /got int8-dynamic for resnet20, whose layers are convolutions/,
    );
    expect(existsSync(path)).toBe(false);
  });

  it('says that the rounding is to blame when that costs too much', async () => {
    const pixels = syntheticImages(2, mamba.config);
    const expected = ownLogits(mamba, info, pixels).map((value) => value * 1.5);
    const check = verifyOnnx(bytesOf(mamba, { quantize: 'int8' }), expected, pixels, {
      quantize: 'int8',
    });
    await expect(check).rejects.toThrow(VerificationError);
    await expect(check).rejects.toThrow(/\(int8\).*export it in float32/);
  });
});

describe('softplus', () => {
  it('is that of libtorch for small, large and very large numbers', async () => {
    const g = new GraphBuilder();
    const x = g.input('x', 'float32', ['n']);
    const bytes = encodeModel(modelOf(g, [softplus(g, x, { name: 'y' })], { name: 'softplus' }));
    const session = await ort.InferenceSession.create(bytes, {
      intraOpNumThreads: getNumThreads(),
    });
    const values = [-200, -20, -5, -1, 0, 0.5, 3, 19, 25, 79.9, 80.1, 89, 200, 1e30];
    const feed = new ort.Tensor('float32', Float32Array.from(values), [values.length]);
    const { y } = await session.run({ x: feed });
    values.forEach((value, i) => {
      const exact = value > 40 ? value : Math.log1p(Math.exp(value));
      const got = (y?.data as Float32Array)[i] as number;
      // 1 + e^x is rounded to float32, 6e-8 of 1; the logarithm of large sums to 1e-7 of itself.
      expect(Math.abs(got - exact), `softplus(${value})`).toBeLessThan(1.2e-7 + 2e-7 * exact);
    });
    await session.release();
  });
});

describe('measureAccuracy', () => {
  const labels = Uint8Array.from({ length: 30 }, (_, i) => (i * 5) % 6);
  const madeUp = (): Dataset => {
    const pixels = syntheticImages(30, mamba.config);
    const split = new MemorySplit(pixels, labels, pixels.length / 30);
    return {
      info: { ...info, name: 'made up', channels: 3, height: 16, width: 16 },
      train: split,
      test: split,
    };
  };

  it('counts an image as wrong whose logits are no numbers', async () => {
    const classes = info.classes.length;
    const wrongAt = (bad: (logit: number) => boolean) => (): Float32Array =>
      Float32Array.from({ length: 30 * classes }, (_, i) => {
        const [image, logit] = [Math.floor(i / classes), i % classes];
        return bad(logit) ? NaN : Number(logit === labels[image]);
      });
    const measured = await measureAccuracy(
      [wrongAt(() => false), wrongAt(() => true), wrongAt((logit) => logit === 0)],
      madeUp(),
    );
    expect(measured.map(({ accuracy, top5 }) => [accuracy, top5])).toEqual([
      [1, 1],
      [0, 0],
      [0, 0],
    ]);
    expect(measured.map(({ loss }) => Number.isNaN(loss))).toEqual([false, true, true]);
  });

  it('measures what evaluateModel does, of several models on the same images', async () => {
    const dataset = madeUp();
    const own = (batch: Uint8Array): Float32Array => ownLogits(mamba, info, batch);
    const seen: number[] = [];
    const [first, flipped] = await measureAccuracy(
      [own, (batch) => own(batch).map((value) => -20 * value)],
      dataset,
      { batchSize: 7, onProgress: (done) => seen.push(done) },
    );
    const expected = await evaluateModel(mamba, dataset, { perClass: true });
    expect(first).toMatchObject({ images: 30, accuracy: expected.accuracy, top5: expected.top5 });
    expect(first?.loss).toBeCloseTo(expected.loss, 5);
    expect(first?.classAccuracy).toEqual(expected.classAccuracy);
    expect(flipped?.loss).not.toBeCloseTo(first?.loss ?? NaN, 3);
    expect(seen).toEqual([7, 14, 21, 28, 30]);
  });
});

describe('measureForms', () => {
  const pixels = syntheticImages(12, mamba.config);
  const split = new MemorySplit(pixels, new Uint8Array(12), pixels.length / 12);
  const dataset: Dataset = {
    info: { ...info, name: 'made up', channels: 3, height: 16, width: 16 },
    train: split,
    test: split,
  };

  it('measures the model, then each form, and frees the forms', async () => {
    const release = vi.spyOn(OnnxModel.prototype, 'release');
    const measured = await measureForms(mamba, info, [bytesOf(mamba)], dataset, {});
    expect(measured).toHaveLength(2);
    expect(measured[1]?.accuracy).toBe(measured[0]?.accuracy);
    expect(release).toHaveBeenCalledTimes(1);
    const stopped = { signal: AbortSignal.abort(new Error('enough')) };
    await expect(measureForms(mamba, info, [bytesOf(mamba)], dataset, stopped)).rejects.toThrow(
      'enough',
    );
    await expect(
      measureForms(mamba, info, [bytesOf(mamba), Uint8Array.of(1)], dataset, {}),
    ).rejects.toThrow(FormatError);
    expect(release).toHaveBeenCalledTimes(3);
  });
});

describe('a model that was written and read', () => {
  it('is the same, bytes of the weights included', () => {
    const proto = buildOnnxModel(vit, info, { quantize: 'int8' });
    const again = decodeModel(encodeModel(proto));
    expect(again.graph.initializer.map(({ name, dims }) => [name, dims])).toEqual(
      proto.graph.initializer.map(({ name, dims }) => [name, [...dims]]),
    );
    proto.graph.initializer.forEach(({ raw_data: data }, i) => {
      expect(Buffer.compare(data, again.graph.initializer[i]?.raw_data ?? Buffer.alloc(0))).toBe(0);
    });
    expect(again.opset_import).toEqual([{ domain: '', version: 20 }]);
  });
});
