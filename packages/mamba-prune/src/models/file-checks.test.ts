import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  FormatError,
  type Tensor,
  memoryStats,
  saveSafetensors,
  zeros,
} from '@mamba-prune/libtorch';
import { afterAll, describe, expect, it } from 'vitest';
import type { ModelOptions } from './model-options.js';
import { notFinite } from './finite.js';
import type { ImageModel } from './image-model.js';
import { importModel, importStateDict } from './import/model.js';
import { type ModelInfo, loadModel, modelMetadata, saveModel } from './model-file.js';
import { createModel } from './registry.js';

const folder = mkdtempSync(join(tmpdir(), 'file-checks-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const path = join(folder, 'model.safetensors');

const info: ModelInfo = {
  classes: ['a', 'b'],
  mean: [0.5, 0.5, 0.5],
  std: [0.2, 0.2, 0.2],
  history: [],
};

const sizes: Readonly<Record<string, ModelOptions>> = {
  mamba_nano: { depth: 2, dModel: 8, dState: 2, imageSize: 8, numClasses: 2 },
  vit_tiny: { depth: 2, dModel: 8, heads: 2, imageSize: 8, numClasses: 2 },
  resnet20: { blocks: [1, 1], baseWidth: 2, numClasses: 2 },
};

function make(arch: string): ImageModel {
  return createModel(arch, sizes[arch]);
}

type Json = Record<string, unknown>;

/** Writes a model's file with a description that was changed. */
function writeWith(
  arch: string,
  change: { model?: Json; info?: Json; tensors?: (all: Map<string, Tensor>) => void },
): void {
  const model = make(arch);
  const metadata = JSON.parse(modelMetadata(model, info)) as { model: Json };
  const changed = { ...metadata, ...change.info, model: { ...metadata.model, ...change.model } };
  const tensors = model.stateDict();
  change.tensors?.(tensors);
  saveSafetensors(path, tensors, { mamba_prune: JSON.stringify(changed) });
  for (const tensor of tensors.values()) tensor.dispose();
  model.dispose();
}

/** The message of the refusal, which is a FormatError that names the file and leaves nothing allocated. */
function refusal(): string {
  const before = memoryStats().tensors;
  try {
    loadModel(path);
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    const { message } = error as Error;
    expect(message).toContain(path);
    expect(message.length).toBeLessThan(2000);
    expect(memoryStats().tensors).toBe(before);
    return message;
  }
  throw new Error('the file was loaded, expected a refusal');
}

/** The largest that a configuration may name. */
const huge = 2 ** 20;
const widthsOf = (arch: string, widths: Record<string, number>): Json => {
  const model = make(arch);
  model.dispose();
  return { widths: { ...model.config.widths, ...widths } };
};

describe('sizes in the metadata of a model file are held against its tensors:', () => {
  const cases: [what: string, arch: string, model: Json, message: RegExp][] = [
    ['image size', 'mamba_nano', { imageSize: huge }, /pos_embed is \[1, 4, 8\], expected \[1, /],
    ['image size and patch', 'mamba_nano', { imageSize: huge, patchSize: 2 ** 18 }, /patch_embed/],
    [
      'indivisible image size',
      'mamba_nano',
      { imageSize: huge, patchSize: 3 },
      /expected a divisor/,
    ],
    ['indivisible image size', 'vit_tiny', { imageSize: huge - 1 }, /expected a divisor/],
    ['image size beyond all', 'mamba_nano', { imageSize: 2 ** 31 }, /<=1048576[^]*imageSize/],
    [
      'width',
      'mamba_nano',
      { dModel: huge },
      /pos_embed is \[1, 4, 8\], expected \[1, 4, 1048576\]/,
    ],
    ['depth', 'mamba_nano', { depth: 1000 }, /without the width of blocks.2.ssm/],
    ['depth', 'mamba_nano', { depth: huge }, /<=1000[^]*depth/],
    ['depth', 'vit_tiny', { depth: 2 ** 53 - 1 }, /<=1000[^]*depth/],
    ['states', 'mamba_nano', { dState: huge }, /A_log is \[16, 2\], expected \[16, 1048576\]/],
    ['taps', 'mamba_nano', { dConv: huge }, /conv1d.weight is/],
    ['rank', 'mamba_nano', { dtRank: huge }, /dt_proj.weight is/],
    [
      'classes',
      'mamba_nano',
      { numClasses: huge },
      /got 2 values for classes \(.*\), expected 1048576/,
    ],
    [
      'channels',
      'mamba_nano',
      { channels: huge },
      /got 3 values for mean \(.*\), expected 1048576/,
    ],
    ['scan', 'mamba_nano', { scan: 'bi' }, /missing: blocks.0.ssm.A_b_log/],
    ['units', 'mamba_nano', widthsOf('mamba_nano', { 'blocks.1.mlp': huge }), /blocks.1.mlp.0/],
    [
      'states of a block',
      'mamba_nano',
      widthsOf('mamba_nano', { 'blocks.1.state': huge }),
      /A_log/,
    ],
    ['heads', 'vit_tiny', widthsOf('vit_tiny', { 'blocks.0.attn': huge }), /blocks.0.attn.qkv/],
    ['width of heads', 'vit_tiny', { headDim: huge }, /blocks.0.attn.qkv.weight is/],
    ['image size', 'vit_tiny', { imageSize: huge }, /pos_embed is \[1, 5, 8\]/],
    ['image size', 'resnet20', { imageSize: huge }, /expected number to be <=4096/],
    ['blocks', 'resnet20', { blocks: [huge, 1] }, /<=1000[^]*blocks/],
    ['blocks of every stage', 'resnet20', { blocks: Array(5000).fill(1) }, /<=12[^]*blocks/],
    ['width', 'resnet20', { baseWidth: huge }, /conv1.weight is \[2, 3, 3, 3\]/],
    ['channels of a block', 'resnet20', widthsOf('resnet20', { 'layer1.0.conv1': huge }), /conv1/],
    [
      'stem',
      'resnet20',
      { stem: 'imagenet' },
      /conv1.weight is \[2, 3, 3, 3\], expected \[2, 3, 7/,
    ],
    ['family', 'resnet20', { family: '__proto__' }, /got family '__proto__'/],
    ['family', 'resnet20', { family: 'vit' }, /vit configuration/],
  ];
  it.each(cases)('%s of a %s, %j', (_, arch, model, message) => {
    writeWith(arch, { model });
    expect(refusal()).toMatch(message);
  });

  it('refuses a number of classes that the file has names for but no weights', () => {
    const classes = Array.from({ length: 1000 }, (_, i) => `class ${i}`);
    writeWith('vit_tiny', { model: { numClasses: 1000 }, info: { classes } });
    expect(refusal()).toMatch(/head.weight is \[2, 8\], expected \[1000, 8\]/);
  });

  it('lists tensors that are missing and left over', () => {
    writeWith('resnet20', {
      tensors: (all) => {
        all.get('fc.bias')?.dispose();
        all.delete('fc.bias');
        all.set('extra', zeros([1]));
      },
    });
    expect(refusal()).toMatch(/1 missing: fc.bias; 1 unexpected: extra/);
  });
});

describe('what a model file says of its images and classes is checked:', () => {
  const cases: [string, Json, RegExp][] = [
    ['too few means', { mean: [0.5] }, /got 1 value for mean \(0\.5\), expected 3/],
    [
      'too many deviations',
      { std: [1, 1, 1, 1] },
      /got 4 values for std \(1, 1, 1, 1\), expected 3/,
    ],
    ['no means', { mean: [] }, /got 0 values for mean, expected 3/],
    ['a deviation of 0', { std: [1, 0, 1] }, /got 0 in std, expected numbers above 0/],
    ['a deviation below 0', { std: [1, 1, -2] }, /got -2 in std/],
    [
      'a mean beyond all',
      { mean: [0, 1e308, 0] },
      /got 1e\+308 in mean, expected .*-10000 to 10000/,
    ],
    ['a mean below all', { mean: [0, 0, -10001] }, /got -10001 in mean, expected/],
    [
      'a deviation near 0',
      { std: [1e-320, 1, 1] },
      /got 1e-320 in std, expected .*0\.000001 to 10000/,
    ],
    ['a deviation too small', { std: [1, 9e-7, 1] }, /got 9e-7 in std/],
    ['a deviation beyond all', { std: [1, 1, 1e5] }, /got 100000 in std/],
    ['a deviation that is no number', { std: [1, 1, null] }, /does not describe a model/],
    ['a mean that is text', { mean: [0, 0, 'x'] }, /does not describe a model/],
    ['fewer names than classes', { classes: ['a'] }, /got 1 value for classes \(a\), expected 2/],
    [
      'more names than classes',
      { classes: ['a', 'b', 'c'] },
      /got 3 values for classes \(a, b, c\), expected 2/,
    ],
    ['names that are none', { classes: [1, 2] }, /does not describe a model/],
  ];
  it.each(cases)('%s', (_, changes, message) => {
    writeWith('mamba_nano', { info: changes });
    expect(refusal()).toMatch(message);
  });

  it('takes what is unusual but can be computed with', () => {
    const bounds = { mean: [-1e4, 1e4, 123.675], std: [1e-6, 1e4, 58.395] };
    writeWith('mamba_nano', { info: bounds });
    const loaded = loadModel(path);
    loaded.model.dispose();
    expect(loaded.info).toMatchObject(bounds);
  });

  it('takes a model whose classes have no names', () => {
    writeWith('mamba_nano', { info: { classes: [] } });
    expect(loadModel(path).info.classes).toEqual([]);
  });

  it('refuses an infinite mean, which JSON can hold', () => {
    const model = make('mamba_nano');
    const text = modelMetadata(model, info).replace('"mean":[0.5,', '"mean":[1e999,');
    saveSafetensors(path, model.stateDict(), { mamba_prune: text });
    model.dispose();
    expect(refusal()).toMatch(/does not describe a model/);
  });

  it('does not write what could not be read', () => {
    const model = make('mamba_nano');
    expect(() => {
      saveModel(path, model, { ...info, std: [0, 1, 1] });
    }).toThrow(/saveModel: .*got 0 in std/);
    model.dispose();
  });
});

describe('weights', () => {
  it.each(['int32', 'int64', 'uint8', 'bool'] as const)('of %s are refused', (dtype) => {
    writeWith('resnet20', {
      tensors: (all) => {
        all.set('fc.bias', zeros([2], { dtype }));
      },
    });
    expect(refusal()).toContain(`1 of integers, expected floats: fc.bias (${dtype})`);
  });

  it.each(['float64', 'float16', 'bfloat16'] as const)('of %s are taken', (dtype) => {
    writeWith('resnet20', {
      tensors: (all) => {
        all.set('fc.bias', zeros([2], { dtype }));
      },
    });
    const { model } = loadModel(path);
    expect(model.stateDict().get('fc.bias')?.dtype).toBe('float32');
    model.dispose();
  });

  const broken: [string, number, RegExp][] = [
    ['NaN', NaN, /head.weight \(1 of 16 values\)/],
    ['infinite', Infinity, /head.weight \(1 of 16 values\)/],
    ['beyond float32', -1e300, /head.weight \(1 of 16 values\)/],
  ];
  it.each(broken)('that are %s are refused, and taken to look at them', (_, value, message) => {
    writeWith('mamba_nano', {
      tensors: (all) => {
        const weight = zeros([2, 8], { dtype: 'float64' });
        weight.select(0, 1).narrow(0, 3, 1).fill_(value);
        all.set('head.weight', weight);
      },
    });
    expect(refusal()).toMatch(message);
    const { model } = loadModel(path, { allowNotFinite: true });
    expect(notFinite(model.stateDict())).toEqual([{ name: 'head.weight', count: 1, values: 16 }]);
    model.dispose();
  });

  it('of other programs are checked too, and the file is named', async () => {
    const model = make('resnet20');
    const other = join(folder, 'other.safetensors');
    const tensors = model.stateDict();
    tensors.set('bn1.running_var', zeros([2]).fill_(NaN));
    saveSafetensors(other, tensors);
    const options = { arch: 'resnet20', baseWidth: 2, blocks: [1, 1] };
    await expect(importModel(other, options)).rejects.toThrow(FormatError);
    await expect(importModel(other, options)).rejects.toThrow(
      new RegExp(`${other}: .*bn1.running_var \\(2 of 2 values\\)`),
    );
    expect(() => importStateDict(tensors, options)).toThrow(/bn1.running_var/);
    tensors.set('bn1.running_var', zeros([2], { dtype: 'int32' }));
    expect(() => importStateDict(tensors, options)).toThrow(/1 of integers.*bn1.running_var/);
    const flat = { ...options, std: [0, 1, 1] };
    expect(() => importStateDict(model.stateDict(), flat)).toThrow(/expected numbers above 0/);
    const far = { ...options, mean: [1e308, 0, 0] };
    expect(() => importStateDict(model.stateDict(), far)).toThrow(
      /got 1e\+308 in `mean`, expected/,
    );
  });

  it('of other programs are compared before a model is made', () => {
    const model = make('resnet20');
    const tensors = model.stateDict();
    // The shape from which a width is read.
    tensors.set('layer1.0.conv1.weight', zeros([100_000, 1, 1, 1]));
    const before = memoryStats();
    expect(() =>
      importStateDict(tensors, { arch: 'resnet20', baseWidth: 2, blocks: [1, 1] }),
    ).toThrow(/layer1.0.conv2.weight is \[2, 2, 3, 3\], expected \[2, 100000, 3, 3\]/);
    expect(memoryStats().tensors).toBe(before.tensors);
  });
});
