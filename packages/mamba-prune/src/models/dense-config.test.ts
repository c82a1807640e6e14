import { describe, expect, it, vi } from 'vitest';
import { TooLargeError, isUsageError } from '../errors.js';
import { modelNames } from './families.js';
import type { ModelOptions } from './model-options.js';
import { denseConfig } from './dense-config.js';
import { createModel, createModelFromConfig, parametersOf } from './registry.js';

const memory = vi.hoisted(() => ({ total: 2 ** 36 }));

vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  totalmem: () => memory.total,
}));

const failure = (body: () => unknown): unknown => {
  try {
    body();
  } catch (error) {
    return error;
  }
  return undefined;
};

/** The kinds of blocks and their order are the architecture's; a hundred million numbers would show no more of them. */
function narrow(config: object): ModelOptions {
  if ('headDim' in config) return { dModel: 48, heads: 3 };
  if ('baseWidth' in config) return { baseWidth: 8 };
  return {};
}

describe('parametersOf', () => {
  it.each(modelNames())('counts those that %s has, dense and pruned', (arch) => {
    const model = createModel(arch, {
      numClasses: 7,
      channels: 1,
      ...narrow(denseConfig(arch, {})),
    });
    expect(parametersOf(model.config)).toBe(model.numParameters());
    const groups = model.pruningGroups();
    const widths = Object.fromEntries(
      groups.map(({ name, size }, i) => [name, Math.max(1, size - 1 - (i % 3))]),
    );
    const pruned = model.withWidths(widths);
    expect(parametersOf(pruned.config)).toBe(pruned.numParameters());
    for (const made of [model, pruned]) made.dispose();
  });

  it.each<[string, ModelOptions]>([
    ['mamba_nano', { scan: 'bi', imageSize: 12, patchSize: 3, dConv: 3, expand: 3, mlpRatio: 1 }],
    ['vit_tiny', { dModel: 24, heads: 2, depth: 1, imageSize: 16 }],
    ['resnet18', { baseWidth: 6, blocks: [1, 2, 1], stem: 'imagenet' }],
    ['resnet50', { baseWidth: 4, blocks: [2, 1] }],
  ])('counts those of %s with %j', (arch, options) => {
    const model = createModel(arch, options);
    expect(parametersOf(denseConfig(arch, options))).toBe(model.numParameters());
    model.dispose();
  });
});

describe('createModel', () => {
  it.each<[string, ModelOptions, string]>([
    ['mamba_tiny', { depth: 1_000_000 }, 'depth: got 1000000, expected at most 1000'],
    ['mamba_tiny', { dModel: 1e9 }, 'dModel: got 1000000000, expected at most 65536'],
    ['mamba_tiny', { dState: 1e9 }, 'dState'],
    ['mamba_tiny', { numClasses: 1e12 }, 'numClasses'],
    ['mamba_tiny', { imageSize: 1e9, patchSize: 1 }, 'imageSize'],
    ['mamba_tiny', { mlpRatio: 1e9 }, 'mlpRatio'],
    ['mamba_tiny', { expand: Infinity }, 'expand: got Infinity'],
    ['vit_tiny', { depth: 1e12 }, 'depth'],
    ['vit_tiny', { heads: 1e9, dModel: 1e9 }, 'dModel'],
    ['resnet20', { baseWidth: 1e9 }, 'baseWidth'],
  ])('refuses %s with %j before anything is made', (arch, options, message) => {
    const error = failure(() => createModel(arch, options));
    expect(error).toBeInstanceOf(TooLargeError);
    expect(error).toBeInstanceOf(RangeError);
    expect(isUsageError(error)).toBe(true);
    expect((error as Error).message).toContain(message);
  });

  it.each<[string, ModelOptions]>([
    ['mamba_tiny', { dModel: 65_536, depth: 100 }],
    ['vit_small', { dModel: 49_152, depth: 100 }],
    ['resnet50', { baseWidth: 32_768 }],
  ])('says what %s with %j would need', (arch, options) => {
    memory.total = 23 * 2 ** 30;
    expect(failure(() => createModel(arch, options))).toMatchObject({
      name: 'TooLargeError',
      message: expect.stringMatching(
        /^\w+: got sizes that make a model of \S+e\+\d+ parameters, which would need [\d.]+ [GT]iB, but this machine has 23 GiB\./,
      ) as string,
    });
  });

  it('takes what fits to the byte, and refuses one byte less', () => {
    const config = denseConfig('mamba_nano', {});
    memory.total = 4 * parametersOf(config);
    createModel('mamba_nano').dispose();
    memory.total -= 1;
    expect(() => createModel('mamba_nano')).toThrow(TooLargeError);
    expect(() => createModelFromConfig(config)).toThrow(TooLargeError);
  });
});
