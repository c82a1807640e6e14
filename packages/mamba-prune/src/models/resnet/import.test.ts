// ResNets under the names and in the forms of other programs; real-peers.test.ts has the programs themselves.
import {
  FormatError,
  type Tensor,
  cat,
  manualSeed,
  noGrad,
  ops,
  randn,
  setNumThreads,
  zeros,
} from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import type { ModelOptions } from '../model-options.js';
import type { ImageModel } from '../image-model.js';
import { type ImportOptions, importStateDict } from '../import/model.js';
import { createModel } from '../registry.js';
import { asHuggingFaceResNet, asKuangliu, asWeiaicunzai } from '../testing/other-names.js';
import { relativeDifference } from '../testing/parity.js';

// Tensors this small are done sooner than a second thread has begun.
setNumThreads(1);

function trained(arch: string, options: ModelOptions): ImageModel {
  manualSeed(3);
  const model = createModel(arch, { numClasses: 4, ...options });
  noGrad(() => {
    for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.1));
    for (const [name, value] of model.stateDict()) {
      if (name.endsWith('running_var')) ops.uniform_(value, 0.5, 2);
    }
  });
  return model.eval();
}

const run = (model: ImageModel, images: Tensor): Tensor => noGrad(() => model.forward(images));

const basic = { arch: 'resnet18', blocks: [2, 1], baseWidth: 8, imageSize: 32 } as const;
const deep = { arch: 'resnet50', blocks: [1, 1], baseWidth: 4, imageSize: 32 } as const;
const made = ({ arch, ...sizes }: typeof basic | typeof deep, more: ModelOptions = {}) =>
  trained(arch, { ...sizes, ...more });

function expectSame(
  given: Map<string, Tensor>,
  model: ImageModel,
  options: ImportOptions,
): readonly string[] {
  manualSeed(4);
  const { imageSize } = model.config;
  const images = randn([2, 3, imageSize, imageSize]);
  const found = importStateDict(given, options);
  expect(found.model.config).toEqual(model.config);
  expect(run(found.model, images).equal(run(model, images))).toBe(true);
  return found.notes;
}

describe('names of other programs', () => {
  it("are read: kuangliu's", () => {
    const model = made(basic);
    const notes = expectSame(asKuangliu(model.stateDict()), model, basic);
    expect(notes[0]).toMatch(/^The names of kuangliu were turned into those of torchvision/);
  });

  it('are read: a Sequential of the children, as features are often taken, with the classifier in it or beside it', () => {
    const layers = { 'conv1.': '0.', 'bn1.': '1.', 'layer1.': '4.', 'layer2.': '5.', 'fc.': '10.' };
    for (const options of [basic, deep]) {
      const model = made(options);
      const given = new Map(
        Array.from(model.stateDict(), ([name, value]): [string, Tensor] => [
          name.replace(/^\w+\./, (layer) => layers[layer as keyof typeof layers]),
          value,
        ]),
      );
      const notes = expectSame(given, model, options);
      expect(notes[0]).toMatch(
        /^The names of a Sequential of the layers were turned into those of/,
      );
      const beside = new Map(
        Array.from(given, ([name, value]): [string, Tensor] => [
          name.startsWith('10.')
            ? name.replace('10.', 'model.classifier.')
            : `model.features.${name}`,
          value,
        ]),
      );
      expect(expectSame(beside, model, options).join()).toContain('"model.classifier" was taken');
    }
    const se = new Map([
      ['0.weight', zeros([8, 3, 7, 7])],
      ['1.running_mean', zeros([8])],
      ['4.0.conv1.weight', zeros([8, 8, 3, 3])],
      ['4.0.se.fc1.weight', zeros([2, 8, 1, 1])],
      ['10.weight', zeros([4, 8])],
    ]);
    expect(() => importStateDict(se)).toThrow(/weights its channels \(SE, ECA\)/);
  });

  it.each([
    ['basic blocks', basic],
    ['bottlenecks', deep],
  ] as const)("are read: weiaicunzai's, with %s", (_, options) => {
    const model = made(options, { stem: 'cifar' });
    const given = asWeiaicunzai(model.stateDict());
    expect([...given.keys()]).toContain('conv2_x.0.residual_function.3.weight');
    const notes = expectSame(given, model, options);
    expect(notes[0]).toMatch(/^The names of weiaicunzai were turned into those of torchvision/);
  });

  it.each([
    ['basic blocks', basic],
    ['bottlenecks', deep],
  ] as const)("are read: Hugging Face's, with %s", (_, options) => {
    const model = made(options, { stem: 'imagenet' });
    const notes = expectSame(asHuggingFaceResNet(model.stateDict()), model, options);
    expect(notes.join(' ')).toMatch(
      /Hugging Face.*no shape tells it: (?:strides.*, )?max pooling behind.*no dilation, the mean over all pixels at the end, ReLU/s,
    );
  });

  it.each([
    ['kuangliu', asKuangliu, 'linear'],
    ['weiaicunzai', asWeiaicunzai, 'fc'],
  ] as const)('are read: a classifier with a number under the names of %s', (_, as, layer) => {
    const model = made(basic, { stem: 'cifar' });
    const given = as(model.stateDict());
    for (const part of ['weight', 'bias']) {
      given.set(`${layer}.1.${part}`, given.get(`${layer}.${part}`) as Tensor);
      given.delete(`${layer}.${part}`);
    }
    expectSame(given, model, basic);
    given.set(`${layer}.4.weight`, zeros([4, 16]));
    expect(() => importStateDict(given, basic)).toThrow(/has several layers/);
  });

  it('are read: a classifier with a number, as behind a dropout', () => {
    const model = made(basic);
    const given = model.stateDict();
    for (const part of ['weight', 'bias']) {
      given.set(`fc.1.${part}`, given.get(`fc.${part}`) as Tensor);
      given.delete(`fc.${part}`);
    }
    expectSame(given, model, basic);
    given.set('fc.4.weight', zeros([4, 16]));
    expect(() => importStateDict(given, basic)).toThrow(
      /both 'fc.1.weight' and 'fc.4.weight', which are both 'fc.weight'.* The fc of the file has several layers: no architecture here has more than one there/,
    );
  });

  it('tell wide networks by their widths', () => {
    const wide = made(deep).withWidths({
      'layer1.0.conv1': 8,
      'layer1.0.conv2': 8,
      'layer2.0.conv1': 16,
      'layer2.0.conv2': 16,
    });
    expectSame(wide.eval().stateDict(), wide, deep);
  });
});

describe('convolutions with biases', () => {
  it.each([
    ['basic blocks', basic, ['conv1', 'layer1.0.conv2', 'layer2.0.downsample.0']],
    ['bottlenecks', deep, ['layer1.0.conv3', 'layer1.0.downsample.0']],
  ] as const)(
    'are read, for the norm behind them subtracts what they add: %s',
    (_, options, biased) => {
      const model = made(options);
      const given = new Map(model.stateDict());
      const images = randn([2, 3, 32, 32]);
      const expected = run(model, images);
      noGrad(() => {
        for (const name of biased) {
          const norm = name.replace(/conv(\d)$/, 'bn$1').replace(/downsample\.0$/, 'downsample.1');
          const mean = given.get(`${norm}.running_mean`) as Tensor;
          const bias = randn(mean.shape);
          given.set(`${name}.bias`, bias);
          // So that the model computes what it did.
          given.set(`${norm}.running_mean`, mean.add(bias));
        }
      });
      const found = importStateDict(given, options);
      // float32 rounds by 6e-8, in up to ten layers.
      expect(relativeDifference(run(found.model, images), expected)).toBeLessThan(1e-5);
      expect(found.notes.join(' ')).toContain(
        `The biases of ${biased.join(', ')}, before a BatchNorm, were taken off its mean`,
      );
    },
  );

  it('are refused where there is no norm of their width', () => {
    const given = new Map(made(basic).stateDict());
    given.set('conv1.bias', zeros([3]));
    expect(() => importStateDict(given, basic)).toThrow(/unexpected: conv1\.bias/);
  });
});

describe('shortcuts without parameters', () => {
  /** akamaster's ResNet: option A of the paper. */
  function optionA(): { given: Map<string, Tensor>; model: ImageModel } {
    const model = trained('resnet20', { blocks: [1, 1, 1], baseWidth: 4, imageSize: 16 });
    const given = asKuangliu(model.stateDict());
    for (const name of [...given.keys()]) if (name.includes('shortcut')) given.delete(name);
    return { given, model };
  }
  const said: ImportOptions = { arch: 'resnet20', blocks: [1, 1, 1], baseWidth: 4, imageSize: 16 };

  /** The forward pass as its program does it, from the tensors. */
  function reference(given: Map<string, Tensor>, images: Tensor, padding: 'both' | 'end'): Tensor {
    const t = (name: string) => given.get(name) as Tensor;
    const norm = (x: Tensor, bn: string) => {
      const [mean, variance, weight, bias] = ['running_mean', 'running_var', 'weight', 'bias'].map(
        (part) => t(`${bn}.${part}`).view(1, -1, 1, 1),
      ) as [Tensor, Tensor, Tensor, Tensor];
      return x.sub(mean).div(variance.add(1e-5).sqrt()).mul(weight).add(bias);
    };
    const conv = (x: Tensor, name: string, stride: number) =>
      ops.conv2d(x, t(`${name}.weight`), null, [stride, stride], [1, 1]);
    let x = norm(conv(images, 'conv1', 1), 'bn1').relu();
    for (const [stage, stride] of [
      [1, 1],
      [2, 2],
      [3, 2],
    ] as const) {
      const block = `layer${stage}.0`;
      const y = norm(conv(x, `${block}.conv1`, stride), `${block}.bn1`).relu();
      const z = norm(conv(y, `${block}.conv2`, 1), `${block}.bn2`);
      const kept = stride === 1 ? x : ops.maxPool2d(x, 1, 2);
      const [batch = 0, channels = 0, ...sides] = kept.shape;
      const missing = z.size(1) - channels;
      const before = padding === 'both' ? missing / 2 : 0;
      const none = (count: number) => (count > 0 ? [zeros([batch, count, ...sides])] : []);
      x = z.add(cat([...none(before), kept, ...none(missing - before)], 1)).relu();
    }
    return x.mean([2, 3]).matmul(t('linear.weight').transpose(0, 1)).add(t('linear.bias'));
  }

  it.each([
    ['both', {}, 'linear'],
    ['end', { shortcutPadding: 'end' }, 'linear'],
    ['both', { shortcutPadding: 'both' }, 'fc'],
  ] as const)('become projections: zeros at %s with %j, classifier %s', (padding, more, name) => {
    const { given } = optionA();
    const images = randn([2, 3, 16, 16]);
    const expected = noGrad(() => reference(given, images, padding));
    if (name === 'fc') {
      for (const part of ['weight', 'bias']) {
        given.set(`fc.${part}`, given.get(`linear.${part}`) as Tensor);
        given.delete(`linear.${part}`);
      }
    }
    const { model, notes, assumed } = importStateDict(given, { ...said, ...more });
    // Roundings of seven layers, in another order.
    expect(relativeDifference(run(model, images), expected)).toBeLessThan(1e-5);
    expect(notes.join(' ')).toMatch(/option A.*1x1 convolutions.*trained on, they are trained too/);
    expect(assumed.includes('shortcutPadding both')).toBe(name === 'linear' && padding === 'both');
    // What a probe looks into is computed without the operator for a whole block.
    const probed = noGrad(() => model.forward(images, {}));
    expect(relativeDifference(probed, expected)).toBeLessThan(1e-5);
  });

  it('are asked for where no name tells what they do', () => {
    const { given } = optionA();
    for (const part of ['weight', 'bias']) {
      given.set(`fc.${part}`, given.get(`linear.${part}`) as Tensor);
      given.delete(`linear.${part}`);
    }
    expect(() => importStateDict(given, said)).toThrow(UsageError);
    expect(() => importStateDict(given, said)).toThrow(
      /option A.*`shortcutPadding`.*'both' or 'end'/,
    );
    expect(() => importStateDict(given, { arch: 'resnet56' })).toThrow(
      /not those of resnet56 as asked for.*option A.*`shortcutPadding`: 'both' or 'end'\.$/,
    );
    const other: ImportOptions = { ...basic, shortcutPadding: 'both' };
    expect(() => importStateDict(made(basic).stateDict(), other)).toThrow(
      /`shortcutPadding`: got 'both' for a model whose shortcuts have parameters/,
    );
  });
});

describe('what a ResNet here does not have', () => {
  it.each([
    ['layer1.0.se.fc1.weight', 'SE'],
    ['layer1.0.se.conv.weight', 'ECA'],
    ['conv1.0.weight', 'resnet50d'],
    ['layer2.0.downsample.2.weight', 'ResNet-D'],
    ['layer1.0.conv2.conv.weight', 'SK'],
    ['layer1.0.convs.0.weight', 'Res2Net'],
    ['maxpool.1.filt', 'BlurPool'],
  ])('is refused by name: %s', (name, what) => {
    const given = made(basic).stateDict();
    given.set(name, zeros([1]));
    const give = () => importStateDict(given, basic);
    expect(give).toThrow(FormatError);
    expect(give).toThrow(new RegExp(`got '${name}'.*${what}`));
  });

  it('is refused: groups, GroupNorm, pre-activation, a pruned residual stream, no classifier', () => {
    const change = (edit: (given: Map<string, Tensor>) => void, options: ImportOptions = deep) => {
      const given = made(options === deep ? deep : basic).stateDict();
      edit(given);
      return () => importStateDict(given, options);
    };
    expect(change((given) => given.set('layer1.0.conv2.weight', zeros([4, 1, 3, 3])))).toThrow(
      /4 groups \(ResNeXt\)/,
    );
    const without = (pattern: RegExp) => (given: Map<string, Tensor>) => {
      for (const name of [...given.keys()]) if (pattern.test(name)) given.delete(name);
    };
    expect(change(without(/running_|num_batches/))).toThrow(/GroupNorm/);
    expect(change(without(/^bn1\./))).toThrow(/pre-activation/);
    expect(change(without(/^fc\./))).toThrow(/num_classes=0/);
    const narrow = change(
      (given) => given.set('layer2.0.conv2.weight', zeros([11, 16, 3, 3])),
      basic,
    );
    expect(narrow).toThrow(
      /'layer2.0.conv2.weight' with 11 output channels, expected 16: 8 of the/,
    );
  });
});
