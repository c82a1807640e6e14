import { describe, expect, it } from 'vitest';
import { newModelOptions } from './model.js';

describe('the options of a new model', () => {
  it('are those of the preset where nothing else was typed', () => {
    const preset = { preset: 'best', depth: 3 } as const;
    const typedToo = { ...preset, scan: 'uni' };
    expect(newModelOptions(preset, 'cifar10', 'mamba_tiny')).toEqual({ scan: 'cross', depth: 3 });
    expect(newModelOptions(typedToo, 'cifar10', 'mamba_tiny')).toEqual({
      scan: 'uni',
      depth: 3,
    });
    expect(newModelOptions(preset, 'cifar10', 'vit_tiny')).toEqual({ depth: 3 });
    const alone: object = { depth: 3 };
    expect(newModelOptions(alone, 'cifar10', 'mamba_tiny')).toEqual({ depth: 3 });
  });
});
