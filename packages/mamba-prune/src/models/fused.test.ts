// ViT and ResNet without gradients, whose blocks are one operator each, against the same models with gradients.
import {
  F,
  type Tensor,
  memoryStats,
  manualSeed,
  nn,
  noGrad,
  optim,
  randn,
  scope,
  setNumThreads,
  tensor,
} from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { Rsst } from '../pruning/rsst/rsst.js';
import { maskModel } from '../pruning/surgery.js';
import { Ema } from '../training/ema.js';
import type { ModelOptions } from './model-options.js';
import type { ImageModel } from './image-model.js';
import { createModel } from './registry.js';
import { relativeDifference } from './testing/parity.js';

setNumThreads(2);

const cases: Record<string, { arch: string; options: ModelOptions }> = {
  vit: { arch: 'vit_tiny', options: { dModel: 48, depth: 2, heads: 3, imageSize: 12 } },
  'resnet with basic blocks': {
    arch: 'resnet20',
    options: { blocks: [2, 1], baseWidth: 12, imageSize: 15 },
  },
  'resnet with bottlenecks': {
    arch: 'resnet50',
    options: { blocks: [2, 1], baseWidth: 6, imageSize: 37, stem: 'imagenet' },
  },
};

// The order of the sums differs, and Winograd's transforms cost two or three bits: some tens of float32 roundings of
// 6e-8 over a few blocks.
const rounding = 5e-6;

const fused = (model: ImageModel, x: Tensor): Tensor => noGrad(() => model.forward(x));
const plain = (model: ImageModel, x: Tensor): Tensor => model.forward(x).detach();

describe.each(Object.entries(cases))('%s', (_, { arch, options }) => {
  const side = options.imageSize ?? 32;
  const images = (count: number): Tensor => randn([count, 3, side, side]);

  function trained(): ImageModel {
    manualSeed(0);
    const model = createModel(arch, { numClasses: 4, ...options });
    noGrad(() => {
      for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.1));
      for (let i = 0; i < 3; i++) model.forward(images(8)); // BatchNorm's statistics
    });
    return model.eval();
  }

  /** About a third of every group, so that no width is a multiple of a register. */
  function pruned(model: ImageModel): ImageModel {
    const groups = model.pruningGroups();
    const widths = groups.map(({ name, size }) => [name, Math.ceil(size * 0.37)] as const);
    const narrow = model.withWidths(Object.fromEntries(widths));
    noGrad(() => {
      for (let i = 0; i < 3; i++) narrow.forward(images(8));
    });
    return narrow.eval();
  }

  it.each([1, 2, 3, 17])('gives the same logits for %i images, dense and pruned', (count) => {
    scope(() => {
      for (const model of [trained(), pruned(trained())]) {
        const x = images(count);
        const difference = relativeDifference(fused(model, x), plain(model, x));
        expect(difference).toBeLessThan(rounding);
        // Not the same operators: else this compared nothing.
        expect(fused(model, x).equal(plain(model, x))).toBe(false);
      }
    });
  });

  it('sees every change of weights and statistics', () => {
    scope(() => {
      const model = trained();
      const x = images(3);
      const changes: Record<string, () => void> = {
        'an optimizer step': () => {
          const optimizer = new optim.AdamW(model.parameters(), { lr: 0.01 });
          F.crossEntropy(model.forward(x), tensor([0, 1, 2], { dtype: 'int64' })).backward();
          optimizer.step();
        },
        'other weights': () => {
          const other = createModel(arch, { numClasses: 4, ...options });
          model.loadStateDict(other.stateDict());
        },
        'steps of the other optimizers': () => {
          const parameters = model.parameters();
          const matrices = parameters.filter(({ ndim }) => ndim > 1);
          const rest = parameters.filter(({ ndim }) => ndim <= 1);
          for (const optimizer of [
            new optim.SGD(parameters, { lr: 0.01, momentum: 0.9 }),
            new optim.Muon([{ params: matrices, orthogonalize: true }, { params: rest }]),
          ]) {
            F.crossEntropy(model.forward(x), tensor([0, 1, 2], { dtype: 'int64' })).backward();
            optimizer.step();
          }
        },
        'an exchange with the averages': () => {
          const ema = new Ema(model, 0.5);
          noGrad(() => {
            for (const parameter of model.parameters()) parameter.mul_(1.1);
          });
          fused(model, x);
          ema.swap();
        },
        'values from an array': () => {
          for (const parameter of model.parameters()) {
            parameter.setValues(Float32Array.from(parameter.toNumbers(), (value) => value * 0.9));
          }
        },
        'masked units': () => {
          const groups = model.pruningGroups();
          maskModel(model, new Map(groups.map(({ name }) => [name, [0, 1]])));
        },
        'a regulariser that shrinks weights': () => {
          const targets = [...new Set(model.pruningGroups().map(({ kind }) => kind))];
          const options = { norm: 'l1', targets, schedule: 'constant', strength: 1 } as const;
          new Rsst(model, model.pruningGroups(), options).pull(0.01);
        },
        'another type and back': () => {
          model.to('float64');
          noGrad(() => {
            for (const parameter of model.parameters()) parameter.mul_(1.1);
          });
          model.to('float32');
        },
        'training mode, which gathers statistics': () => {
          model.train();
          noGrad(() => model.forward(images(8).add(1)));
          model.eval();
        },
        'every parameter by itself': () => {
          for (const [name, weight] of model.namedParameters()) {
            const before = fused(model, x);
            noGrad(() => weight.add_(randn(weight.shape).mul(0.05)));
            const after = fused(model, x);
            expect(relativeDifference(after, plain(model, x)), name).toBeLessThan(rounding);
            // A shift of all scores or all channels alike may change nothing; the keys' bias does that.
            if (!name.endsWith('bias')) expect(after.equal(before), name).toBe(false);
          }
        },
      };
      for (const [name, change] of Object.entries(changes)) {
        fused(model, x);
        change();
        expect(relativeDifference(fused(model, x), plain(model, x)), name).toBeLessThan(rounding);
      }
    });
  });

  it('leaves a part that is in training mode its say while the rest evaluates', () => {
    scope(() => {
      const model = trained();
      const x = images(8).mul(3).add(1);
      for (const [name, part] of model.namedModules()) {
        if (name === '') continue;
        fused(model, x);
        part.train();
        const norms = [...part.namedModules().values()].filter((m) => m instanceof nn.BatchNorm2d);
        const counted = norms.map((norm) => norm.numBatchesTracked.item());
        const [got, expected] = [fused(model, x), plain(model, x)];
        expect(relativeDifference(got, expected), name).toBeLessThan(rounding);
        norms.forEach((norm, i) => {
          expect(norm.numBatchesTracked.item(), name).toBe((counted[i] as number) + 2);
        });
        part.eval();
      }
    });
  });

  it('keeps nothing beside the weights in training, or after it is disposed of', () => {
    const { tensors } = memoryStats();
    const model = scope(trained);
    const own = memoryStats().tensors;
    const use = (): void => {
      scope(() => {
        for (const count of [1, 40]) fused(model, images(count));
      });
    };
    use();
    // Of a ResNet another form is kept beside the weights; a ViT's panels take their place.
    expect(memoryStats().tensors > own).toBe(arch !== 'vit_tiny');
    model.train();
    expect(memoryStats().tensors).toBe(own);
    model.eval();
    use();
    model.dispose();
    expect(memoryStats().tensors).toBe(tensors);
  });
});
