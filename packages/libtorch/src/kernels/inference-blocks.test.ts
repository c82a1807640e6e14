// What the operators for whole blocks refuse; their values are compared in kernels.test.ts, for every instruction set.
import { describe, expect, it } from 'vitest';
import { type Tensor, TorchError, callOperator, noGrad, randn, scope, zeros } from '../index.js';
import * as kernels from './index.js';
import {
  type ConvCase,
  convCases,
  convInputs,
  packedConvolutions,
  vitCases,
  vitInputs,
} from './testing/compare-inference.js';

describe('packWeights', () => {
  it('keeps every value, in panels that end in zeros', () => {
    scope(() => {
      const weight = randn([2, 5, 3]);
      const packed = kernels.packWeights(weight);
      const [count, panels, depth, panel] = packed.shape as [number, number, number, number];
      expect([count, depth, panels * panel >= 5, (panels - 1) * panel < 5]).toEqual([
        2,
        3,
        true,
        true,
      ]);
      const columns = packed.permute(0, 1, 3, 2).reshape(2, -1, 3);
      expect(columns.narrow(1, 0, 5).equal(weight)).toBe(true);
      expect(
        columns
          .narrow(1, 5, panels * panel - 5)
          .abs()
          .sum()
          .item(),
      ).toBe(0);
    });
  });

  it('refuses other shapes and types, and weights whose gradients are recorded', () => {
    scope(() => {
      expect(() => kernels.packWeights(randn([5, 3]))).toThrow(
        /pack_weights: got 2 dimensions.*\[count, columns, depth\]/,
      );
      expect(() => kernels.packWeights(randn([1, 5, 3]).to('float64'))).toThrow(/expected float32/);
      expect(() => kernels.packWeights(randn([1, 5, 3], { requiresGrad: true }))).toThrow(
        /require gradients/,
      );
    });
  });
});

describe('vitBlock', () => {
  const test = vitCases[1] as (typeof vitCases)[number];

  it('refuses tensors that require gradients while these are recorded', () => {
    scope(() => {
      const { x, weights, sizes } = vitInputs(test);
      weights.qkvBias.requiresGrad = true;
      expect(() => kernels.vitBlock(x, weights, sizes)).toThrow(
        /vit_block: got tensors that require/,
      );
      expect(noGrad(() => kernels.vitBlock(x, weights, sizes)).shape).toEqual(x.shape);
    });
  });

  it('names the parameter that does not fit', () => {
    scope(() => {
      const { x, weights, sizes } = vitInputs(test);
      const call = (
        change: Partial<kernels.VitBlockWeights>,
        input: Tensor = x,
        more = sizes,
      ): Tensor => kernels.vitBlock(input, { ...weights, ...change }, more);
      expect(() => call({ proj: weights.fc1 })).toThrow(TorchError);
      expect(() => call({ proj: weights.fc1 })).toThrow(/got proj .*pack_weights.* of \[1, 5, 6\]/);
      expect(() => call({ qkv: weights.matrices.qkv })).toThrow(/got qkv of shape \[18, 5\]/);
      expect(() => call({ fc2: weights.fc2.transpose(2, 3) })).toThrow(/got fc2/);
      expect(() => call({ fc2: weights.fc2.to('float64') })).toThrow(/got fc2/);
      expect(() => call({ norm2Bias: randn([4]) })).toThrow(/got norm2_bias of shape \[4\]/);
      expect(() => call({ norm2Bias: randn([5]).to('float64') })).toThrow(/norm2_bias of dtype/);
      expect(() => call({}, x.to('float64'))).toThrow(/expected float32/);
      expect(() => call({}, x.select(0, 0))).toThrow(/\[batch, length, d_model\]/);
      for (const heads of [0, -1, 2 ** 40]) {
        expect(() => call({}, x, { ...sizes, heads })).toThrow(/got d_model 5, heads/);
      }
      expect(() => call({}, x, { ...sizes, heads: 3 })).toThrow(/got qkv/);
    });
  });

  it('takes views, and gives an empty batch back as it came', () => {
    scope(() => {
      const { x, weights, sizes } = vitInputs(test);
      const view = x.transpose(1, 2).contiguous().transpose(1, 2);
      expect(
        kernels.vitBlock(view, weights, sizes).equal(kernels.vitBlock(x, weights, sizes)),
      ).toBe(true);
      expect(kernels.vitBlock(zeros([0, 7, 5]), weights, sizes).shape).toEqual([0, 7, 5]);
      expect(kernels.vitBlock(zeros([2, 0, 5]), weights, sizes).shape).toEqual([2, 0, 5]);
    });
  });
});

describe('convBlock', () => {
  const test = convCases[2] as ConvCase;
  const made = () => {
    const { x, convolutions } = convInputs(test);
    return { x, packed: packedConvolutions(convolutions, 2) };
  };

  it('refuses tensors that require gradients while these are recorded', () => {
    scope(() => {
      const { x, packed } = made();
      (packed[0] as kernels.PackedConvolution).bias.requiresGrad = true;
      expect(() => kernels.convBlock(x, packed)).toThrow(/conv_block: got tensors that require/);
      expect(noGrad(() => kernels.convBlock(x, packed)).shape).toEqual(x.shape);
    });
  });

  it('says which convolution does not fit', () => {
    scope(() => {
      const { x, packed } = made();
      const [first, second] = packed as [kernels.PackedConvolution, kernels.PackedConvolution];
      const call = (...list: readonly kernels.PackedConvolution[]) =>
        kernels.convBlock(x, list, 'identity');
      expect(call(first, second).shape).toEqual(x.shape);
      expect(() => call(second, first)).toThrow(/got convolution 0 of shape .*pack_weights/);
      expect(() => call(first, { ...second, stride: 2 })).toThrow(
        /16 positions of convolution 1 with kernel 3 and stride 2/,
      );
      expect(() => call(first, { ...second, kernel: 4 })).toThrow(/got kernel 4 and stride 1/);
      expect(() => call(first, { ...second, stride: 0 })).toThrow(/got kernel 3 and stride 0/);
      expect(() => call(first, { ...second, bias: randn([2, 8]) })).toThrow(/a bias of shape/);
      expect(() => call(first)).toThrow(/as the shortcut, expected the shape of the last/);
      expect(() => call()).toThrow(/got 0 weights/);
      expect(() => call(first, second, first, second, first)).toThrow(/got 5 weights.*from 1 to 4/);
      expect(() => kernels.convBlock(x, [first, second], 'projected')).toThrow(/the shortcut/);
      expect(() => kernels.convBlock(x.to('float64'), [first])).toThrow(/expected float32/);
      expect(() => kernels.convBlock(x.select(0, 0), [first])).toThrow(/height, width, channels/);
      const lists = [[first.weight], [first.bias], [3]] as const;
      expect(() => callOperator('mamba_prune::conv_block', x, ...lists, [1, 1])).toThrow(
        /2 strides/,
      );
      expect(() => callOperator('mamba_prune::conv_block', x, ...lists, [1], 3)).toThrow(
        /got shortcut 3/,
      );
    });
  });

  it.each([0, 2, 4] as const)('passes NaN on, in form %i', (form) => {
    scope(() => {
      const { x, convolutions } = convInputs(test);
      const [first, second] = packedConvolutions(convolutions, form);
      if (!first || !second) throw new Error('the case has two convolutions');
      const bias = first.bias.clone().fill_(NaN);
      const y = kernels.convBlock(x, [{ ...first, bias }, second]);
      expect(y.toNumbers().every(Number.isNaN)).toBe(true);
    });
  });

  it('takes views, and an empty batch', () => {
    scope(() => {
      const { x, packed } = made();
      const view = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1);
      expect(kernels.convBlock(view, packed).equal(kernels.convBlock(x, packed))).toBe(true);
      expect(kernels.convBlock(x.narrow(0, 0, 0), packed).shape).toEqual([0, 11, 14, 16]);
    });
  });
});
