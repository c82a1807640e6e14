// Vim: what pruning must keep, what it costs, where its class token is, and 16 bits.
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
import { type VimConfig, checkVimConfig, patchCount } from './config.js';
import { vimMacs } from './macs.js';
import { Vim } from './model.js';
import { vimShapes } from './shapes.js';

setNumThreads(1);

const folder = mkdtempSync(join(tmpdir(), 'vim-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

// Roundings of float32, 6e-8 each, of two layers added up in another order.
const rounding = 1e-5;

function trained(options: object = {}): ImageModel {
  manualSeed(3);
  const sizes = { dModel: 24, depth: 2, imageSize: 12, patchSize: 4, numClasses: 5 };
  const model = createModel('vim_nano', { ...sizes, ...options });
  noGrad(() => {
    for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.2));
  });
  return model.eval();
}

const images = (): Tensor => {
  manualSeed(4);
  return randn([3, 3, 12, 12]);
};
const run = (model: ImageModel, x = images(), probe?: UnitProbe): Tensor =>
  noGrad(() => model.forward(x, probe));
const info = { classes: [], mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.4], history: [] };

describe.each([
  ['patches side by side, an odd number', {}],
  ['an even number of patches', { patchSize: 6 }],
  ['patches that overlap', { stride: 2, expand: 3, dState: 5, dConv: 3 }],
])('a Vim: %s', (_, options) => {
  it('equals its masked model when it is pruned, is saved, loaded and exported', async () => {
    const model = trained(options);
    const kept = halfUnits(model);
    expect([...kept.keys()]).toEqual(
      [0, 1].flatMap((layer) =>
        ['ssm', 'state', 'dt_rank'].map((kind) => `layers.${layer}.${kind}`),
      ),
    );
    const pruned = pruneModel(model, kept).eval();
    maskModel(model, kept);
    expect(relativeDifference(run(pruned), run(model))).toBeLessThan(rounding);
    expect(relativeDifference(run(pruned), run(trained(options)))).toBeGreaterThan(1e-2);
    expect(pruned.numParameters()).toBe(countParameters(vimShapes(pruned.config as VimConfig)));
    const path = join(folder, 'model.safetensors');
    saveModel(path, pruned, info);
    const loaded = loadModel(path).model;
    expect(loaded.config).toEqual(pruned.config);
    expect(run(loaded).equal(run(pruned))).toBe(true);
    for (const exported of [trained(options), pruned]) {
      const pixels = syntheticImages(2, exported.config);
      const wanted = ownLogits(exported, info, pixels);
      for (const scanOp of ['scan', 'scan-adaptive', 'linear-attention'] as const) {
        const bytes = encodeModel(buildOnnxModel(exported, info, { scanOp }));
        expect((await verifyOnnx(bytes, wanted, pixels)).agreement, scanOp).toBe(1);
      }
    }
  });

  it('equals its masked model for each group by itself', () => {
    for (const [group, units] of halfUnits(trained(options))) {
      const kept = new Map([[group, units]]);
      const model = trained(options);
      const pruned = pruneModel(model, kept).eval();
      maskModel(model, kept);
      expect(relativeDifference(run(pruned), run(model)), group).toBeLessThan(rounding);
    }
  });

  it('counts the multiply-accumulates of its configuration as those of its tensors', () => {
    for (const model of [
      trained(options),
      pruneModel(trained(options), halfUnits(trained(options))),
    ]) {
      expect(totalMacs(model)).toBe(vimMacs(model.config as VimConfig));
    }
  });

  it('gives a gradient to every parameter', () => {
    const model = trained(options);
    model.train();
    model.forward(images()).sum().backward();
    for (const [parameter, value] of model.namedParameters()) {
      expect(value.grad, parameter).not.toBeNull();
    }
  });
});

describe('a Vim', () => {
  it('sees a unit whose gate is 0 as if it were cut', () => {
    const kept = new Map([...halfUnits(trained())].filter(([group]) => group.endsWith('.ssm')));
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

  it('has its class token behind half of the patches, rounded down', () => {
    const model = trained();
    if (!(model instanceof Vim)) throw new TypeError('expected a Vim');
    const token = (index: number): Tensor =>
      noGrad(() => model.embed(images()).narrow(1, index, 1).detach());
    // 9 patches: it is the only token that is the same for every image.
    const same = Array.from({ length: 10 }, (_, index) => {
      const all = token(index);
      return all.narrow(0, 0, 1).equal(all.narrow(0, 1, 1));
    });
    expect(same.indexOf(true)).toBe(4);
    expect(same.lastIndexOf(true)).toBe(4);
  });

  it('keeps its residual stream in float32 when it computes in bfloat16', () => {
    const model = trained();
    const streams: string[] = [];
    const logits = run(model, images().to('bfloat16'), {
      stream: (_, x) => streams.push(x.dtype),
    });
    expect(streams).toEqual(['float32', 'float32']);
    expect(logits.dtype).toBe('float32');
    // bfloat16 rounds by 4e-3; the branches of two layers and the patches are rounded some ten times.
    expect(relativeDifference(logits, run(model))).toBeLessThan(0.1);
  });

  it('skips mixers in training with drop-path alone', () => {
    const [plain, dropping] = [trained(), trained({ dropPath: 0.9 })];
    expect(run(dropping).equal(run(plain))).toBe(true);
    dropping.train();
    expect(run(dropping).equal(run(plain))).toBe(false);
  });
});

describe('a configuration', () => {
  it('is of the published sizes unless told otherwise', () => {
    const config = (arch: string, options = {}) =>
      createModel(arch, { depth: 1, ...options }).config;
    expect(config('vim_tiny')).toMatchObject({ imageSize: 224, patchSize: 16, stride: 16 });
    expect(config('vim_tiny', { imageSize: 32 })).toMatchObject({ patchSize: 4, stride: 4 });
    expect(config('vim_nano')).toMatchObject({ imageSize: 32, patchSize: 4 });
    expect(patchCount(config('vim_tiny', { stride: 8 }) as VimConfig)).toBe(729);
  });

  it.each([
    [{ stride: 5 }, /stride 5 for patches of 4 px, expected at most the patch/],
    [{ stride: 3 }, /stride of 3 for images of 12 px, expected a stride that divides 12 - 4/],
    [{ imageSize: 2 }, /images of 2 px/],
    [{ depth: 1 }, /with the width of layers\.1\.ssm/],
    [{ dState: 0 }, /dState/],
  ])('that no model has is refused: %j', (fields, message) => {
    const check = () => checkVimConfig({ ...trained().config, ...fields });
    expect(check).toThrow(UsageError);
    expect(check).toThrow(message);
  });
});
