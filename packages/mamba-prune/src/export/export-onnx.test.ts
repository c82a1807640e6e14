import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, noGrad, ops, randn } from '@mamba-prune/libtorch';
import { afterAll, describe, expect, it } from 'vitest';
import type { ModelOptions } from '../models/model-options.js';
import type { ImageModel } from '../models/image-model.js';
import { type ModelInfo, metadataKey } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { pruneOneShot } from '../pruning/oneshot.js';
import { type BuildOptions, buildOnnxModel } from './build-model.js';
import { scanOps } from '../onnx/choices.js';
import { exportOnnx } from './export-onnx.js';
import { OnnxModel } from './onnx-model.js';
import { type ModelProto, elementTypes } from '../onnx/messages.js';
import { decodeModel, encodeModel } from '../onnx/proto.js';
import { VerificationError, ownLogits, syntheticImages, verifyOnnx } from './verify.js';

const folder = mkdtempSync(join(tmpdir(), 'onnx-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const info: ModelInfo = {
  dataset: 'made up',
  classes: ['a', 'b', 'c', 'd', 'e'],
  mean: [0.5, 0.45, 0.4],
  std: [0.2, 0.25, 0.3],
  history: [{ command: 'train', epochs: 3 }],
};
const size = { numClasses: 5, imageSize: 16 };
const mamba = { ...size, dModel: 16, depth: 2, dState: 3 };
const vit = { ...size, dModel: 24, heads: 3, depth: 2 };

/** In no value as it was initialised: zeros and ones hide mistakes. */
function trained(arch: string, options: ModelOptions): ImageModel {
  manualSeed(1);
  const model = createModel(arch, options);
  noGrad(() => {
    for (const tensor of model.parameters()) tensor.add_(randn(tensor.shape).mul(0.1));
    for (const [name, tensor] of model.stateDict()) {
      if (name.endsWith('running_mean')) tensor.add_(randn(tensor.shape));
      if (name.endsWith('running_var')) ops.uniform_(tensor, 0.5, 2);
    }
  });
  model.eval();
  return model;
}

async function pruned(model: ImageModel): Promise<ImageModel> {
  const kinds = new Set(model.pruningGroups().map(({ kind }) => kind));
  const rates = Object.fromEntries(Array.from(kinds, (kind) => [kind, 0.4]));
  const result = await pruneOneShot(model, { rates, importance: 'l2', ranking: 'global' });
  result.model.eval();
  return result.model;
}

/** Exports, and checks what the file gives for one image and for three. */
async function expectSame(model: ImageModel, options: BuildOptions = {}): Promise<ModelProto> {
  const proto = buildOnnxModel(model, info, options);
  const pixels = syntheticImages(3, model.config);
  const expected = ownLogits(model, info, pixels);
  const { images, agreement } = await verifyOnnx(encodeModel(proto), expected, pixels);
  expect({ images, agreement }).toEqual({ images: 3, agreement: 1 });
  return proto;
}

/** SSM channels of every block. */
const widthsOf = (model: ImageModel): number[] =>
  model
    .pruningGroups()
    .filter(({ kind }) => kind === 'ssm')
    .map(({ size }) => size);

const operators = ({ graph }: ModelProto): Set<string> =>
  new Set(graph.node.map((node) => node.op_type));

describe('an ONNX model computes what its model does', () => {
  it.each(['uint8', 'float32'] as const)('for images of %s', async (input) => {
    const { graph } = await expectSame(trained('mamba_nano', mamba), { input });
    expect(graph.input.map(({ name }) => name)).toEqual(['images']);
    expect(graph.output.map(({ name }) => name)).toEqual(['logits', 'probabilities']);
  });

  it('for pixel_values, normalised outside, of a vision Mamba, a ViT and a ResNet', async () => {
    for (const model of [
      trained('mamba_nano', mamba),
      trained('vit_tiny', vit),
      trained('resnet20', { ...size, baseWidth: 8, blocks: [1, 2] }),
    ]) {
      const proto = await expectSame(model, { input: 'pixel-values' });
      const [input] = proto.graph.input;
      expect(input?.name).toBe('pixel_values');
      expect(input?.type.tensor_type).toMatchObject({
        elem_type: elementTypes.float32,
        shape: {
          dim: [{ dim_param: 'batch' }, ...[3, 16, 16].map((dim_value) => ({ dim_value }))],
        },
      });
      expect(proto.graph.initializer.some(({ name }) => name.startsWith('normalise'))).toBe(false);
    }
  });

  it('for pixel_values of three channels also where the model sees grey', async () => {
    const model = trained('mamba_nano', { ...mamba, channels: 1 });
    const grey = { ...info, mean: [0.3], std: [0.35] };
    const pixels = syntheticImages(2, model.config);
    const proto = buildOnnxModel(model, grey, { input: 'pixel-values' });
    const dims = proto.graph.input[0]?.type.tensor_type.shape.dim;
    expect(dims?.map(({ dim_value }) => dim_value).slice(1)).toEqual([3, 16, 16]);
    const found = await verifyOnnx(encodeModel(proto), ownLogits(model, grey, pixels), pixels);
    expect(found).toMatchObject({ images: 2, agreement: 1 });
  });

  it.each([
    ['scan', 'uni'],
    ['scan', 'bi'],
    ['scan', 'cross'],
    ['scan-adaptive', 'uni'],
    ['scan-adaptive', 'bi'],
    ['linear-attention', 'uni'],
    ['linear-attention', 'bi'],
    ['linear-attention', 'cross'],
  ] as const)('for a vision Mamba with %s, scanning %s', async (scanOp, scan) => {
    const dense = trained('mamba_nano', { ...mamba, scan });
    for (const model of [dense, await pruned(dense)]) {
      const found = operators(await expectSame(model, { scanOp }));
      expect(found.has('Scan')).toBe(scanOp === 'scan');
      expect(found.has('If')).toBe(scanOp === 'scan-adaptive');
      expect(found.has('LinearAttention')).toBe(scanOp === 'linear-attention');
    }
  });

  it.each([
    ['one position', { imageSize: 4, dState: 1 }],
    ['nine positions', { imageSize: 12, dModel: 10 }],
    ['one channel', { dModel: 8 }],
  ] as const)('for %s in both directions, one image and several', async (what, options) => {
    let model = trained('mamba_nano', { ...mamba, ...options, scan: 'bi' });
    if (what === 'one channel') {
      const rates = { ssm: 15 / 16 };
      model = (await pruneOneShot(model, { rates, importance: 'l2', ranking: 'layer' })).model;
      expect(widthsOf(model)).toEqual([1, 1]);
    }
    for (const scanOp of scanOps) await expectSame(model, { scanOp });
  });

  it('with a scan for one image in narrow blocks alone', async () => {
    const options = { ...size, imageSize: 32, patchSize: 2, dModel: 64, dState: 16, depth: 2 };
    const dense = trained('mamba_nano', options);
    const rates = { ssm: 0.6 };
    const { model } = await pruneOneShot(dense, { rates, importance: 'l2', ranking: 'layer' });
    // 256 positions of 16 states, 524288 numbers and 208896; the limit is 262144.
    expect([widthsOf(dense), widthsOf(model)]).toEqual([
      [128, 128],
      [51, 51],
    ]);
    expect(operators(await expectSame(dense)).has('If')).toBe(false);
    expect(operators(await expectSame(model)).has('If')).toBe(true);
  });

  it('for a ViT, also without some of its heads', async () => {
    const dense = trained('vit_tiny', vit);
    for (const model of [dense, await pruned(dense)]) await expectSame(model);
  });

  it.each([
    ['resnet20', { ...size, baseWidth: 8, blocks: [1, 2] }],
    ['resnet50', { ...size, imageSize: 32, stem: 'imagenet', baseWidth: 8, blocks: [1, 1] }],
  ] as const)('for %s, its BatchNorm within the convolutions', async (arch, options) => {
    const dense = trained(arch, { ...options, blocks: [...options.blocks] });
    for (const model of [dense, await pruned(dense)]) {
      expect(operators(await expectSame(model)).has('BatchNormalization')).toBe(false);
    }
  });

  it('for grey images', async () => {
    const model = trained('mamba_nano', { ...mamba, channels: 1 });
    const grey = { ...info, mean: [0.3], std: [0.35] };
    const pixels = syntheticImages(2, model.config);
    const bytes = encodeModel(buildOnnxModel(model, grey));
    const found = await verifyOnnx(bytes, ownLogits(model, grey, pixels), pixels);
    expect(found).toMatchObject({ images: 2, agreement: 1 });
  });
});

describe('an exported file', () => {
  it('holds what the model file says, and probabilities that add up to 1', async () => {
    const model = trained('mamba_nano', mamba);
    const path = join(folder, 'model.onnx');
    const { verification, fileBytes } = await exportOnnx(path, model, info);
    const bytes = readFileSync(path);
    expect(bytes.length).toBe(fileBytes);
    expect(verification?.maxDifference).toBeLessThan(1e-4);
    const { metadata_props: props, producer_name: producer } = decodeModel(bytes);
    const metadata = new Map(props.map(({ key, value }) => [key, JSON.parse(value) as unknown]));
    // How images are prepared is said in full, also where the model's own file does not.
    const preprocessing = { interpolation: 'bilinear', cropShare: 0.875 };
    const described = { format: 1, model: model.config, ...info, preprocessing };
    expect(metadata.get(metadataKey)).toEqual(described);
    expect(metadata.get('classes')).toEqual(info.classes);
    expect(producer).toBe('mamba-prune');

    const onnx = await OnnxModel.open(path);
    expect(onnx.description.classes).toEqual(info.classes);
    const { probabilities } = await onnx.classify(syntheticImages(2, model.config));
    expect(probabilities.length).toBe(10);
    const sum = probabilities.subarray(5).reduce((total, value) => total + value, 0);
    expect(sum).toBeCloseTo(1, 6);
    await onnx.release();
  });

  it('has the parameters under their names', () => {
    const model = trained('mamba_nano', { ...mamba, scan: 'bi' });
    const { graph } = buildOnnxModel(model, info);
    const names = new Set(graph.initializer.map(({ name }) => name));
    // A_log and A_b_log are in as A = -exp(A_log), once per direction.
    const renamed = (name: string): string =>
      name.replace('A_log', 'scan.A').replace('A_b_log', 'scan_b.A');
    for (const name of model.stateDict().keys()) expect(names, name).toContain(renamed(name));
  });

  it('is not written when it computes something else than the model', async () => {
    const model = trained('mamba_nano', mamba);
    const forward = model.forward.bind(model);
    model.forward = (images) => forward(images).add(0.01);
    const path = join(folder, 'wrong.onnx');
    await expect(exportOnnx(path, model, info)).rejects.toThrow(VerificationError);
    await expect(exportOnnx(path, model, info)).rejects.toThrow(
      /differ by up to 0\.0100 in \d images, expected at most/,
    );
    expect(existsSync(path)).toBe(false);
    expect(readdirSync(folder).filter((name) => name.includes('wrong'))).toEqual([]);
  });
});

describe('verification', () => {
  it('finds one wrong weight', async () => {
    const model = trained('mamba_nano', mamba);
    const pixels = syntheticImages(2, model.config);
    const expected = ownLogits(model, info, pixels);
    for (const name of ['blocks.1.ssm.D', 'blocks.0.ssm.conv1d.weight', 'head.bias']) {
      const proto = buildOnnxModel(model, info);
      const raw = proto.graph.initializer.find((tensor) => tensor.name === name)?.raw_data;
      const view = new DataView(raw?.buffer as ArrayBuffer, raw?.byteOffset, raw?.byteLength);
      view.setFloat32(0, view.getFloat32(0, true) - 1, true);
      await expect(verifyOnnx(encodeModel(proto), expected, pixels), name).rejects.toThrow(
        VerificationError,
      );
    }
  });

  it('takes logits that are no numbers as wrong', async () => {
    const model = trained('mamba_nano', mamba);
    const pixels = syntheticImages(1, model.config);
    const expected = ownLogits(model, info, pixels);
    noGrad(() => model.stateDict().get('head.bias')?.fill_(NaN));
    const bytes = encodeModel(buildOnnxModel(model, info));
    await expect(verifyOnnx(bytes, expected, pixels)).rejects.toThrow(/differ by up to Infinity/);
  });
});

describe('OnnxModel', () => {
  it('says what is wrong with a file that is no model of ours', async () => {
    await expect(OnnxModel.load(Buffer.from('nonsense'), {}, 'x.onnx')).rejects.toThrow(
      /x\.onnx: is no ONNX model, or cut short: .*Expected a file of mamba-prune export/,
    );
    const proto = buildOnnxModel(trained('mamba_nano', mamba), info);
    const other = encodeModel({ ...proto, metadata_props: [] });
    await expect(OnnxModel.load(other, {}, 'x.onnx')).rejects.toThrow(
      /without the metadata 'mamba_prune'/,
    );
    const renamed = {
      ...proto.graph.input[0],
      name: 'pictures',
    } as ModelProto['graph']['input'][0];
    const strange = { ...proto, graph: { ...proto.graph, input: [renamed] } };
    await expect(OnnxModel.load(encodeModel(strange), {}, 'x.onnx')).rejects.toThrow(
      "x.onnx: expected an input 'images' of uint8 or 'images' of float32 or 'pixel_values' of float32, as",
    );
    const cut = { ...proto, graph: { ...proto.graph, node: proto.graph.node.slice(1) } };
    await expect(OnnxModel.load(encodeModel(cut), {}, 'x.onnx')).rejects.toThrow(
      /x\.onnx: onnxruntime cannot run it/,
    );
  });
});
