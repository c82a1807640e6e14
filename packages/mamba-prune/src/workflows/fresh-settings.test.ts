// Fresh models of the shape of another one.
import { describe, expect, it } from 'vitest';
import { denseConfig } from '../models/dense-config.js';
import type { ModelConfigBase } from '../models/image-model.js';
import type { ModelOptions } from '../models/model-options.js';
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
});
