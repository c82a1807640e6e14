import {
  F,
  type Tensor,
  manualSeed,
  noGrad,
  randn,
  setNumThreads,
  tensor,
} from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import type { PruningGroup } from '../groups.js';
import { maskModel } from '../../pruning/surgery.js';
import type { ResNet } from './model.js';
import {
  createModel,
  createModelFromConfig,
  resnet18,
  resnet20,
  resnet50,
  resnet56,
} from '../registry.js';
import { goldenCase, relativeDifference, totalMacs } from '../testing/parity.js';

// Tensors this small are done sooner than a second thread has begun.
setNumThreads(1);

// Written by benchmarks/peers/torch_resnet.py golden --case NAME (PyTorch 1.13, one thread).
const cases = {
  basic: () => resnet20({ blocks: [2, 1], baseWidth: 8, imageSize: 12, numClasses: 5 }),
  bottleneck: () =>
    resnet50({ blocks: [2, 1], baseWidth: 4, imageSize: 24, stem: 'imagenet', numClasses: 5 }),
} as const;

describe.each(Object.entries(cases))('parity with PyTorch, %s blocks', (blocks, make) => {
  const golden = goldenCase(`resnet-${blocks}.safetensors`);
  const labels = tensor([0, 3, 4], { dtype: 'int64' });
  const build = (): ResNet => {
    const model = make();
    model.loadStateDict(golden.part('weight.'));
    return model;
  };

  // float32 has 24 bits: one rounding is 6e-8. Three blocks round a few hundred times in sums of up
  // to 147 terms, in another order than PyTorch's: 1e-5 leaves room for that and is far below any
  // wrong formula.
  it('gives the same logits in evaluation mode, from the running statistics', () => {
    const model = build().eval();
    const logits = noGrad(() => model.forward(golden.get('input')));
    expect(relativeDifference(logits, golden.get('eval_logits'))).toBeLessThan(1e-5);
    const name = 'bn1.num_batches_tracked';
    const counted = (model.stateDict().get(name) as Tensor).item();
    expect(counted).toBe(golden.get(`weight.${name}`).item()); // evaluation counts no batch
  });

  it('gives the same logits, loss and statistics in training mode, from the batch', () => {
    const model = build();
    const logits = model.forward(golden.get('input'));
    expect(relativeDifference(logits, golden.get('logits'))).toBeLessThan(1e-5);
    expect(F.crossEntropy(logits, labels).item()).toBeCloseTo(golden.get('loss').item(), 5);
    const after = golden.part('after.');
    expect([...model.namedBuffers().keys()]).toEqual([...after.keys()]);
    for (const [buffer, value] of model.namedBuffers()) {
      const expected = after.get(buffer) as Tensor;
      expect(relativeDifference(value, expected), buffer).toBeLessThan(1e-5);
    }
  });

  // BatchNorm's backward pass subtracts the part of the gradient that follows the mean and the
  // variance, so that its own sums cancel: measured 2e-6 for the stem's bias.
  it('gives the same gradient for every parameter', () => {
    const model = build();
    F.crossEntropy(model.forward(golden.get('input')), labels).backward();
    const expected = golden.part('grad.');
    expect([...model.namedParameters().keys()]).toEqual([...expected.keys()]);
    for (const [parameter, { grad }] of model.namedParameters()) {
      if (!grad) throw new Error(`${parameter} has no gradient`);
      const difference = relativeDifference(grad, expected.get(parameter) as Tensor);
      expect(difference, parameter).toBeLessThan(2e-5);
    }
  });
});

describe('ResNet', () => {
  it('has the parameters and multiply-accumulates that the architectures are known for', () => {
    // torchvision: 11.69 M and 1.81 G, 25.56 M and 4.09 G.
    const imagenet = { imageSize: 224, numClasses: 1000 } as const;
    const [r18, r50] = [resnet18(imagenet), resnet50(imagenet)];
    expect(r18.numParameters()).toBe(11_689_512);
    expect(r50.numParameters()).toBe(25_557_032);
    expect(totalMacs(r18)).toBe(1_814_073_344);
    expect(totalMacs(r50)).toBe(4_089_184_256);
    // He et al., table 6: 0.27 M and 0.85 M, without the two shortcuts of 16 * 32 and 32 * 64.
    const shortcuts = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64;
    expect(resnet20().numParameters() - shortcuts).toBe(269_722);
    expect(resnet56().numParameters() - shortcuts).toBe(853_018);
  });

  it('counts parameters and multiply-accumulates of a pruned bottleneck as a hand does', () => {
    const model = resnet50({ blocks: [1, 1], baseWidth: 4, imageSize: 10, numClasses: 5 });
    const pruned = model.withWidths({ 'layer2.0.conv1': 3, 'layer2.0.conv2': 5 });
    const first = [4 * 4, 4 * 4 * 9, 4 * 16, 4 * 16]; // conv1, conv2, conv3, downsample
    const second = [16 * 3, 3 * 5 * 9, 5 * 32, 16 * 32];
    const norms = 2 * (4 + 4 + 4 + 16 + 16 + 3 + 5 + 32 + 32);
    const sum = (list: number[]): number => list.reduce((a, b) => a + b, 0);
    expect(pruned.numParameters()).toBe(3 * 4 * 9 + sum(first) + sum(second) + norms + 32 * 5 + 5);
    // The second stage's conv1 still works at 10x10; conv2 halves.
    const [c1, c2, c3, down] = second as [number, number, number, number];
    expect(pruned.macs()).toEqual([
      { name: 'conv1', macs: 100 * 108 },
      { name: 'layer1.0.conv1', macs: 100 * (16 + 144) },
      { name: 'layer1.0.conv2', macs: 100 * 64 },
      { name: 'layer1.0.downsample', macs: 100 * 64 },
      { name: 'layer2.0.conv1', macs: 100 * c1 + 25 * c2 },
      { name: 'layer2.0.conv2', macs: 25 * c3 },
      { name: 'layer2.0.downsample', macs: 25 * down },
      { name: 'fc', macs: 32 * 5 },
    ]);
  });

  it('has the stem of CIFAR up to 64 px and of ImageNet beyond, unless told', () => {
    const kernel = (model: ResNet): readonly number[] =>
      (model.stateDict().get('conv1.weight') as Tensor).shape.slice(2);
    const tiny = { blocks: [1], baseWidth: 4 };
    expect(kernel(resnet18({ ...tiny, imageSize: 64 }))).toEqual([3, 3]);
    expect(kernel(resnet18({ ...tiny, imageSize: 65 }))).toEqual([7, 7]);
    expect(kernel(resnet20({ ...tiny, stem: 'imagenet' }))).toEqual([7, 7]);
    expect(kernel(resnet18({ ...tiny, imageSize: 96, stem: 'cifar' }))).toEqual([3, 3]);
  });

  it("starts with torchvision's values", () => {
    manualSeed(0);
    const state = resnet18({ blocks: [1, 1] }).stateDict();
    const get = (name: string): Tensor => state.get(name) as Tensor;
    // He's normal distribution, fan out: sqrt(2 / (64 * 9)) and sqrt(2 / 128). Over 8,192 values and
    // more the standard error is 0.8% at most.
    const expected = { 'layer1.0.conv1': 64 * 9, 'layer2.0.downsample.0': 128 } as const;
    for (const [name, fan] of Object.entries(expected)) {
      expect(get(`${name}.weight`).std().item() / Math.sqrt(2 / fan), name).toBeCloseTo(1, 1);
    }
    expect(get('layer1.0.bn2.weight').toNumbers()).toEqual(Array<number>(64).fill(1));
    expect(get('layer1.0.bn2.bias').abs().max().item()).toBe(0);
  });

  it('regularises the weights without which a channel gives nothing', () => {
    manualSeed(0);
    const model = cases.bottleneck();
    const x = randn([2, 3, 24, 24]);
    noGrad(() => model.forward(x)); // statistics
    model.eval();
    const group = model.pruningGroups()[1] as PruningGroup;
    const [member, ...others] = group.members.filter(({ regularized }) => regularized === true);
    expect(others).toEqual([]);
    const output = (): Tensor => noGrad(() => model.forward(x));
    const weight = model.stateDict().get(member?.parameter ?? '') as Tensor;
    const dense = output();
    noGrad(() => weight.select(member?.dim ?? 0, 2).zero_());
    const shrunk = output();
    maskModel(model, new Map([[group.name, [0, 1, 3]]]));
    expect(output().equal(shrunk)).toBe(true);
    expect(shrunk.equal(dense)).toBe(false);
  });

  it('is rebuilt from its configuration, pruned too', () => {
    const model = cases.bottleneck().withWidths({ 'layer1.1.conv2': 2 });
    const config = JSON.parse(JSON.stringify(model.config)) as typeof model.config;
    const again = createModelFromConfig(config);
    expect([...again.stateDict()].map(([name, t]) => [name, t.shape])).toEqual(
      [...model.stateDict()].map(([name, t]) => [name, t.shape]),
    );
  });

  it('refuses options of other families, sizes that do not fit, and images of another size', () => {
    expect(() => createModel('resnet20', { patchSize: 4 })).toThrow(
      /resnet20: got the option `patchSize`, expected some of .*`stem`, `baseWidth`, `blocks`/,
    );
    expect(() => resnet20({ blocks: [] })).toThrow(UsageError);
    expect(() => resnet20({ blocks: [2, 0] })).toThrow(UsageError);
    const model = cases.basic();
    expect(() => model.forward(randn([1, 3, 24, 24]))).toThrow(
      /got images of shape \[1, 3, 24, 24\], expected \[batch, 3, 12, 12\]/,
    );
    expect(() => model.withWidths({ 'layer1.0.conv2': 3 })).toThrow(
      /with the width of layer1\.0\.conv2/,
    );
  });
});
