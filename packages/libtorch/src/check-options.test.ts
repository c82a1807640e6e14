// Calls as JavaScript can make them: what TypeScript refuses must not be passed over at run time.
import { describe, expect, it } from 'vitest';
import {
  F,
  type Tensor,
  arange,
  checkOptions,
  eye,
  fromTypedArray,
  full,
  grad,
  linspace,
  loadSafetensors,
  nn,
  ones,
  optim,
  rand,
  randint,
  randn,
  randperm,
  tensor,
  zeros,
} from './index.js';

const x = randn([2, 3, 4]);
const image = randn([2, 4, 5, 5]);
const parameter = (): Tensor => {
  const made = randn([2, 2]);
  made.requiresGrad = true;
  return made;
};

/** By function: calls it with something in the place of its options. */
const calls: Record<string, (options: never) => unknown> = {
  AdamW: (o) => new optim.AdamW([parameter()], o),
  SGD: (o) => new optim.SGD([parameter()], o),
  Muon: (o) => new optim.Muon([{ params: [parameter()], orthogonalize: true }], o),
  warmupCosine: (o) => optim.warmupCosine(o),
  'optim.linear': (o) => optim.linear(o),
  constant: (o) => optim.constant(o),
  multiStep: (o) => optim.multiStep(o),
  Linear: (o) => new nn.Linear(2, 2, o),
  Conv1d: (o) => new nn.Conv1d(2, 2, 3, o),
  Conv2d: (o) => new nn.Conv2d(2, 2, 3, o),
  LayerNorm: (o) => new nn.LayerNorm(2, o),
  BatchNorm2d: (o) => new nn.BatchNorm2d(2, o),
  crossEntropy: (o) => F.crossEntropy(randn([2, 3]), tensor([0, 1], { dtype: 'int64' }), o),
  linear: (o) => F.linear(x, randn([5, 4]), o),
  layerNorm: (o) => F.layerNorm(x, [4], o),
  causalConv1d: (o) => F.causalConv1d(x, randn([4, 1, 3]), o),
  selectiveScan: (o) => F.selectiveScan(x, x, randn([4, 2]), randn([2, 3, 2]), randn([2, 3, 2]), o),
  tensor: (o) => tensor([1], o),
  fromTypedArray: (o) => fromTypedArray(new Float32Array(1), [1], o),
  zeros: (o) => zeros([1], o),
  ones: (o) => ones([1], o),
  full: (o) => full([1], 2, o),
  arange: (o) => arange(0, 2, 1, o),
  linspace: (o) => linspace(0, 1, 2, o),
  eye: (o) => eye(2, o),
  rand: (o) => rand([1], o),
  randn: (o) => randn([1], o),
  randint: (o) => randint(0, 2, [1], o),
  randperm: (o) => randperm(2, o),
  kaimingNormal: (o) => nn.init.kaimingNormal(randn([2, 2]), o),
  kaimingUniform: (o) => nn.init.kaimingUniform(randn([2, 2]), o),
  xavierNormal: (o) => nn.init.xavierNormal(randn([2, 2]), o),
  xavierUniform: (o) => nn.init.xavierUniform(randn([2, 2]), o),
  truncNormal: (o) => nn.init.truncNormal(randn([2, 2]), o),
  uniform: (o) => nn.init.uniform(randn([2, 2]), 0, 1, o),
  normal: (o) => nn.init.normal(randn([2, 2]), 0, 1, o),
  add: (o) => x.add(1, o),
  sub: (o) => x.sub(x, o),
  add_: (o) => x.clone().add_(1, o),
  sub_: (o) => x.clone().sub_(x, o),
  backward: (o) => {
    parameter().sum().backward(undefined, o);
  },
  grad: (o) => {
    const p = parameter();
    return grad([p.sum()], [p], o);
  },
  loadStateDict: (o) => new nn.Linear(1, 1).loadStateDict(new Map(), o),
  loadSafetensors: (o) => loadSafetensors('there is no such file', o),
};

describe.each(Object.entries(calls))('%s', (_, call) => {
  it('refuses an option that it does not have, naming those that it has', () => {
    expect(() => call({ nosuch: 1 } as never)).toThrow(TypeError);
    expect(() => call({ nosuch: 1 } as never)).toThrow(
      /got the option `nosuch`, expected some of `\w+`/,
    );
  });

  it.each([
    ['a number', 0.2],
    ['a string', 'float64'],
    ['a boolean', false],
    ['null', null],
    ['an array', [1]],
    ['a tensor', ones([4])],
    ['a function', () => 1],
  ])('refuses %s in place of the options', (__, options) => {
    expect(() => call(options as never)).toThrow(TypeError);
    expect(() => call(options as never)).toThrow(
      /in place of the options, expected an object such/,
    );
  });
});

describe('wrong kinds', () => {
  it.each<[string, () => unknown, string]>([
    [
      'lr',
      () => new optim.AdamW([parameter()], { lr: '0.1' as never }),
      "AdamW: lr: got the string '0.1', expected a number.",
    ],
    [
      'betas',
      () => new optim.AdamW([parameter()], { betas: 0.9 as never }),
      'AdamW: betas: got the number 0.9, expected an array.',
    ],
    [
      'nesterov',
      () => new optim.SGD([parameter()], { lr: 1, nesterov: 'no' as never }),
      "SGD: nesterov: got the string 'no', expected true or false.",
    ],
    [
      'bias',
      () => new nn.Linear(2, 2, { bias: 0 as never }),
      'Linear: bias: got the number 0, expected true or false.',
    ],
    [
      'stride',
      () => new nn.Conv2d(4, 2, 3, { stride: '2' as never }).forward(image),
      "Conv2d: stride: got the string '2', expected a number or an array.",
    ],
    [
      'silu',
      () => F.causalConv1d(x, randn([4, 1, 3]), { silu: 'false' as never }),
      "causalConv1d: silu: got the string 'false', expected true or false.",
    ],
    [
      'a group',
      () => new optim.AdamW([{ params: [parameter()], weight_decay: 0 } as never]),
      'AdamW: group 0: got the option `weight_decay`, expected some of `params`, `lr`, `weightDecay`, `orthogonalize`.',
    ],
    [
      'parameters',
      () => new optim.AdamW(new nn.Linear(1, 1) as never),
      'AdamW: got no list of parameters, expected one',
    ],
  ])('of %s are refused', (_, call, message) => {
    expect(call).toThrow(message);
  });

  it('that are no kinds but values out of range are refused too', () => {
    const [logits, labels] = [randn([2, 3]), tensor([0, 1], { dtype: 'int64' })];
    expect(() => F.crossEntropy(logits, labels, { labelSmoothing: 1.5 })).toThrow(
      'labelSmoothing 1.5',
    );
    expect(() => F.crossEntropy(logits, labels, { reduction: 'avg' as never })).toThrow(
      "reduction 'avg'",
    );
    expect(() => nn.init.kaimingNormal(randn([2, 2]), { mode: 'fanOut' as never })).toThrow(
      "mode 'fanOut'",
    );
    expect(() => nn.init.kaimingNormal(randn([2, 2]), { nonlinearity: 'gelu' as never })).toThrow(
      "nonlinearity 'gelu'",
    );
    expect(() => new optim.AdamW([parameter()], { betas: [0.9] as never })).toThrow('got 1 betas');
  });
});

describe('checkOptions', () => {
  it('takes what is undefined as not given, and objects without a prototype', () => {
    const bare = Object.assign(Object.create(null) as object, { lr: 1 });
    for (const options of [undefined, {}, { lr: undefined, nosuch: undefined }, bare]) {
      expect(() => {
        checkOptions('f', options, { lr: 'number' });
      }).not.toThrow();
    }
  });

  it('knows no names that every object has', () => {
    expect(() => {
      checkOptions('f', { toString: 1 }, { lr: 'number' });
    }).toThrow('got the option `toString`');
  });
});
