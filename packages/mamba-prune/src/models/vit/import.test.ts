// ViTs under the names and in the forms of other programs; real-peers.test.ts has the programs themselves.
import {
  FormatError,
  type Tensor,
  cat,
  manualSeed,
  noGrad,
  ones,
  rand,
  randn,
  setNumThreads,
  tensor,
  zeros,
} from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../errors.js';
import type { ModelOptions } from '../model-options.js';
import type { ImageModel } from '../image-model.js';
import { type ImportOptions, importStateDict } from '../import/model.js';
import { createModel, createModelFromConfig } from '../registry.js';
import { asHuggingFace, asMmpretrain, asTorchvision } from '../testing/other-names.js';
import { relativeDifference } from '../testing/parity.js';

// Tensors this small are done sooner than a second thread has begun.
setNumThreads(1);

const size = { dModel: 24, depth: 2, heads: 3, imageSize: 12, numClasses: 5 };
const said: ImportOptions = { arch: 'vit_tiny', dModel: 24, depth: 2, heads: 3 };
// Roundings of two blocks, in another order: 6e-8 each.
const rounding = 1e-5;

function trained(fields: object = {}, options: ModelOptions = {}): ImageModel {
  manualSeed(3);
  const { config } = createModel('vit_tiny', { ...size, ...options });
  const model = createModelFromConfig({ ...config, ...fields });
  noGrad(() => {
    for (const parameter of model.parameters()) parameter.add_(randn(parameter.shape).mul(0.2));
  });
  return model.eval();
}

const run = (model: ImageModel, images: Tensor): Tensor => noGrad(() => model.forward(images));
const images = (side = 12): Tensor => {
  manualSeed(4);
  return randn([2, 3, side, side]);
};
const stateOf = (fields?: object, options?: ModelOptions): Map<string, Tensor> =>
  trained(fields, options).stateDict();

/** The same in a form that has LayerScale, of two blocks. */
function withLayerScale(given: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  const names = [0, 1].flatMap((block) =>
    ['ls1', 'ls2'].map((ls) => `blocks.${block}.${ls}.gamma`),
  );
  return new Map([...given, ...names.map((name) => [name, ones([size.dModel])] as const)]);
}

/** As the same state dict under our names gives it, bit by bit. */
function expectSame(
  given: Map<string, Tensor>,
  model: ImageModel,
  options = said,
): readonly string[] {
  const found = importStateDict(given, options);
  expect(found.model.config).toEqual(model.config);
  expect(run(found.model, images()).equal(run(model, images()))).toBe(true);
  return found.notes;
}

describe('names of other programs', () => {
  it.each([
    ['0', '3'],
    ['linear_1', 'linear_2'],
  ] as const)("are read: torchvision's, with mlp.%s and mlp.%s", (...linear) => {
    const model = trained();
    const notes = expectSame(asTorchvision(model.stateDict(), linear), model);
    expect(notes[0]).toMatch(/^The names of torchvision were turned into those of timm/);
  });

  it.each(['vit.', 'deit.', ''])("are read: Hugging Face's, with the prefix '%s'", (prefix) => {
    const model = trained({ eps: 1e-12 });
    for (const version of [4, 5] as const) {
      const given = asHuggingFace(model.stateDict(), prefix, version);
      const notes = expectSame(given, model);
      expect(notes.join(' ')).toMatch(/Hugging Face.*joined into one layer, qkv.*1e-12/s);
      const found = importStateDict(given, said);
      expect(found.assumed).toContain('eps 1e-12');
    }
    const other = importStateDict(asHuggingFace(model.stateDict(), prefix, 4), {
      ...said,
      eps: 1e-6,
    });
    expect(other.model.config).not.toHaveProperty('eps');
    expect(other.assumed).not.toContain('eps 1e-12');
    for (const eps of [-1, 0, 1.5]) {
      expect(() => importStateDict(model.stateDict(), { ...said, eps })).toThrow(
        `import: \`eps\`: got ${eps}, expected a number above 0 and at most 1.`,
      );
    }
  });

  it("are read: mmpretrain's, with LayerScale and without", () => {
    const model = trained();
    const notes = expectSame(asMmpretrain(model.stateDict()), model);
    expect(notes.join(' ')).toMatch(
      /"head\.layers\.head" was taken for the classifier.*names of mmpretrain were turned/,
    );
    expectSame(asMmpretrain(withLayerScale(model.stateDict())), model);
    // A transformer of texts.
    const texts = new Map([['layers.0.attn.qkv.weight', zeros([72, 24])]]);
    expect(() => importStateDict(texts, said)).toThrow('expected the names of');
    // CLIP's norm before the blocks, and a gate.
    for (const name of ['pre_norm.weight', 'layers.0.ffn.w12.weight']) {
      const given = asMmpretrain(model.stateDict());
      given.set(`backbone.${name}`, zeros([24]));
      expect(() => importStateDict(given, said)).toThrow(`got '${name}', which belongs to`);
    }
  });

  it("are read: those of DINOv2's own registers", () => {
    const model = trained({ registers: 2 });
    const given = model.stateDict();
    given.set('register_tokens', given.get('reg_token') as Tensor);
    given.delete('reg_token');
    expectSame(given, model);
  });

  it('are read where the classifier stands behind a dropout, and refused where it has several layers', () => {
    const model = trained();
    const behind = (given: Map<string, Tensor>, from: string, to: string): Map<string, Tensor> =>
      new Map(Array.from(given, ([name, tensor]) => [name.replace(from, to), tensor]));
    const torchvision = asTorchvision(model.stateDict(), ['0', '3']);
    expectSame(behind(torchvision, 'heads.head.', 'heads.head.1.'), model);
    const named = expectSame(behind(model.stateDict(), 'head.', 'head.out.'), model);
    expect(named.join(' ')).toContain('The layer head.out, the only one of the classifier');
    const huggingFace = asHuggingFace(trained({ eps: 1e-12 }).stateDict(), 'vit.', 4);
    expectSame(behind(huggingFace, 'classifier.', 'classifier.1.'), trained({ eps: 1e-12 }));
    const several = behind(model.stateDict(), 'head.', 'head.two.');
    several.set('head.one.weight', zeros([24, 24]));
    expect(() => importStateDict(several, said)).toThrow(
      /got 'head\.two\.weight' of shape \[5, 24\], 'head\.one\.weight' of shape \[24, 24\] in the place of the classifier/,
    );
  });

  it('are refused with the pooler of a ViTModel, with what to do', () => {
    const given = asHuggingFace(stateOf(), 'vit.', 4);
    given.set('vit.pooler.dense.weight', zeros([24, 24]));
    expect(() => importStateDict(given, said)).toThrow(
      /pooler of a ViTModel.*add_pooling_layer=False and save it again/,
    );
  });

  it("are read: DeiT's with two classifiers of Hugging Face, and the plain one with its token", () => {
    const model = trained({ distilled: true, eps: 1e-12 });
    const given = asHuggingFace(model.stateDict(), 'deit.', 4);
    expectSame(given, model);
    given.delete('distillation_classifier.weight');
    given.delete('distillation_classifier.bias');
    const single = importStateDict(given, said);
    expect(single.model.config).toMatchObject({ registers: 1 });
    expect(single.notes.join(' ')).toMatch(/distillation token.*became a register token/);
  });

  it.each([
    ['head', 'head_dist', (state: Map<string, Tensor>) => state],
    [
      'classifier',
      'distillation_classifier',
      (state: Map<string, Tensor>) => asHuggingFace(state, 'deit.', 4),
    ],
  ])(
    'are read: the classifier of the one token of DeiT or of the other, %s and %s',
    (first, second, named) => {
      const model = trained({ distilled: true, ...(first !== 'head' && { eps: 1e-12 }) });
      const state = model.stateDict();
      const [one, other] = [first, second].map((classifier) => {
        const found = importStateDict(named(state), { ...said, classifier });
        expect(found.model.config).toMatchObject({ registers: 1 });
        expect(found.model.config).not.toHaveProperty('distilled');
        expect(found.notes.join(' ')).toContain(
          classifier === first ? 'became a register token' : 'changed places with the class token',
        );
        return run(found.model, images());
      }) as [Tensor, Tensor];
      expect(relativeDifference(one, other)).toBeGreaterThan(0.1);
      // Both together are read as their mean.
      const mean = noGrad(() => one.add(other).div(2));
      expect(relativeDifference(run(model, images()), mean)).toBeLessThan(rounding);
      expect(importStateDict(named(state), said).notes.join(' ')).toContain(
        '`classifier` takes the one or the other alone',
      );
    },
  );

  it.each([
    [
      'gates in its MLPs',
      (state: Map<string, Tensor>) => state.set('blocks.0.mlp.fc2.weight', zeros([24, 48])),
      /fc1\.weight' with 96 rows for 48 columns of fc2, half of them gates/,
    ],
    [
      'norms without biases',
      (state: Map<string, Tensor>) => {
        for (const name of [...state.keys()]) if (/norm\d?\.bias$/.test(name)) state.delete(name);
      },
      /'norm\.weight' without a bias, as all norms of the file are: RMSNorm or LayerNorm without bias/,
    ],
    [
      'a classifier of two poolings that are no token and mean',
      (state: Map<string, Tensor>) => state.set('head.weight', zeros([5, 72])),
      /The classifier reads 72 numbers, and the network gives 24/,
    ],
  ])('are refused with a reason: %s', (_, change, message) => {
    const given = stateOf();
    change(given);
    expect(() => importStateDict(given, said)).toThrow(message);
  });

  it('are refused with the norm behind the pooling that BEiT of Hugging Face has', () => {
    const given = asHuggingFace(stateOf(), 'beit.', 4);
    given.set('beit.pooler.layernorm.weight', ones([24]));
    expect(() => importStateDict(given, said)).toThrow(
      /a norm behind the pooling.*\(BEiT, Data2Vec\)/,
    );
  });

  it('hear what is computed that no tensor tells, unless something has told it', () => {
    const { arch, ...sizes } = said;
    const notesOf = (given: Map<string, Tensor>, more: ImportOptions = {}) =>
      importStateDict(given, { ...sizes, ...more }).notes.join(' ');
    const untold = 'Taken as usual, for no shape tells it: the exact GELU in its MLPs';
    expect(notesOf(stateOf())).toMatch(
      new RegExp(
        `${untold} \\(no quick_gelu, .*norms before attention and MLP.*no rotary positions, LayerNorm's eps of 1e-6\\.`,
      ),
    );
    expect(notesOf(asHuggingFace(stateOf(), 'vit.', 4))).toContain(`${untold}.`);
    for (const told of [{ arch }, { activation: 'gelu' }]) {
      expect(notesOf(stateOf(), told)).not.toContain('Taken as usual');
    }
    // It has no other.
    expect(notesOf(asTorchvision(stateOf(), ['0', '3']))).not.toContain('Taken as usual');
    // In one note with the heads.
    const whole = createModel('vit_tiny', { imageSize: 8, patchSize: 4 });
    expect(importStateDict(whole.stateDict()).notes).toEqual([
      expect.stringMatching(
        /^No shape tells the number of heads.* Taken as usual, for no shape tells it/,
      ),
    ]);
  });

  it('are refused where two tensors would be one', () => {
    const given = asTorchvision(stateOf(), ['0', '3']);
    given.set('heads.0.weight', zeros([5, 24]));
    expect(() => importStateDict(given, said)).toThrow(
      /got both 'heads.head.weight' and 'heads.0.weight', which are both 'head.weight'/,
    );
  });
});

describe('forms of other programs', () => {
  it('compute the same with LayerScale folded in', () => {
    const given = stateOf();
    const expected = trained();
    const own = expected.stateDict();
    for (const block of [0, 1]) {
      for (const [scale, layer] of [
        ['gamma_1', 'attn.proj'],
        ['gamma_2', 'mlp.fc2'],
      ] as const) {
        const gamma = rand([24]).add(0.5);
        given.set(`blocks.${block}.${scale}`, gamma);
        noGrad(() => {
          own.get(`blocks.${block}.${layer}.weight`)?.mul_(gamma.view(24, 1));
          own.get(`blocks.${block}.${layer}.bias`)?.mul_(gamma);
        });
      }
    }
    const found = importStateDict(given, said);
    expect(relativeDifference(run(found.model, images()), run(expected, images()))).toBeLessThan(
      rounding,
    );
    expect(found.notes.join(' ')).toMatch(/LayerScale \(4 scales\) was multiplied into/);
    // One block of two: a damaged file.
    given.delete('blocks.1.gamma_1');
    expect(() => importStateDict(given, said)).toThrow(/got 3 scales of LayerScale.*expected 4/);
    given.set('blocks.1.gamma_1', ones([5]));
    expect(() => importStateDict(given, said)).toThrow(/'blocks.1.ls1.gamma' of shape \[5\]/);
  });

  it('compute the same with zeros in place of biases that there are not', () => {
    const model = trained();
    const given = model.stateDict();
    const missing = /attn\.qkv\.bias|^head\.bias|mlp\.fc1\.bias/;
    noGrad(() => {
      for (const [name, value] of given) if (missing.test(name)) value.zero_();
    });
    for (const name of [...given.keys()]) if (missing.test(name)) given.delete(name);
    const notes = expectSame(given, model).join(' ');
    expect(notes).toMatch(
      /qkv of the attentions has no bias.*fc1 of the MLPs.*classifier has no bias/s,
    );
    const damaged = stateOf();
    damaged.delete('blocks.1.attn.qkv.bias');
    expect(() => importStateDict(damaged, said)).toThrow(/1 missing: blocks.1.attn.qkv.bias/);
  });

  it.each([
    ['no position for the class token', {}, 1, 0],
    ['registers without positions', { registers: 2 }, 3, 1],
    ['registers, and positions of patches alone', { registers: 2 }, 3, 0],
  ])('compute the same with positions of zeros: %s', (_, fields, before, kept) => {
    const model = trained(fields);
    const given = model.stateDict();
    const position = given.get('pos_embed') as Tensor;
    noGrad(() => position.narrow(1, kept, before - kept).zero_());
    const rows = position.narrow(1, before, 9);
    given.set('pos_embed', kept === 0 ? rows : cat([position.narrow(1, 0, kept), rows], 1));
    expect(expectSame(given, model, { ...said, imageSize: 12 }).join(' ')).toMatch(
      /no position in the file and got one of zeros/,
    );
  });

  it('are no squares where a class token without a position would make them some, unless the size is said', () => {
    // 24 patches and a class token: 4 x 6 patches, or 5 x 5 without a position for the token.
    const given = trained().stateDict();
    const stored = given.get('pos_embed') as Tensor;
    const [, , width = 0] = stored.shape;
    given.set('pos_embed', randn([1, 25, width]));
    const patchSize = (given.get('patch_embed.proj.weight') as Tensor).size(3);
    const side = 5 * patchSize;
    expect(() => importStateDict(given, said)).toThrow(UsageError);
    const { model, notes } = importStateDict(given, { ...said, imageSize: side });
    expect(model.config.imageSize).toBe(side);
    expect(notes.join()).toMatch(/1 of the tokens before the patches has no position/);
    // DeiT III has such models, and a LayerScale.
    expect(importStateDict(withLayerScale(given), said).model.config.imageSize).toBe(side);
  });

  it('have no positions of tokens in published models, which need not be told', () => {
    const published = { patchSize: 16, imageSize: 224 };
    const given = stateOf({}, published);
    given.set('pos_embed', (given.get('pos_embed') as Tensor).narrow(1, 1, 196));
    expect(importStateDict(given, said).model.config).toMatchObject(published);
    const registers = { patchSize: 16, imageSize: 256 };
    const noClass = stateOf({ classToken: false, registers: 4, pooling: 'mean' }, registers);
    noClass.set('pos_embed', (noClass.get('pos_embed') as Tensor).narrow(1, 4, 256));
    expect(importStateDict(noClass, said).model.config).toMatchObject(registers);
  });

  it.each<[string, object, number, number]>([
    ['DINOv2 at 238 px, which has registers', { registers: 4 }, 14, 238],
    ['TIPSv2', { registers: 1 }, 14, 448],
    [
      'a mean of patches beside registers',
      { classToken: false, registers: 4, pooling: 'mean' },
      16,
      384,
    ],
  ])(
    'have no positions of tokens where LayerScale tells: %s',
    (_, fields, patchSize, imageSize) => {
      const given = stateOf(fields, { patchSize, imageSize });
      const position = given.get('pos_embed') as Tensor;
      const count = (imageSize / patchSize) ** 2;
      const patches = position.narrow(1, position.size(1) - count, count);
      const forms =
        'classToken' in fields ? [patches] : [patches, cat([position.narrow(1, 0, 1), patches], 1)];
      for (const rows of forms) {
        given.set('pos_embed', rows);
        expect(() => importStateDict(given, said)).toThrow(/images that are not square/);
        const scaled = withLayerScale(given);
        expect(importStateDict(scaled, said).model.config).toMatchObject({ patchSize, imageSize });
      }
    },
  );

  it('have positions for all tokens in DINOv2 without registers, so that no square tells another model', () => {
    // 14 px: 4x6 patches and a class token.
    const given = withLayerScale(stateOf({}, { patchSize: 14, imageSize: 14 }));
    given.set('pos_embed', randn([1, 25, 24]));
    expect(() => importStateDict(given, said)).toThrow(/24 patches of images that are not square/);
  });

  it('are square where the patches would lie in one row otherwise', () => {
    // 4 positions are 3 patches and a class token, or 2x2 patches.
    const given = stateOf();
    given.set('pos_embed', randn([1, 4, 24]));
    expect(importStateDict(given, said).model.config.imageSize).toBe(8);
  });

  it('have another pooling, which name of the norm, tokens or width of the classifier tell', () => {
    const mean = trained({ pooling: 'mean', poolsBeforeNorm: true });
    const given = mean.stateDict();
    for (const part of ['weight', 'bias']) {
      given.set(`fc_norm.${part}`, given.get(`norm.${part}`) as Tensor);
      given.delete(`norm.${part}`);
    }
    expectSame(given, mean);
    expect(importStateDict(given, said).assumed).toContain('pooling mean');
    const asToken = importStateDict(given, { ...said, pooling: 'token' });
    expect(asToken.model.config).toEqual(trained().config);
    expect(asToken.assumed.join()).not.toContain('pooling');
    given.set('norm.weight', ones([24]));
    expect(() => importStateDict(given, said)).toThrow(/both 'norm.weight' and 'fc_norm.weight'/);

    const without = trained({ classToken: false, pooling: 'mean' });
    expectSame(without.stateDict(), without);
    expect(() => importStateDict(without.stateDict(), { ...said, pooling: 'token' })).toThrow(
      /`pooling`: got 'token' for a model that has no class token, expected 'mean'/,
    );
    const both = trained({ pooling: 'token-and-mean' });
    expectSame(both.stateDict(), both);
  });

  it('are assumed of a classifier of twice the width, unless DINOv2 of Hugging Face has it', () => {
    const both = trained({ pooling: 'token-and-mean' });
    const assumed = (tensors: ReadonlyMap<string, Tensor>, options: object = {}): string[] =>
      importStateDict(tensors, { ...said, ...options }).assumed.filter((text) =>
        text.startsWith('pooling'),
      );
    // It may read the class tokens of two blocks.
    expect(assumed(both.stateDict())).toEqual(['pooling token-and-mean']);
    expect(assumed(both.stateDict(), { pooling: 'token-and-mean' })).toEqual([]);
    const asVit = asHuggingFace(both.stateDict(), 'vit.', 4);
    expect(assumed(asVit)).toEqual(['pooling token-and-mean']);
    const asDinov2 = Array.from(asVit, ([name, tensor]) => {
      const renamed = name
        .replace('layernorm_before', 'norm1')
        .replace('layernorm_after', 'norm2')
        .replace('intermediate.dense', 'mlp.fc1')
        .replace(/(layer\.\d+)\.output\.dense/, '$1.mlp.fc2')
        .replace(/^vit\./, 'dinov2.');
      return [renamed, tensor] as const;
    });
    expect(assumed(new Map(asDinov2))).toEqual([]);
  });

  it('say what was dropped', () => {
    const model = trained();
    const given = model.stateDict();
    given.set('mask_token', zeros([1, 24]));
    expect(expectSame(given, model)).toContainEqual(
      'Left out: mask_token, which only pretraining reads.',
    );
  });
});

describe('what a ViT here does not have', () => {
  it.each([
    ['blocks.0.attn.q_bias', 'BEiT'],
    ['blocks.0.attn.relative_position_bias_table', 'relative positions'],
    ['blocks.0.attn.q_norm.weight', 'qk_norm'],
    ['blocks.0.mlp.w12.weight', 'SwiGLU'],
    ['blocks.0.mlp.norm.weight', 'inside attention or MLP'],
    ['attn_pool.latent', 'global_pool map'],
    ['norm_pre.weight', 'CLIP'],
    ['pre_logits.fc.weight', 'representation_size'],
    ['patch_embed.backbone.stem.conv.weight', 'hybrid'],
    ['patch_embed.norm.weight', 'more than one convolution'],
    ['blocks.0.attn.lambda_q1', 'differential attention'],
    ['blocks.0.attn.sub_norm.weight', 'differential attention'],
    ['blocks.0.attns.0.attn.qkv.weight', 'side by side (parallel)'],
    ['blocks.0.ffns.1.mlp.fc1.weight', 'side by side (parallel)'],
    ['blocks.0.attn_out_proj.weight', 'side by side (parallel)'],
  ])('is refused by name: %s', (name, what) => {
    const given = stateOf();
    given.set(name, zeros([1]));
    const error = thrown(() => importStateDict(given, said));
    expect(error).toBeInstanceOf(FormatError);
    expect(error.message).toContain(`got '${name}'`);
    expect(error.message).toContain(what);
  });

  it.each(['attns.0.attn.qkv.weight', 'attn_out_proj.weight'])(
    'is refused for its parallel blocks, where no attention has the usual name: %s',
    (name) => {
      const given = new Map(Array.from(stateOf()).filter(([own]) => !own.startsWith('blocks.')));
      given.set(`blocks.0.${name}`, zeros([1]));
      expect(() => importStateDict(given, said)).toThrow(/side by side \(parallel\)/);
    },
  );

  it('is refused: no norm behind the last block', () => {
    const given = stateOf();
    given.delete('norm.weight');
    given.delete('norm.bias');
    expect(() => importStateDict(given, said)).toThrow(
      /without 'norm\.weight', the norm behind the last block/,
    );
  });

  it('is refused: another activation, a backbone without classifier, a grid that is no square', () => {
    const given = stateOf();
    expect(() => importStateDict(given, { ...said, activation: 'quick_gelu' })).toThrow(
      /`activation`: got 'quick_gelu', expected 'gelu'/,
    );
    expect(importStateDict(given, { ...said, activation: 'gelu' }).model.config.arch).toBe(
      'vit_tiny',
    );
    given.delete('head.weight');
    given.delete('head.bias');
    expect(() => importStateDict(given, said)).toThrow(/num_classes=0.*train one on the features/);
    const classless = stateOf();
    classless.set('head.weight', zeros([0, 24]));
    classless.set('head.bias', zeros([0]));
    expect(() => importStateDict(classless, said)).toThrow(
      /'head\.weight' of shape \[0, 24\], which holds nothing/,
    );
    const rectangle = stateOf();
    rectangle.set('pos_embed', zeros([1, 7, 24]));
    expect(() => importStateDict(rectangle, said)).toThrow(/6 patches, expected a square number/);
    rectangle.delete('pos_embed');
    expect(() => importStateDict(rectangle, said)).toThrow(
      /without 'pos_embed', the positions .*DINOv3, whose positions are rotary/,
    );
    const second = stateOf();
    second.set('head_dist.weight', zeros([5, 24]));
    expect(() => importStateDict(second, said)).toThrow(/without 'cls_token' and 'dist_token'/);
  });

  it('is refused: options of other families', () => {
    const shortcut: ImportOptions = { ...said, shortcutPadding: 'both' };
    expect(() => importStateDict(stateOf(), shortcut)).toThrow(
      /option `shortcutPadding` for the weights of a vit/,
    );
    const resnet = createModel('resnet20').stateDict();
    expect(() => importStateDict(resnet, { headDim: 64 })).toThrow(UsageError);
  });
});

describe('heads, which no shape tells', () => {
  const { arch, dModel, depth } = said;
  const sizes: ImportOptions = { arch, dModel, depth };

  it('are asked for where the sizes are those of no architecture', () => {
    const given = stateOf();
    const error = thrown(() => importStateDict(given, sizes));
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toMatch(
      /attentions of width 24 in a model of width 24.*expected their number. Give `heads`, as in the script that made the model, or the width of one as `headDim`/,
    );
    expect(importStateDict(given, { ...sizes, headDim: 8 }).model.config).toEqual(trained().config);
  });

  it('are read as said where every head was made narrower', () => {
    // Four heads of 4 in a model of width 32, which had heads of 8.
    const narrow = trained({ headDim: 4 }, { dModel: 32, heads: 4 });
    const given = narrow.stateDict();
    const wide: ImportOptions = { arch, depth, dModel: 32 };
    expect(() => importStateDict(given, wide)).toThrow(
      /attentions of width 16 in a model of width 32/,
    );
    // Four heads of 4, or two of eight: both fit.
    expect(() => importStateDict(given, { ...wide, heads: 4 })).toThrow(
      /may be 2 heads of width 8, or 4 heads of width 4. Give `headDim` too/,
    );
    for (const options of [{ headDim: 4 }, { headDim: 4, heads: 4 }]) {
      const { model, notes } = importStateDict(given, { ...wide, ...options });
      expect(model.config).toEqual(narrow.config);
      expect(run(model, images()).equal(run(narrow, images()))).toBe(true);
      expect(notes.join(' ')).toMatch(/scaled by 1\/sqrt\(head width\)/);
    }
    const whole = importStateDict(given, { ...wide, headDim: 8, heads: 4 });
    expect(whole.model.config.widths).toMatchObject({ 'blocks.0.attn': 2 });
    expect(() => importStateDict(given, { ...wide, headDim: 4, heads: 3 })).toThrow(
      /`heads` 3 with `headDim` 4.*have 4 such heads/,
    );
    expect(() => importStateDict(given, { ...wide, headDim: 5 })).toThrow(
      /`headDim`: got 5 for an attention of width 16 \(block 0\)/,
    );
    expect(() => importStateDict(given, { ...wide, headDim: 0 })).toThrow(/`headDim`: got 0/);
  });

  it('may be narrower by another width in every block', () => {
    const model = trained({ headDim: 5, headDims: { 'blocks.1.attn': 7 } });
    const found = importStateDict(model.stateDict(), said);
    expect(found.model.config).toEqual(model.config);
    expect(run(found.model, images()).equal(run(model, images()))).toBe(true);
    expect(found.notes.join(' ')).toMatch(/read as 3 heads, of width 5 to 7/);
  });

  it('are those of the architecture where its sizes fit, and it says so', () => {
    const { config } = createModel('vit_tiny');
    const found = importStateDict(createModelFromConfig(config).stateDict());
    expect(found.model.config).toEqual(config);
    expect(found.assumed).toContain('heads 3');
    expect(found.notes.join(' ')).toMatch(/3 of width 64 were taken, those of vit_tiny.*`heads`/);
    const six = importStateDict(found.model.stateDict(), { heads: 6 });
    expect(six.model.config).toMatchObject({ headDim: 32, widths: { 'blocks.0.attn': 6 } });
    expect(six.assumed.join()).not.toContain('heads');
  });

  it('are asked for at another depth than that of the architecture', () => {
    // timm's first vit_small_patch16_224: 768 wide, 8 deep, of 8 heads, where vit_base has 12.
    const given = createModel('vit_base', { depth: 1, heads: 8, mlpRatio: 1 }).stateDict();
    expect(() => importStateDict(given)).toThrow(
      /no shape tells how many heads.*vit_base, of the same width, has 12 heads in 12 blocks; this model has 1, .*Give `heads`/,
    );
    expect(importStateDict(given, { heads: 8 }).model.config).toMatchObject({ headDim: 96 });
    const named = importStateDict(given, { arch: 'vit_base', depth: 1 });
    expect(named.model.config).toMatchObject({ headDim: 64 });
    expect(named.assumed).toContain('heads 12');
  });

  it('are asked for where the positions are those of MoCo v3, whose ViT-S has 12', () => {
    const given = createModel('vit_small', { mlpRatio: 1 }).stateDict();
    expect(importStateDict(given).model.config).toMatchObject({ headDim: 64 });
    noGrad(() => given.get('pos_embed')?.narrow(1, 0, 1).zero_());
    expect(() => importStateDict(given)).toThrow(
      /no shape tells how many heads.*MoCo v3, whose vit_small has 12 heads.*Give `heads`/,
    );
    expect(importStateDict(given, { heads: 12 }).model.config).toMatchObject({ headDim: 32 });
  });
});

describe('positions for another image size', () => {
  it('are refused unless resampling is asked for', () => {
    const given = stateOf();
    expect(() => importStateDict(given, { ...said, imageSize: 20 })).toThrow(
      /positions for images of 12 px \(3x3 patches of 4 px\), asked for 20 px.*`resamplePositions`/,
    );
    expect(() =>
      importStateDict(given, { ...said, imageSize: 21, resamplePositions: true }),
    ).toThrow(/`imageSize`: got 21 px, expected a multiple of the patch size 4/);
    const { model, notes } = importStateDict(given, {
      ...said,
      imageSize: 20,
      resamplePositions: true,
    });
    expect(model.config.imageSize).toBe(20);
    expect(run(model, images(20)).shape).toEqual([2, 5]);
    expect(notes.join(' ')).toMatch(/resampled from 3x3 to 5x5 patches/);
    const same = importStateDict(given, { ...said, imageSize: 12, resamplePositions: true });
    expect(same.model.config.imageSize).toBe(12);
  });

  // Computed by timm 1.0.31's resample_abs_pos_embed (torch 2.15) for a class token and a grid of 5x5.
  const resampled = {
    3: [
      0, 0.8641301, 0.8219499, 0.7381775, 0.7014991, 0.7421341, 0.9113882, 0.5620355, 0.7236387,
      0.8685325,
    ],
    7: [
      0, 0.9616505, 0.8543273, 0.8502774, 1.023301, 0.9115019, 0.7755185, 0.6941748, 0.9587082,
      0.851385, 0.7638399, 0.7795013, 0.7838767, 0.7311125, 0.6695129, 0.8060983, 0.7624571,
      0.6575147, 0.5602041, 0.9166372, 0.8587044, 0.5913966, 0.4883495, 0.6218836, 0.650583, 0.55,
      1.3313413, 1.166759, 0.5475729, 0.4040491, 0.9914131, 1.1634601, 0.459621, 0.5458009,
      0.8767623, 1.1607872, 0.394632, 0.7220125, 0.9610495, 0.8049862, 0.3033083, 0.6873203,
      1.3870196, 0.4095579, 0.2069764, 0.4508805, 1.2407768, 0.4870403, 0.6527703, 1.3024273,
    ],
  };

  it.each([3, 7] as const)('are those of timm: 5x5 to %dx%d', (side) => {
    const given = stateOf({}, { imageSize: 20 });
    const column = Array.from({ length: 26 }, (_, i) => ((i * 7) % 11) / 10 + (i % 3) * 0.25);
    given.set('pos_embed', tensor([column.map((value) => Array<number>(24).fill(value))]));
    const { model } = importStateDict(given, {
      ...said,
      imageSize: 4 * side,
      resamplePositions: true,
    });
    const positions = model.stateDict().get('pos_embed') as Tensor;
    const [first] = positions.select(2, 0).toArray() as number[][];
    // timm computes in float32, this in float64.
    resampled[side].forEach((value, i) => {
      expect(Math.abs((first?.[i] ?? NaN) - value)).toBeLessThan(1e-6);
    });
  });

  it.each([
    // 16x24 px, as patches of 4 px: 4x6.
    ['a class token', {}, 25, '24 patches', 20, 'none'],
    ['a class token and registers', { registers: 2 }, 9, '6 patches', 12, 'none'],
    ['a class token that alone has one', { registers: 2 }, 17, '14 patches', 16, '1'],
    [
      'registers',
      { classToken: false, registers: 2, pooling: 'mean' },
      16,
      '14 patches',
      16,
      'none',
    ],
    ['two classifiers', { distilled: true }, 17, '15 patches', 16, '1'],
  ])(
    'are asked for where the images may be not square, with %s',
    (_, fields, length, patches, side, rows) => {
      const given = stateOf(fields);
      given.set('pos_embed', randn([1, length, 24]));
      const read = (options: ImportOptions) => () =>
        importStateDict(given, { ...said, ...options });
      const error = thrown(read({}));
      expect(error).toBeInstanceOf(UsageError);
      expect(error.message).toContain(`got ${length} positions`);
      expect(error.message).toContain(`images of ${side} px, with positions for ${rows} of these`);
      expect(error.message).toContain(`${patches} of images that are not square`);
      expect(error.message).toMatch(new RegExp(`say so with \`imageSize\` ${side}\\.$`));
      expect(read({ imageSize: side })().model.config.imageSize).toBe(side);
      expect(read({ imageSize: 32, resamplePositions: true })).toThrow(
        `\`imageSize\` ${side} without \`resamplePositions\`.`,
      );
    },
  );

  it('are asked for where registers may have some or not', () => {
    // Four registers and the class token: 9 positions are for 2x2 patches and all of them, or for 3x3 patches alone.
    const given = stateOf({ registers: 4 }, { imageSize: 8 });
    const position = zeros([1, 9, 24]);
    given.set('pos_embed', position);
    expect(() => importStateDict(given, said)).toThrow(
      /9 positions, which are for images of 8 px or 12 px/,
    );
    expect(importStateDict(given, { ...said, imageSize: 12 }).model.config.imageSize).toBe(12);
  });
});

function thrown(body: () => unknown): Error {
  try {
    body();
  } catch (error) {
    return error as Error;
  }
  throw new Error('nothing was thrown');
}
