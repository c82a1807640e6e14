// VMamba: what pruning must keep, what the norm over pruned units does, and costs.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Tensor, manualSeed, noGrad, randn, setNumThreads } from '@mamba-prune/libtorch';
import { afterAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import { buildOnnxModel } from '../../export/build-model.js';
import { ownLogits, syntheticImages, verifyOnnx } from '../../export/verify.js';
import { encodeModel } from '../../onnx/proto.js';
import { maskModel, pruneModel } from '../../pruning/surgery.js';
import type { ImageModel, UnitProbe } from '../image-model.js';
import { loadModel, saveModel } from '../model-file.js';
import { createModel } from '../registry.js';
import { countParameters } from '../shapes.js';
import { halfUnits } from '../testing/half-units.js';
import { relativeDifference, totalMacs } from '../testing/parity.js';
import { type VMambaConfig, checkVMambaConfig, gridSides } from './config.js';
import { vmambaMacs } from './macs.js';
import { vmambaShapes } from './shapes.js';

setNumThreads(1);

const folder = mkdtempSync(join(tmpdir(), 'vmamba-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

// Roundings of float32, 6e-8 each, of three blocks added up in another order.
const rounding = 1e-5;

function trained(options: object = {}): ImageModel {
  manualSeed(3);
  const model = createModel('vmamba_nano', {
    baseWidth: 8,
    blocks: [1, 2],
    imageSize: 20,
    numClasses: 5,
    ...options,
  });
  noGrad(() => {
    for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.2));
  });
  return model.eval();
}

const images = (side = 20): Tensor => {
  manualSeed(4);
  return randn([3, 3, side, side]);
};
const run = (model: ImageModel, x = images(), probe?: UnitProbe): Tensor =>
  noGrad(() => model.forward(x, probe));
const info = { classes: [], mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.4], history: [] };

describe.each([
  ['stem of stride 2', {}],
  ['stem of stride 4, two states', { stemStride: 4, dState: 2, expand: 2 }],
  ['stem of stride 1, an odd grid', { stemStride: 1, imageSize: 9 }],
])('a VMamba: %s', (_, options) => {
  const side = 'imageSize' in options ? options.imageSize : 20;

  it('equals its masked model when it is pruned, is saved, loaded and exported', async () => {
    const model = trained(options);
    const kept = halfUnits(model);
    const pruned = pruneModel(model, kept).eval();
    maskModel(model, kept);
    const whole = run(trained(options), images(side));
    expect(relativeDifference(run(pruned, images(side)), run(model, images(side)))).toBeLessThan(
      rounding,
    );
    expect(relativeDifference(run(pruned, images(side)), whole)).toBeGreaterThan(1e-2);
    expect(pruned.numParameters()).toBe(
      countParameters(vmambaShapes(pruned.config as VMambaConfig)),
    );
    const path = join(folder, 'model.safetensors');
    saveModel(path, pruned, info);
    const loaded = loadModel(path).model;
    expect(loaded.config).toEqual(pruned.config);
    expect(run(loaded, images(side)).equal(run(pruned, images(side)))).toBe(true);
    for (const exported of [trained(options), pruned]) {
      const pixels = syntheticImages(2, exported.config);
      const wanted = ownLogits(exported, info, pixels);
      for (const scanOp of ['scan', 'scan-adaptive', 'linear-attention'] as const) {
        const bytes = encodeModel(buildOnnxModel(exported, info, { scanOp }));
        expect((await verifyOnnx(bytes, wanted, pixels)).agreement, scanOp).toBe(1);
      }
    }
  });

  it('counts the multiply-accumulates of its configuration as those of its tensors', () => {
    for (const model of [
      trained(options),
      pruneModel(trained(options), halfUnits(trained(options))),
    ]) {
      expect(totalMacs(model)).toBe(vmambaMacs(model.config as VMambaConfig));
    }
  });

  it('gives a gradient to every parameter', () => {
    const model = trained(options);
    model.train();
    model.forward(images(side)).sum().backward();
    for (const [parameter, value] of model.namedParameters()) {
      expect(value.grad, parameter).not.toBeNull();
    }
  });
});

describe('the norm over the units that pruning removes', () => {
  it('takes mean and variance over the kept units alone: with the zeros of others it differs', () => {
    const kept = halfUnits(trained());
    const pruned = run(pruneModel(trained(), kept).eval());
    const model = trained();
    maskModel(model, kept);
    // A file has the zeros and not what the norm is to leave out of its mean.
    const path = join(folder, 'masked.safetensors');
    saveModel(path, model, info);
    expect(relativeDifference(run(model), pruned)).toBeLessThan(rounding);
    expect(relativeDifference(run(loadModel(path).model), pruned)).toBeGreaterThan(1e-2);
  });

  it('is exported only where it counts all units alike, as a graph does', () => {
    const model = trained();
    maskModel(model, halfUnits(model));
    const named = { ...info, classes: ['a', 'b', 'c', 'd', 'e'] };
    expect(() => buildOnnxModel(model, named)).toThrow(
      "ONNX export: got a model in which a norm weighs the units of 'layers.0.blocks.0.ssm'",
    );
    for (const { name } of model.pruningGroups()) model.normOver?.(name)?.unweigh();
    expect(() => buildOnnxModel(model, named)).not.toThrow();
  });

  it('goes on leaving out units that were masked before others', () => {
    const [model, apart] = [trained(), trained()];
    const kept = halfUnits(model);
    maskModel(model, kept);
    for (const units of kept) maskModel(apart, new Map([units]));
    expect(relativeDifference(run(apart), run(model))).toBe(0);
  });

  it('sees a unit whose gate is 0 as if it were cut', () => {
    const kept = halfUnits(trained());
    const probe: UnitProbe = {
      gate(group, x, dim) {
        const mask = x.detach().mul(0);
        for (const unit of kept.get(group) ?? []) mask.narrow(dim, unit, 1).add_(1);
        return x.mul(mask);
      },
    };
    const pruned = run(pruneModel(trained(), kept).eval());
    expect(relativeDifference(run(trained(), images(), probe), pruned)).toBeLessThan(rounding);
  });

  it('is plain LayerNorm while every gate is 1', () => {
    expect(
      relativeDifference(run(trained(), images(), { gate: (_, x) => x.mul(1) }), run(trained())),
    ).toBeLessThan(rounding);
  });
});

describe('a configuration', () => {
  it('tells the grid of every stage', () => {
    const sides = (arch: string) => gridSides(createModel(arch).config as VMambaConfig);
    expect(sides('vmamba_nano')).toEqual([16, 8, 4]);
    const config = trained().config as VMambaConfig;
    expect(gridSides({ ...config, stemStride: 4, imageSize: 224, blocks: [2, 2, 8, 2] })).toEqual([
      56, 28, 14, 7,
    ]);
  });

  it.each([
    [{ stemStride: 3 }, /stemStride/],
    [{ baseWidth: 7 }, /`baseWidth` 7, expected an even number/],
    [{ dtRanks: [1] }, /dtRanks of 1 stages, expected 2/],
    [{ blocks: [1] }, /with the width of layers\.1\.blocks\.0\.ssm/],
    [{ dState: 0 }, /dState/],
  ])('that no model has is refused: %j', (fields, message) => {
    const check = () => checkVMambaConfig({ ...trained().config, ...fields });
    expect(check).toThrow(UsageError);
    expect(check).toThrow(message);
  });
});
