// A backbone whose classifier stands beside it, or has another name, and what is not certain to be one.
import { type Tensor, eye, manualSeed, noGrad, ones, randn, zeros } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { createModel } from '../registry.js';
import { relativeDifference } from '../testing/parity.js';
import { importStateDict } from './model.js';

type Tensors = Map<string, Tensor>;

const sizes = {
  resnet: { arch: 'resnet18', blocks: [1, 1], baseWidth: 4, imageSize: 16 },
  vit: { arch: 'vit_tiny', dModel: 24, heads: 3, depth: 1, imageSize: 16, patchSize: 8 },
} as const;

const own = { resnet: 'fc', vit: 'head' };
type FamilyName = keyof typeof own;

function made(family: FamilyName) {
  manualSeed(1);
  const { arch, ...options } = sizes[family];
  const model = createModel(arch, { numClasses: 5, ...options }).eval();
  noGrad(() => {
    for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.1));
  });
  return model;
}

/** @param place - of the backbone's tensors and of its classifier, in the file */
function apart(family: FamilyName, backbone: string, classifier: string): Tensors {
  return new Map(
    Array.from(made(family).stateDict(), ([name, tensor]): [string, Tensor] => {
      const isClassifier = name.startsWith(`${own[family]}.`);
      const short = name.slice(own[family].length + 1);
      return [isClassifier ? `${classifier}.${short}` : backbone + name, tensor];
    }),
  );
}

const read = (family: FamilyName, tensors: Tensors) => importStateDict(tensors, sizes[family]);

describe('a classifier beside its backbone', () => {
  it.each([
    ['resnet', 'backbone.', 'head'],
    ['resnet', 'model.encoder.', 'model.classifier.1'],
    ['resnet', '', 'classifier'],
    ['resnet', '', 'last_linear'],
    ['vit', 'vit.', 'classifier'],
    ['vit', '', 'fc'],
    ['vit', 'net.backbone.', 'net.head.fc'],
    // nn.Sequential(backbone, Linear), with a Dropout between them, or in a Sequential of its own.
    ['vit', 'model.0.', 'model.1'],
    ['resnet', '0.', '2'],
    ['resnet', 'net.0.', 'net.1.1'],
  ] as const)('is read: %s behind "%s", classifier %s', (family, backbone, classifier) => {
    const tensors = apart(family, backbone, classifier);
    // What Lightning modules keep beside a model.
    tensors.set('criterion.weight', ones([5]));
    if (backbone !== '') tensors.set('mean', zeros([3]));
    const model = made(family);
    const images = randn([2, 3, 16, 16]);
    const found = read(family, tensors);
    const got = noGrad(() => found.model.forward(images));
    expect(got.equal(noGrad(() => model.forward(images)))).toBe(true);
    expect(found.notes.join(' ')).toContain(
      `The layer "${classifier}" was taken for the classifier of this backbone`,
    );
    expect(found.notes.join(' ')).not.toMatch(/Left out.*(?:head|classifier|fc|last_linear)\./);
  });

  it('is the one of its own model where a dict holds several', () => {
    const tensors = apart('resnet', 'model.backbone.', 'model.head');
    for (const [name, tensor] of apart('resnet', 'ema.backbone.', 'ema.head')) {
      tensors.set(name, tensor);
    }
    tensors.set('ema.head.bias', ones([5]).mul(7));
    const found = read('resnet', tensors);
    expect(found.notes.join(' ')).toContain('"ema.head" was taken for the classifier');
    expect(found.model.stateDict().get('fc.bias')?.toNumbers()).toEqual([7, 7, 7, 7, 7]);
    // With the steps of wrappers, as the file has it, and without.
    for (const key of ['backbone', 'model.backbone', 'model']) {
      const other = importStateDict(tensors, { ...sizes.resnet, key });
      expect(other.notes.join(' '), key).toContain('"model.head" was taken for the classifier');
    }
  });

  it('may have no bias, as others may', () => {
    const tensors = apart('resnet', 'backbone.', 'head');
    tensors.delete('head.bias');
    expect(read('resnet', tensors).notes.join(' ')).toMatch(
      /"head" was taken.*has no bias in the file; a bias of zeros/,
    );
  });

  it('is refused where the backbone has one, unless that one is asked for', () => {
    const tensors: Tensors = new Map(
      Array.from(made('resnet').stateDict(), ([name, tensor]) => [`backbone.${name}`, tensor]),
    );
    // Behind the other, and in its place.
    for (const inputs of [5, 8]) {
      tensors.set('head.weight', zeros([2, inputs]));
      expect(() => read('resnet', tensors)).toThrow(
        `got 'backbone.fc.weight' of shape [5, 8] as the classifier of a model, and 'head.weight' of shape [2, ${inputs}] beside it, expected one`,
      );
      expect(() => read('resnet', tensors)).toThrow(
        /Give `classifier` 'backbone\.fc' or 'head' if it reads that one alone.*`key` "backbone" does too\./,
      );
      const { model, notes } = importStateDict(tensors, { ...sizes.resnet, key: 'backbone' });
      expect(model.config.numClasses).toBe(5);
      expect(notes.join(' ')).toMatch(/Left out 1 entry that is not the model's: head\.weight/);
    }
    // What reads something else is none.
    tensors.set('head.weight', zeros([2, 7]));
    expect(read('resnet', tensors).model.config.numClasses).toBe(5);
  });

  it('may have any name that tells of nothing else, and BatchNorm in its Sequential', () => {
    const model = made('resnet');
    const images = randn([2, 3, 16, 16]);
    const expected = noGrad(() => model.forward(images));
    for (const name of ['final', 'fc1', 'mlp_head', 'predictor', 'other.1']) {
      const found = read('resnet', apart('resnet', 'backbone.', name));
      expect(noGrad(() => found.model.forward(images)).equal(expected), name).toBe(true);
    }
    const tensors = apart('resnet', 'backbone.', 'head.3');
    const before = [1, 2, 3, 4].map(() => noGrad(() => randn([8]).abs().add(0.5)));
    const behind = [1, 2].map(() => noGrad(() => randn([5]).abs().add(0.5)));
    ['running_mean', 'running_var', 'weight', 'bias'].forEach((part, i) => {
      tensors.set(`head.1.${part}`, before[i] as Tensor);
    });
    ['running_mean', 'running_var'].forEach((part, i) => {
      tensors.set(`head.4.${part}`, behind[i] as Tensor);
    });
    const { model: folded, notes } = read('resnet', tensors);
    expect(notes.join(' ')).toContain(
      'BatchNorm fc.1, fc.4 was multiplied into the weights of the classifier fc.3',
    );
    const normed = (x: Tensor, [mean, variance, weight, bias]: readonly Tensor[]): Tensor => {
      const scaled = x.sub(mean as Tensor).div((variance as Tensor).add(1e-5).sqrt());
      return weight && bias ? scaled.mul(weight).add(bias) : scaled;
    };
    const state = model.stateDict();
    const weight = state.get('fc.weight') as Tensor;
    const logits = noGrad(() => {
      // The features, by a classifier that changes nothing.
      const plain = made('resnet').stateDict();
      const through = importStateDict(
        new Map([...plain, ['fc.weight', eye(8)], ['fc.bias', zeros([8])]]),
        sizes.resnet,
      ).model;
      const features = normed(through.forward(images), before);
      return normed(features.matmul(weight.t()).add(state.get('fc.bias') as Tensor), behind);
    });
    const got = noGrad(() => folded.forward(images));
    // float32 rounds by 6e-8, in sums of eight terms.
    expect(relativeDifference(got, logits)).toBeLessThan(1e-5);
  });

  it.each<[string, [name: string, shape: number[]][]]>([
    ['a second layer', [['head2.weight', [5, 5]]]],
    ['a norm', [['norm.weight', [8]]]],
    ['the exponent of a pooling', [['pool.p', [1]]]],
    ['a statistic', [['bn.running_mean', [8]]]],
    ['a matrix', [['prototypes', [5, 8]]]],
    ['a pooler', [['backbone.pooler.dense.weight', [8, 8]]]],
  ])('is not guessed where it does not stand alone: %s', (_, more) => {
    const tensors = apart('resnet', 'backbone.', 'head');
    for (const [name, shape] of more) tensors.set(name, zeros(shape));
    expect(() => read('resnet', tensors)).toThrow(/got weights without 'fc\.weight'/);
  });

  it('is not guessed where its name tells of something else, or it is no linear layer', () => {
    const projection = apart('resnet', 'backbone.', 'projector');
    expect(() => read('resnet', projection)).toThrow(/got weights without 'fc\.weight'/);
    const before = apart('resnet', 'model.1.', 'model.0');
    expect(() => read('resnet', before)).toThrow(/got weights without 'fc\.weight'/);
    const convolution = apart('resnet', 'backbone.', 'head');
    convolution.set('head.weight', zeros([5, 8, 1, 1]));
    expect(() => read('resnet', convolution)).toThrow(/got weights without 'fc\.weight'/);
  });
});
