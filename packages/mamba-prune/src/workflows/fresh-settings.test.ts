// Fresh models of the shape of another one.
import { describe, expect, it } from 'vitest';
import { denseConfig } from '../models/dense-config.js';
import { UsageError } from '../errors.js';
import type { ModelConfigBase } from '../models/image-model.js';
import { importStateDict } from '../models/import/model.js';
import type { ModelOptions } from '../models/model-options.js';
import type { VitConfig } from '../models/vit/config.js';
import { createModelFromConfig } from '../models/registry.js';
import { freshSettings } from './fresh-settings.js';

const withWidths = (
  config: ModelConfigBase,
  widths: Readonly<Record<string, number>>,
): ModelConfigBase => ({
  ...config,
  widths,
});

/** A model of which every group has lost about half, of whatever kind. */
function halved(arch: string, options: ModelOptions) {
  const dense = createModelFromConfig(denseConfig(arch, options));
  const groups = dense.pruningGroups();
  const widths = Object.fromEntries(
    groups.map(({ name, size }) => [name, Math.max(1, Math.ceil(size / 2))]),
  );
  const { config } = dense;
  const kinds = new Set(groups.map(({ kind }) => kind));
  dense.dispose();
  return { kinds, model: createModelFromConfig(withWidths(config, widths)) };
}

const shapesOf = (model: ReturnType<typeof createModelFromConfig>) =>
  Array.from(model.stateDict(), ([name, { shape }]) => [name, shape]);

describe('a fresh model in the widths of another', () => {
  it.each<[string, ModelOptions, string[]]>([
    ['mamba_nano', { dModel: 16, depth: 2, dState: 4, imageSize: 32 }, ['state', 'dt_rank']],
    ['vit_tiny', { dModel: 48, depth: 2, heads: 4, imageSize: 32, patchSize: 8 }, ['heads', 'mlp']],
    ['resnet20', { imageSize: 32 }, ['channels']],
    ['vim_tiny', { dModel: 16, depth: 2, imageSize: 32, patchSize: 8 }, ['ssm']],
    ['vmamba_tiny', { imageSize: 32 }, ['ssm']],
  ])('of %s has its architecture, sizes and widths', (arch, options, kinds) => {
    const { model, kinds: cut } = halved(arch, options);
    expect([...cut]).toEqual(expect.arrayContaining(kinds));
    const settings = freshSettings(model, 'm');
    expect(settings.model).not.toHaveProperty('dropPath');
    expect(settings.model).not.toHaveProperty('numClasses');
    const { imageSize, channels, numClasses } = model.config;
    const sizes = { ...settings.model, imageSize, channels, numClasses };
    const dense = denseConfig(settings.arch, sizes);
    const fresh = createModelFromConfig(withWidths(dense, settings.widths ?? {}));
    expect(fresh.config).toEqual(model.config);
    expect(shapesOf(fresh).length).toBeGreaterThan(10);
    expect(shapesOf(fresh)).toEqual(shapesOf(model));
    fresh.dispose();
    model.dispose();
  });

  it('of a ResNet whose shortcuts had no parameters has the same shortcuts as what it was read as', () => {
    const sizes = { baseWidth: 4, blocks: [1, 1, 1], imageSize: 16 };
    const dense = createModelFromConfig(denseConfig('resnet20', sizes));
    const tensors = [...dense.stateDict()].filter(([name]) => !name.includes('downsample'));
    const said = { arch: 'resnet20', shortcutPadding: 'end', ...sizes } as const;
    const { model } = importStateDict(new Map(tensors), said);
    const { arch, model: options } = freshSettings(model, 'm');
    const fresh = createModelFromConfig(denseConfig(arch, { ...options, imageSize: 16 }));
    expect(fresh.config).toEqual(model.config);
    expect(shapesOf(fresh).some(([name]) => String(name).includes('downsample'))).toBe(true);
    expect(new Set(shapesOf(fresh).map(String))).toEqual(new Set(shapesOf(model).map(String)));
    for (const each of [dense, model, fresh]) each.dispose();
  });

  it.each<[string, Pick<Partial<VitConfig>, 'eps' | 'registers' | 'pooling'>, string]>([
    ['another eps', { eps: 1e-3 }, 'a new vit_tiny has eps 0.000001, and this one 0.001'],
    ['registers', { registers: 4 }, 'a new vit_tiny has registers none, and this one 4'],
    [
      'another pooling',
      { pooling: 'mean' },
      'a new vit_tiny has pooling "token", and this one "mean"',
    ],
  ])('is refused where no new model has %s', (_, changes, different) => {
    const sizes = { dModel: 24, depth: 1, heads: 3, imageSize: 32, patchSize: 8 };
    const config = { ...denseConfig('vit_tiny', sizes), ...changes };
    const model = createModelFromConfig(config);
    const making = () => freshSettings(model, 'runs/odd');
    expect(making).toThrow(
      `runs/odd: ${different}: no model is made anew like it. Go on with its weights (\`from\`), or give another model.`,
    );
    expect(making).toThrow(UsageError);
    model.dispose();
  });
});
