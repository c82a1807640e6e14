// A classifier that the caller names, and norms over the batch that stand beside one as attributes.
import { type Tensor, eye, manualSeed, noGrad, ones, randn, zeros } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import type { ImageModel } from '../image-model.js';
import { createModel } from '../registry.js';
import { asHuggingFace } from '../testing/other-names.js';
import { relativeDifference } from '../testing/parity.js';
import { type ImportOptions, importStateDict } from './model.js';

type Tensors = Map<string, Tensor>;

const sizes = { arch: 'resnet18', blocks: [1, 1], baseWidth: 4, imageSize: 16 } as const;
/** Features of that network. */
const width = 8;

function made(): ImageModel {
  manualSeed(1);
  const { arch, ...options } = sizes;
  return createModel(arch, { numClasses: 5, ...options }).eval();
}

const imagesOf = (): Tensor => {
  manualSeed(2);
  return randn([2, 3, 16, 16]);
};

const run = (model: ImageModel): Tensor => noGrad(() => model.forward(imagesOf()));

/** @param prefix - before the names of the backbone, which has no classifier */
const backbone = (prefix: string): Tensors =>
  new Map(
    Array.from(made().stateDict())
      .filter(([name]) => !name.startsWith('fc.'))
      .map(([name, tensor]) => [prefix + name, tensor]),
  );

function addLinear(tensors: Tensors, name: string, classes: number): void {
  tensors.set(`${name}.weight`, randn([classes, width]));
  tensors.set(`${name}.bias`, randn([classes]));
}

function addNorm(tensors: Tensors, name: string, size: number): void {
  for (const part of ['weight', 'running_mean', 'bias'])
    tensors.set(`${name}.${part}`, randn([size]));
  tensors.set(
    `${name}.running_var`,
    noGrad(() => randn([size]).abs().add(0.5)),
  );
  tensors.set(`${name}.num_batches_tracked`, ones([]));
}

const read = (tensors: Tensors, said: ImportOptions = {}) =>
  importStateDict(tensors, { ...sizes, ...said });

/** What layers make of the features of the backbone, one after the other. */
function through(tensors: Tensors, layers: readonly string[]): Tensor {
  return noGrad(() => {
    let x = featuresOf();
    for (const layer of layers) {
      const [weight, bias, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(
        (part) => tensors.get(`${layer}.${part}`) as Tensor,
      ) as [Tensor, Tensor, Tensor, Tensor];
      x =
        weight.ndim === 2
          ? x.matmul(weight.t()).add(bias)
          : x.sub(mean).div(variance.add(1e-5).sqrt()).mul(weight).add(bias);
    }
    return x;
  });
}

/** By a classifier that changes nothing. */
function featuresOf(): Tensor {
  const through: Tensors = new Map([
    ...backbone(''),
    ['fc.weight', eye(width)],
    ['fc.bias', zeros([width])],
  ]);
  return run(read(through).model);
}

/** float32 rounds by 6e-8, in sums of eight terms. */
const rounding = 1e-5;

describe('BatchNorm as an attribute beside a classifier', () => {
  it.each([
    ['before it', ['bn', 'fc']],
    ['behind it', ['fc', 'last_bn']],
    ['on both sides', ['bottleneck', 'classifier', 'out_bn']],
  ])('is read where its width tells that it runs %s', (_, layers) => {
    const tensors = backbone('backbone.');
    const at = layers.findIndex((layer) => /fc|classifier/.test(layer));
    layers.forEach((layer, i) => {
      if (i === at) addLinear(tensors, layer, 5);
      else addNorm(tensors, layer, i < at ? width : 5);
    });
    const { model, notes } = read(tensors);
    expect(relativeDifference(run(model), through(tensors, layers))).toBeLessThan(rounding);
    expect(notes.join(' ')).toMatch(
      /No tensor tells in which order layers run: the BatchNorm .* (?:before|behind) it/,
    );
    // Said, they are the same.
    const named = read(tensors, { classifier: layers.join(',') });
    expect(run(named.model).equal(run(model))).toBe(true);
    expect(named.notes.join(' ')).not.toContain('No tensor tells');
  });

  it('is read in the order that was said where widths do not tell it, and refused where nobody says it', () => {
    const tensors = backbone('backbone.');
    addNorm(tensors, 'bn', width);
    addLinear(tensors, 'fc', width);
    expect(() => read(tensors)).toThrow(
      'Beside the backbone lie bn [8], fc [8, 8], and no tensor tells in which order they run: `classifier` names them in it, such as bn,fc, and leaves out',
    );
    for (const layers of [['bn', 'fc'], ['fc', 'bn'], ['fc']]) {
      const { model } = read(tensors, { classifier: layers.join(', ') });
      expect(relativeDifference(run(model), through(tensors, layers))).toBeLessThan(rounding);
    }
  });

  it('is named in the refusal of a model that has it among its own layers', () => {
    const tensors = backbone('');
    addNorm(tensors, 'last_bn', width);
    addLinear(tensors, 'fc', 5);
    expect(() => read(tensors)).toThrow(/In the model lie last_bn \[8\], fc \[5, 8\].*last_bn,fc/);
    const { model } = read(tensors, { classifier: 'last_bn,fc' });
    expect(relativeDifference(run(model), through(tensors, ['last_bn', 'fc']))).toBeLessThan(
      rounding,
    );
  });

  it('is told from norms of another kind, which no classifier can take in', () => {
    const tensors = backbone('backbone.');
    addLinear(tensors, 'fc', 5);
    for (const part of ['weight', 'bias']) tensors.set(`norm.${part}`, randn([width]));
    expect(() => read(tensors)).toThrow(
      /norm, which keeps no statistics as BatchNorm does, is a norm of another kind \(LayerNorm\).*does not use it, `classifier` fc leaves it out/,
    );
    expect(() => read(tensors, { classifier: 'norm,fc' })).toThrow(
      /`classifier`: got 'norm,fc', of which norm is a norm of another kind \(LayerNorm\)/,
    );
    const { model } = read(tensors, { classifier: 'fc' });
    expect(relativeDifference(run(model), through(tensors, ['fc']))).toBeLessThan(rounding);
  });
});

describe('a norm over the batch in names that a ViT of Hugging Face shares', () => {
  it('is read as one beside them', () => {
    manualSeed(1);
    const options = { dModel: 24, heads: 3, depth: 1, imageSize: 16, patchSize: 8, numClasses: 5 };
    const model = createModel('vit_tiny', options).eval();
    const state = asHuggingFace(model.stateDict(), 'vit.', 4);
    for (const part of ['weight', 'bias']) {
      state.set(`head.${part}`, state.get(`classifier.${part}`) as Tensor);
      state.delete(`classifier.${part}`);
    }
    const said = { ...options, arch: 'vit_tiny', eps: 1e-6 };
    const expected = run(importStateDict(state, said).model);
    addNorm(state, 'bn', 24);
    for (const part of ['running_mean', 'bias']) state.set(`bn.${part}`, zeros([24]));
    state.set('bn.running_var', ones([24]).sub(1e-5));
    state.set('bn.weight', ones([24]).mul(2));
    const plain = state.get('head.bias') as Tensor;
    const found = importStateDict(state, said);
    const got = noGrad(() => run(found.model).sub(plain).div(2).add(plain));
    expect(relativeDifference(got, expected)).toBeLessThan(rounding);
    expect(found.notes.join(' ')).toContain('the BatchNorm bn [24] before it is taken');
  });
});

describe('one of several classifiers', () => {
  it.each([
    ['beside a backbone', 'backbone.', ['fc_a', 'fc_b']],
    ['in a ModuleDict', 'net.', ['heads.age', 'heads.sex']],
    ['in a ModuleList', 'model.encoder.', ['model.heads.0', 'model.heads.1']],
    ['among the layers of the model', '', ['fc_a', 'fc_b']],
    ['beside the one of the model itself', '', ['fc', 'head_b']],
  ])('is taken by its name: %s', (_, prefix, [first = '', second = '']) => {
    const tensors = backbone(prefix);
    addLinear(tensors, first, 5);
    addLinear(tensors, second, 3);
    expect(() => read(tensors)).toThrow(
      `The linear layers ${first} [5, 8], ${second} [3, 8] may be its classifier: \`classifier\` names the one that is meant.`,
    );
    for (const [layer, classes] of [
      [first, 5],
      [second, 3],
    ] as const) {
      const { model, notes, info } = read(tensors, { classifier: layer });
      expect(model.config.numClasses).toBe(classes);
      expect(relativeDifference(run(model), through(tensors, [layer]))).toBeLessThan(rounding);
      expect(notes.join(' ')).toContain(`The classifier is ${layer} [${classes}, 8], as`);
      // With it the file gives the same again.
      expect(info.history[0]).toMatchObject({ step: 'import', classifier: layer });
    }
  });

  it('is taken with the norms of its Sequential, whatever of it is named', () => {
    const tensors = backbone('net.');
    for (const [name, classes] of [
      ['a', 5],
      ['b', 3],
    ] as const) {
      addNorm(tensors, `${name}.0`, width);
      addLinear(tensors, `${name}.2`, classes);
    }
    expect(() => read(tensors)).toThrow('The linear layers a.2 [5, 8], b.2 [3, 8] may be');
    for (const classifier of ['b', 'b.2']) {
      const { model } = read(tensors, { classifier });
      expect(relativeDifference(run(model), through(tensors, ['b.0', 'b.2']))).toBeLessThan(
        rounding,
      );
    }
  });

  it('is no layer of a Sequential before which another one may run', () => {
    const tensors = backbone('net.');
    tensors.set('head.0.weight', randn([width, width]));
    addLinear(tensors, 'head.2', 5);
    // Such layers are not listed to choose from.
    expect(() => read(tensors)).toThrow(
      'Beside the backbone lie head.0.weight [8, 8], head.2.weight',
    );
    expect(() => read(tensors, { classifier: 'head.2' })).toThrow(
      "`classifier`: got 'head.2', beside which head.0 [8, 8] lies in head and may run before it, expected one linear layer that reads the features",
    );
  });

  it('is no layer behind another one where a Sequential is the whole model', () => {
    const tensors = backbone('0.');
    addLinear(tensors, '1', width);
    addLinear(tensors, '3', 5);
    expect(() => read(tensors, { classifier: '3' })).toThrow(
      "`classifier`: got '3', beside which 1 [8, 8] lies in the same Sequential and may run before it",
    );
  });

  it('leaves in place what its name tells to run before the classifier, which is refused', () => {
    const tensors = backbone('');
    addLinear(tensors, 'fc', 5);
    addLinear(tensors, 'attn_pool.q', width);
    expect(() => read(tensors, { classifier: 'fc' })).toThrow(/unexpected: attn_pool\.q\.weight/);
  });

  it('is taken where a second one stands beside that of the model', () => {
    const tensors: Tensors = new Map([
      ...backbone('backbone.'),
      ['backbone.fc.weight', randn([5, width])],
      ['backbone.fc.bias', randn([5])],
    ]);
    addLinear(tensors, 'head', 3);
    expect(() => read(tensors)).toThrow("Give `classifier` 'backbone.fc' or 'head'");
    for (const classifier of ['backbone.fc', 'fc']) {
      expect(read(tensors, { classifier }).model.config.numClasses).toBe(5);
    }
    const { model } = read(tensors, { classifier: 'head' });
    expect(relativeDifference(run(model), through(tensors, ['head']))).toBeLessThan(rounding);
  });

  it.each([
    [
      'fc_c',
      "got 'fc_c', expected the name of a linear layer of the file: fc_a [5, 8], fc_b [3, 8].",
    ],
    ['', "got '', expected the name of a linear layer of the file"],
    ['backbone', "got 'backbone', expected the name of a linear layer"],
    [
      'backbone.layer1',
      "got 'backbone.layer1', which has no linear layer, expected one linear layer",
    ],
    ['fc_a,fc_b', "got 'fc_a,fc_b', which has 2 linear layers (fc_a [5, 8], fc_b [3, 8])"],
  ])('is refused for a name of none: "%s"', (classifier, message) => {
    const tensors = backbone('backbone.');
    addLinear(tensors, 'fc_a', 5);
    addLinear(tensors, 'fc_b', 3);
    expect(() => read(tensors, { classifier })).toThrow(`\`classifier\`: ${message}`);
  });

  it('is a name that no option else is told by: one of another width does not fit', () => {
    const tensors = backbone('backbone.');
    addLinear(tensors, 'fc_a', 5);
    tensors.set('text.weight', zeros([5, 7]));
    expect(() => read(tensors, { classifier: 'text' })).toThrow(/fc\.weight/);
    expect(() => read(tensors, { classifier: 5 as unknown as string })).toThrow(UsageError);
  });
});
