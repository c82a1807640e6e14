import {
  F,
  type Tensor,
  WeightCopies,
  copyOf,
  manualSeed,
  noGrad,
  randint,
  randn,
  scope,
} from '@mamba-prune/libtorch';
import { afterEach, describe, expect, it } from 'vitest';
import type { ImageModel } from './image-model.js';
import { createModel } from './registry.js';

const size = { channels: 3, imageSize: 16, numClasses: 5 };
const made: ImageModel[] = [];
const families: Readonly<Record<string, () => ImageModel>> = {
  mamba: () => createModel('mamba_nano', { ...size, patchSize: 4 }),
  'mamba that scans both ways': () =>
    createModel('mamba_nano', { ...size, patchSize: 4, scan: 'bi' }),
  vit: () => createModel('vit_tiny', { ...size, patchSize: 4, depth: 2 }),
  resnet: () => createModel('resnet20', { ...size, blocks: [1, 1] }),
};

afterEach(() => {
  for (const model of made.splice(0)) model.dispose();
});

/** Loss, logits and all gradients for images of a type. */
function backwardOf(model: ImageModel, images: Tensor, labels: Tensor) {
  model.zeroGrad();
  const logits = model.forward(images);
  const loss = F.crossEntropy(logits, labels);
  loss.backward();
  const gradients = new Map(
    Array.from(model.namedParameters(), ([name, { grad }]) => {
      if (!grad) throw new Error(`${name} has no gradient`);
      return [name, { dtype: grad.dtype, values: grad.toNumbers() }];
    }),
  );
  return {
    loss: loss.item(),
    logits: { dtype: logits.dtype, values: logits.toNumbers() },
    gradients,
  };
}

/** |a - b| / |b| in the Euclidean norm. */
function distance(a: readonly number[], b: readonly number[]): number {
  const norm = (values: readonly number[]) =>
    Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
  return norm(a.map((value, i) => value - (b[i] as number))) / norm(b);
}

describe.each(Object.entries(families))('%s in bfloat16', (_name, create) => {
  it.each(['converted at each use', 'copied'])(
    'has the loss and gradients of float32, with weights %s',
    (how) => {
      manualSeed(3);
      const model = create();
      made.push(model);
      scope(() => {
        const images = randn([8, 3, 16, 16]);
        const labels = randint(0, 5, [8]);
        const exact = backwardOf(model, images, labels);
        const copies =
          how === 'copied' ? new WeightCopies(model.parameters(), 'bfloat16') : undefined;
        const got = backwardOf(model, images.to('bfloat16'), labels);
        copies?.dispose();
        expect(got.logits.dtype).toBe('float32');
        // A value has 8 bits of fraction, so each layer errs by up to 2^-9; measured over these few: loss
        // within 0.0022, logits within 0.011.
        expect(Math.abs(got.loss - exact.loss)).toBeLessThan(0.01);
        expect(distance(got.logits.values, exact.logits.values)).toBeLessThan(0.03);
        for (const [parameter, { dtype }] of got.gradients)
          expect(dtype, parameter).toBe('float32');
        // All together: single ones, such as the bias of a BatchNorm before a ReLU, are differences of sums
        // that nearly cancel. Such a net also amplifies: noise of 2^-9 on its images moves the gradients of a
        // ResNet-20 by a fifth in float32 as well.
        const all = ({ gradients }: typeof got) => [...gradients.values()].flatMap((g) => g.values);
        const far = distance(all(got), all(exact));
        expect(far).toBeLessThan(0.1); // measured: 0.04 for the ResNet, below 0.03 for the others
      });
    },
  );
});

describe('weights in bfloat16', () => {
  it('are those of the last refresh, until they are disposed', () => {
    const model = families['vit']?.() as ImageModel;
    made.push(model);
    scope(() => {
      const copies = new WeightCopies(model.parameters(), 'bfloat16');
      const images = randn([1, 3, 16, 16]).to('bfloat16');
      const logits = () => noGrad(() => model.forward(images).toNumbers());
      const before = logits();
      const head = model.namedParameters().get('patch_embed.proj.bias') as Tensor;
      noGrad(() => head.add_(1));
      expect(logits()).toEqual(before);
      copies.refresh();
      const after = logits();
      expect(after).not.toEqual(before);
      copies.dispose();
      expect(copyOf(head, 'bfloat16')).toBeUndefined();
      expect(logits()).toEqual(after);
    });
  });
});
