// Vim's published checkpoints: fixtures/checkpoint.pth was written by that project's trainer with random weights, and
// fixtures/io.safetensors has images, and what its code computes of them in float64.
import { readFileSync } from 'node:fs';
import {
  FormatError,
  type Tensor,
  fromTypedArray,
  noGrad,
  setNumThreads,
  zeros,
} from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import { importModel, importStateDict } from '../import/model.js';
import { readModel } from '../import/read.js';
import { denseConfig } from '../dense-config.js';
import { createModel, modelShapes } from '../registry.js';
import { countParameters } from '../shapes.js';
import { relativeDifference } from '../testing/parity.js';
import { publishedCase, run } from '../testing/published-case.js';
import { resampledAround } from './import-positions.js';
import { refuseOtherScript } from './import-script.js';
import { Block, Vim } from './model.js';

setNumThreads(1);

const { checkpoint, expected, file, fullSize } = publishedCase('vim');

const small = { arch: 'vim_tiny', dModel: 48, depth: 4 } as const;

describe("a checkpoint of Vim's trainer", () => {
  it('is read from the average of its weights first, and from the weights by their key', async () => {
    const averaged = await importModel(checkpoint, small);
    const plain = await importModel(checkpoint, { ...small, key: 'model' });
    expect(averaged.notes.join(' ')).toMatch(/Took the weights at "model_ema"/);
    const images = expected('images');
    // float32 rounds by 6e-8 in sums of up to 96 terms, in four layers.
    expect(
      relativeDifference(run(averaged.model, images), expected('logits_ema_f64')),
    ).toBeLessThan(1e-5);
    expect(relativeDifference(run(plain.model, images), expected('logits_f64'))).toBeLessThan(1e-5);
    expect(
      relativeDifference(run(plain.model, images), expected('logits_ema_f64')),
    ).toBeGreaterThan(1e-2);
    // 7 x 7 patches may be of 112 px or of 64 px: the arguments of the script say which.
    expect(plain.model.config).toMatchObject({ stride: 8, patchSize: 16, imageSize: 64 });
    expect(plain.assumed).toEqual([
      'mean 0.485/0.456/0.406',
      'std 0.229/0.224/0.225',
      'interpolation bicubic',
      'cropShare 0.875',
    ]);
  });

  it('keeps size and stride that the script had, unless both are said', async () => {
    await expect(importModel(checkpoint, { ...small, stride: 16 })).rejects.toThrow(
      /images of 64 px at a stride of 8 px, asked for a stride of 16 px alone.*of 112 px/,
    );
    await expect(importModel(checkpoint, { ...small, imageSize: 112 })).rejects.toThrow(UsageError);
    const said = { ...small, stride: 16, imageSize: 112 };
    expect((await importModel(checkpoint, said)).model.config).toMatchObject({ imageSize: 112 });
  });

  it('computes in float64 what the published code does, step by step', async () => {
    const { model } = await importModel(checkpoint, { ...small, key: 'model' });
    model.to('float64');
    if (!(model instanceof Vim)) throw new TypeError('expected a Vim');
    const images = expected('images').to('float64');
    const layer = model.namedModules().get('layers.0');
    if (!(layer instanceof Block)) throw new TypeError('expected a layer of Vim');
    const [tokens, mixed, stream] = noGrad(() => {
      const embedded = model.embed(images);
      return [
        embedded,
        layer.mixer.forward(layer.norm.forward(embedded)),
        layer.forward(embedded),
      ] as const;
    });
    // The same operations in another order, 1e-16 each.
    expect(relativeDifference(tokens, expected('tokens_f64'))).toBeLessThan(1e-12);
    expect(relativeDifference(mixed, expected('mixer0_output_f64'))).toBeLessThan(1e-12);
    expect(relativeDifference(stream, expected('residual_after_block0_f64'))).toBeLessThan(1e-12);
    expect(relativeDifference(run(model, images), expected('logits_f64'))).toBeLessThan(1e-12);
  });
});

describe('the full size', () => {
  it('has the names and shapes of the published vim_tiny, with nothing allocated', () => {
    const shapes = modelShapes(denseConfig('vim_tiny', { numClasses: 1000 }));
    expect(Object.fromEntries(shapes)).toEqual(fullSize.shapes);
    expect(countParameters(shapes)).toBe(fullSize.parameters);
    expect(fullSize.parameters).toBe(7_148_008);
  });
});

describe('a state dict', () => {
  const sizes = { arch: 'vim_tiny', dModel: 16, depth: 1 } as const;
  const dense = createModel('vim_tiny', {
    dModel: 16,
    depth: 1,
    imageSize: 64,
    patchSize: 16,
  });
  const changed = (change: (tensors: Map<string, Tensor>) => void): Map<string, Tensor> => {
    const tensors = new Map(dense.stateDict());
    change(tensors);
    return tensors;
  };
  const positions = (count: number): Map<string, Tensor> =>
    changed((all) => all.set('pos_embed', zeros([1, count + 1, 16])));
  const geometry = (count: number, options: object = {}): unknown => {
    const { imageSize, stride } = importStateDict(positions(count), { ...sizes, ...options }).model
      .config as unknown as { imageSize: number; stride: number };
    return { imageSize, stride };
  };

  it.each([
    [196, {}, 224, 16],
    [729, {}, 224, 8],
    [196, { imageSize: 120 }, 120, 8],
    [16, { imageSize: 64 }, 64, 16],
    [49, { imageSize: 64 }, 64, 8],
    [49, { stride: 16 }, 112, 16],
    [49, { stride: 4 }, 40, 4],
    [49, { imageSize: 112, stride: 16 }, 112, 16],
    [196, { imageSize: 120, stride: 8 }, 120, 8],
    [1, { stride: 8 }, 16, 8],
    [1, {}, 16, 16],
  ])(
    'of %i patches and %j is for images of %i px at a stride of %i',
    (count, said, size, stride) => {
      expect(geometry(count, said)).toEqual({ imageSize: size, stride });
    },
  );

  it('is one error with all that must be said, whatever of it was said before', () => {
    const read = (said: object) => () => importStateDict(positions(49), said);
    const { arch, ...own } = sizes;
    const where = /Say which with `stride` or `imageSize`\.$/;
    const what = /say so with `arch` vim_tiny `dModel` 16 /;
    expect(read({})).toThrow(what);
    expect(read({})).toThrow(where);
    expect(read({ arch })).toThrow(/as options, such as `dModel` 16 .*Got positions of 7x7/);
    expect(read({ arch })).toThrow(where);
    expect(read({ imageSize: 64 })).toThrow(what);
    expect(read({ imageSize: 64 })).not.toThrow(where);
    expect(read({ arch, ...own })).not.toThrow(what);
    expect(read({ arch, ...own })).toThrow(where);
  });

  it('says that the published size was assumed', () => {
    const { assumed } = importStateDict(positions(729), sizes);
    expect(assumed.slice(0, 2)).toEqual(['imageSize 224', 'stride 8']);
  });

  it('says what was assumed of positions that are resampled, and nothing of what follows', () => {
    const assumed = (count: number, said: object): readonly string[] =>
      importStateDict(positions(count), { ...sizes, ...said }).assumed.filter((text) =>
        /^(?:imageSize|stride) /.test(text),
      );
    const resamplePositions = true;
    expect(assumed(196, { resamplePositions, imageSize: 384 })).toEqual(['stride 16']);
    expect(assumed(196, { resamplePositions, stride: 8 })).toEqual(['imageSize 224']);
    expect(assumed(196, { resamplePositions, stride: 8, imageSize: 64 })).toEqual([]);
    expect(assumed(49, { imageSize: 64 })).toEqual([]);
    expect(assumed(49, { stride: 8 })).toEqual([]);
  });

  it.each([
    [
      49,
      {},
      /112 px at a stride of 16 px or of 64 px at a stride of 8 px.*`stride` or `imageSize`/,
    ],
    [49, { imageSize: 65 }, /asked for 65 px.*`resamplePositions`/],
    [
      196,
      { stride: 8 },
      /for images of 224 px at a stride of 16 px, asked for a stride of 8 px alone.*of 120 px.*`resamplePositions`/,
    ],
    [729, { stride: 16 }, /asked for a stride of 16 px alone.*of 432 px/],
    [49, { imageSize: 64, stride: 16 }, /images of 112 px at a stride of 16 px, asked for 64 px/],
    [49, { resamplePositions: true, imageSize: 64 }, /to resample.*tell the stride/],
    [49, { resamplePositions: true, stride: 8 }, /to resample.*tell the size of the images/],
    [
      49,
      { resamplePositions: true },
      /tell the stride \(`stride`\) and the size of the images \(`imageSize`\)\. Say both\.$/,
    ],
    [196, { resamplePositions: true, imageSize: 100 }, /a stride that divides 100 - 16/],
  ])('of %i patches and %j is refused', (count, said, message) => {
    const read = () => geometry(count, said);
    expect(read).toThrow(UsageError);
    expect(read).toThrow(message);
  });

  it('gets positions for another size or stride when they are to be resampled', () => {
    const said = { resamplePositions: true, stride: 8 };
    expect(geometry(196, said)).toEqual({ imageSize: 224, stride: 8 });
    expect(geometry(196, { resamplePositions: true, imageSize: 384 })).toEqual({
      imageSize: 384,
      stride: 16,
    });
    const { notes } = importStateDict(positions(196), { ...sizes, ...said });
    expect(notes.join(' ')).toMatch(/resampled from 14x14 to 27x27 patches/);
  });

  it('tells widths that pruning left', () => {
    const model = createModel('vim_tiny', { dModel: 16, depth: 1, imageSize: 64, patchSize: 16 });
    const cut = model.withWidths({ 'layers.0.ssm': 20, 'layers.0.dt_rank': 2 });
    const read = importStateDict(new Map(cut.stateDict()), { ...sizes, imageSize: 64 });
    expect(read.model.config).toEqual(cut.config);
  });

  it.each([
    ['register tokens', 'reg_token', [1, 4, 16], /register tokens \(Mamba-Reg\)/],
    ['several class tokens', 'cls_token', [1, 12, 16], /expected one token.*Mamba-Reg/],
    ['a token at each end', 'cls_token_head', [1, 1, 16], /class token in another place/],
    ['frames', 'temporal_pos_embedding', [1, 8, 16], /for videos/],
    ['rotary positions', 'rope.freqs_cos', [4, 16], /rotary/],
    ['LayerNorm', 'norm_f.bias', [16], /LayerNorm in place of RMSNorm/],
    ['an MLP', 'layers.0.mlp.fc1.weight', [64, 16], /with an MLP/],
    [
      'positions of no square',
      'pos_embed',
      [1, 16, 16],
      /expected one of a class token and a square/,
    ],
  ] as const)('of a derived model is refused: %s', (_, name, shape, message) => {
    const tensors = changed((all) => all.set(name, zeros(shape)));
    const read = () => importStateDict(tensors, { ...sizes, imageSize: 64 });
    expect(read).toThrow(FormatError);
    expect(read).toThrow(message);
  });

  it.each([
    ['cls_token', /without 'cls_token'/],
    ['layers.0.mixer.conv1d_b.weight', /expected two directions/],
    ['head.weight', /backbone/],
  ])('without %s is refused', (name, message) => {
    const tensors = changed((all) => all.delete(name));
    expect(() => importStateDict(tensors, { ...sizes, imageSize: 64 })).toThrow(message);
  });

  it('is recognised behind the prefix of a wrapper', () => {
    const wrapped = new Map(
      [...dense.stateDict()].map(([name, tensor]) => [`module.${name}`, tensor]),
    );
    expect(importStateDict(wrapped, { ...sizes, imageSize: 64 }).model.config.family).toBe('vim');
  });
});

describe('the arguments of the script', () => {
  const published =
    'vim_tiny_patch16_224_bimambav2_final_pool_mean_abs_pos_embed_with_midclstok_div2';

  it.each([
    [
      { model: 'videomamba_tiny' },
      /called videomamba_tiny: a model derived from Vim, with its class token before/,
    ],
    [{ model: published.replace('mid', '') }, /no class token in the middle/],
    [{ model: published.replace('_div2', '') }, /sum of both directions/],
    [{ model: `${published}_rope` }, /rotary positions/],
    [{ model: published, if_random_cls_token_position: true }, /if_random_cls_token_position/],
    [{ model: published, fusion_strategy: 'upper' }, /fusion_strategy upper, which is Famba-V's/],
    [{ model: published, fusion_strategy: 'no' }, /fusion_strategy no, which is Famba-V's/],
  ])('that tell of another model are refused: %j', (args, message) => {
    expect(() => {
      refuseOtherScript(new Map(Object.entries(args)));
    }).toThrow(message);
  });

  it('that tell of a Vim, or nothing, are taken', () => {
    // Of the published models vim_base alone writes the middle out.
    const base =
      'vim_base_patch16_224_bimambav2_final_pool_mean_abs_pos_embed_with_middle_cls_token_div2';
    for (const args of [
      { model: published },
      { model: base },
      { model: 'mine' },
      { model: 'vim_mine' },
      { model: 'vim_tiny_cifar' },
      {},
    ]) {
      expect(() => {
        refuseOtherScript(new Map(Object.entries(args)));
      }).not.toThrow();
    }
  });
});

describe('a file that does not name its model', () => {
  const tensors = createModel('vim_nano', { imageSize: 32 }).stateDict();
  const published = 'vim_tiny_patch16_224_bimambav2_final_pool_mean_with_midclstok_div2';

  it('is refused, for a VideoMamba has the same names and shapes', () => {
    const read = () => importStateDict(tensors, { imageSize: 32 });
    expect(read).toThrow(UsageError);
    expect(read).toThrow(/VideoMamba.*If they are of a Vim, say so with `arch` vim_nano/);
    for (const model of ['mine', 'vim_mine', '']) {
      const args = new Map([['model', model]]);
      expect(() => readModel(tensors, { imageSize: 32 }, args)).toThrow(/say so with `arch`/);
    }
  });

  it('is told how to be read where it has sizes of its own', () => {
    const own = createModel('vim_nano', { imageSize: 32, dModel: 24, depth: 2 }).stateDict();
    const read = (said: object) => importStateDict(own, { imageSize: 32, ...said });
    expect(() => read({})).toThrow('say so with `arch` vim_nano `dModel` 24 `depth` 2.');
    const said = { arch: 'vim_nano', dModel: 24, depth: 2 };
    expect(read(said).model.config).toMatchObject(said);
  });

  it('is read where the architecture is given, or the arguments of the script name a Vim', () => {
    const given = importStateDict(tensors, { imageSize: 32, arch: 'vim_nano' });
    expect(given.model.config.arch).toBe('vim_nano');
    const args = new Map([['model', published]]);
    expect(readModel(tensors, { imageSize: 32 }, args).config).toMatchObject({ arch: 'vim_nano' });
  });
});

describe('a LocalVim', () => {
  it('is refused by the names of its tensors', () => {
    const tensors = new Map(createModel('vim_nano', { imageSize: 32 }).stateDict());
    const log = tensors.get('layers.0.mixer.A_log') as Tensor;
    tensors.set('layers.0.mixer.A_log_0', log);
    expect(() => importStateDict(tensors, { imageSize: 32, arch: 'vim_nano' })).toThrow(
      /'layers\.0\.mixer\.A_log_0', which belongs to a LocalMamba/,
    );
  });
});

describe('resampled positions', () => {
  // Of PyTorch: fixtures/make-positions.py.
  const cases = JSON.parse(readFileSync(file('positions.json'), 'utf8')) as [
    from: number,
    to: number,
    expected: number[],
  ][];

  it.each(cases)(
    'from %i to %i patches a side are those of PyTorch, around the row of the class token',
    (from, to, expected) => {
      const [middle, target] = [from, to].map((side) => Math.floor((side * side) / 2)) as [
        number,
        number,
      ];
      const stored = Array.from({ length: 2 * from * from }, (_, i) => ((i * 7919) % 101) / 101);
      const token = [5, 6];
      const rows = fromTypedArray(Float64Array.from(stored.toSpliced(2 * middle, 0, ...token)), [
        1,
        from * from + 1,
        2,
      ]);
      const resampled = resampledAround(rows, from, to);
      expect(resampled.shape).toEqual([1, to * to + 1, 2]);
      const values = [...resampled.toNumbers()];
      expect(values.splice(2 * target, 2)).toEqual(token);
      // float64, in sums of up to 8 x 8 terms of at most 1.
      values.forEach((value, i) => {
        expect(Math.abs(value - (expected[i] as number))).toBeLessThan(1e-12);
      });
    },
  );
});
