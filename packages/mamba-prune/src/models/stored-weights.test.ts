import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Tensor, manualSeed, noGrad, randn, saveSafetensors } from '@mamba-prune/libtorch';
import { SafetensorsFile } from '@mamba-prune/libtorch/files';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ImageModel } from './image-model.js';
import { importModel } from './import/model.js';
import { type ModelInfo, loadModel, saveModel } from './model-file.js';
import { createModel } from './registry.js';
import { storedFormats } from './stored-weights.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-stored-'));
const at = (name: string): string => join(folder, name);
const info: ModelInfo = {
  classes: ['a', 'b', 'c'],
  mean: [0.5, 0.5, 0.5],
  std: [0.25, 0.25, 0.25],
  history: [],
};
let model: ImageModel;

beforeAll(() => {
  manualSeed(5);
  model = createModel('mamba_nano', {
    dModel: 16,
    depth: 2,
    dState: 4,
    imageSize: 8,
    numClasses: 3,
  });
  // Steps of bfloat16 are large enough to be seen in every tensor.
  noGrad(() => {
    for (const tensor of model.parameters()) tensor.add_(randn(tensor.shape).mul(0.1));
  });
});
afterAll(() => {
  model.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const numbers = (tensor: Tensor | undefined): number[] => tensor?.toNumbers() ?? [];
const isMatrix = (name: string): boolean =>
  name.endsWith('.weight') && (model.stateDict().get(name)?.shape.length ?? 0) > 1;

/** The same value with the bits that the format has: to nearest, ties to even, as libtorch rounds. */
const rounded = (tensor: Tensor | undefined, dtype: string): number[] =>
  tensor?.to(dtype).to('float32').toNumbers() ?? [];

describe.each(['float16', 'bfloat16'] as const)('a model file in %s', (dtype) => {
  it('loads as float32, matrices rounded and all else as it was', () => {
    saveModel(at(dtype), model, info, { dtype });
    const { model: read } = loadModel(at(dtype));
    let changed = 0;
    for (const [name, tensor] of read.stateDict()) {
      const original = model.stateDict().get(name);
      expect(tensor.dtype, name).toBe('float32');
      const expected = isMatrix(name) ? rounded(original, dtype) : numbers(original);
      expect(numbers(tensor), name).toEqual(expected);
      if (String(expected) !== String(numbers(original))) changed++;
    }
    expect(changed).toBe([...model.stateDict().keys()].filter(isMatrix).length);
    read.dispose();
  });

  it('keeps A_log, D, biases and norms in float32, and says how much of each there is', () => {
    saveModel(at(dtype), model, info, { dtype });
    const file = SafetensorsFile.open(at(dtype));
    const kept = file.names().filter((name) => file.info(name).dtype === 'F32');
    file.close();
    expect(kept).toEqual(
      expect.arrayContaining([
        'blocks.0.ssm.A_log',
        'blocks.0.ssm.D',
        'blocks.0.norm1.weight',
        'head.bias',
        'pos_embed',
      ]),
    );
    const sum = (is: (name: string) => boolean): number =>
      [...model.stateDict()].reduce(
        (total, [name, { numel }]) => total + (is(name) ? numel : 0),
        0,
      );
    expect(storedFormats(at(dtype))).toEqual({
      [dtype]: sum(isMatrix),
      float32: sum((name) => !isMatrix(name)),
    });
  });

  it('is read from a state dict of another program too', async () => {
    const stateDict = new Map(
      [...model.stateDict()].map(([name, tensor]) => [name, tensor.to(dtype)]),
    );
    saveSafetensors(at(`${dtype}-bare`), stateDict);
    const sizes = { arch: 'mamba_nano', dModel: 16, depth: 2, dState: 4, scan: 'uni' } as const;
    const { model: read } = await importModel(at(`${dtype}-bare`), { ...sizes, imageSize: 8 });
    for (const [name, tensor] of read.stateDict()) {
      expect(tensor.dtype, name).toBe('float32');
      expect(numbers(tensor), name).toEqual(rounded(model.stateDict().get(name), dtype));
    }
    read.dispose();
  });
});

describe('a model file', () => {
  it('holds float32 unless it is asked for less, bit for bit as before', () => {
    saveModel(at('usual'), model, info);
    saveModel(at('said'), model, info, { dtype: 'float32' });
    expect(statSync(at('usual')).size).toBe(statSync(at('said')).size);
    expect(storedFormats(at('usual'))).toBeUndefined();
    const { model: read } = loadModel(at('usual'));
    for (const [name, tensor] of read.stateDict()) {
      expect(numbers(tensor), name).toEqual(numbers(model.stateDict().get(name)));
    }
    read.dispose();
  });

  it('is not written with weights that 16 bits cannot hold', () => {
    const large = createModel('mamba_nano', { dModel: 8, depth: 1, imageSize: 8, numClasses: 3 });
    noGrad(() => large.stateDict().get('head.weight')?.fill_(1e5));
    expect(() => {
      saveModel(at('large'), large, info, { dtype: 'float16' });
    }).toThrow(
      /too large for float16: head\.weight \(24 of 24 values\).*Take float32, or bfloat16/,
    );
    saveModel(at('large'), large, info, { dtype: 'bfloat16' });
    large.dispose();
  });

  it('is refused in a format that there is not, or with an option that there is not', () => {
    const write = (options: object) => () => {
      saveModel(at('never'), model, info, options);
    };
    expect(write({ dtype: 'int8' })).toThrow(
      "got dtype 'int8', expected one of float32, float16, bfloat16",
    );
    expect(write({ dtpye: 'float16' })).toThrow(/saveModel: .*dtpye/);
  });
});
