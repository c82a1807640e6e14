import { describe, expect, it } from 'vitest';
import { modelNames } from './families.js';
import { denseConfig } from './dense-config.js';
import { defaultPatch } from './default-patch.js';
import { modelLabel } from './model-label.js';

describe('the label of a model', () => {
  it.each(modelNames())('is the name alone for the usual sizes of %s', (arch) => {
    for (const imageSize of [28, 32, 224]) {
      const patchSize = defaultPatch(arch, imageSize);
      expect(modelLabel(arch, denseConfig(arch, { imageSize, patchSize }))).toBe(arch);
    }
    expect(modelLabel(arch, {})).toBe(arch);
    // What pruning leaves is no other model.
    const config = denseConfig(arch, {});
    const widths = Object.fromEntries(Object.keys(config.widths).map((name) => [name, 3]));
    expect(modelLabel(arch, { ...config, widths })).toBe(arch);
  });

  it.each([
    ['mamba_nano', { patchSize: 7, dModel: 128, depth: 2 }, 'd_model 128, depth 2, patch 7'],
    ['mamba_quick', { dState: 4, scan: 'bi' as const }, 'd_state 4, scan bi'],
    ['vit_tiny', { imageSize: 224, patchSize: 14 }, 'patch 14'],
    ['vim_nano', { patchSize: 8, stride: 4, imageSize: 32 }, 'patch 8, stride 4'],
    ['vim_nano', { patchSize: 8, imageSize: 32 }, 'patch 8'],
    ['vim_tiny', { patchSize: 14, stride: 10, imageSize: 224 }, 'patch 14, stride 10'],
    ['vmamba_nano', { stemStride: 4, imageSize: 32 }, 'stem_stride 4'],
    ['resnet20', { blocks: [1, 1], baseWidth: 4 }, 'base_width 4, blocks 1-1'],
  ])('has the sizes that are not those of %s', (arch, options, sizes) => {
    const imageSize = 'imageSize' in options ? options.imageSize : 28;
    const patchSize = defaultPatch(arch, imageSize);
    const config = denseConfig(arch, { imageSize, patchSize, ...options });
    expect(modelLabel(arch, config)).toBe(`${arch} (${sizes})`);
    expect(modelLabel(arch, options)).toBe(`${arch} (${sizes})`);
  });

  it('is the name for an architecture of another version', () => {
    expect(modelLabel('mamba_huge', { dModel: 4096 })).toBe('mamba_huge');
  });
});

describe("the quickstart's model", () => {
  it('has a name of its own, with all its sizes', () => {
    const options = { imageSize: 28, channels: 1, patchSize: defaultPatch('mamba_quick', 28) };
    const { arch, widths, ...sizes } = denseConfig('mamba_quick', options);
    const earlier = denseConfig('mamba_nano', {
      imageSize: 28,
      channels: 1,
      patchSize: 7,
      dModel: 128,
      depth: 2,
    });
    expect({ ...sizes, widths, arch: 'mamba_nano' }).toEqual(earlier);
    expect(arch).toBe('mamba_quick');
    // Images that do not divide into such patches.
    expect(defaultPatch('mamba_quick', 32)).toBe(4);
  });
});
