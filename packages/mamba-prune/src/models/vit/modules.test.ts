// Blocks of pickled ViTs, by their classes.
import type { PickledModule } from '@mamba-prune/libtorch/files';
import { describe, expect, it } from 'vitest';
import { vitConfig } from './config.js';
import { vitFunctions } from './modules.js';

const block = (type: string) => {
  const module: PickledModule = {
    type,
    hooks: [],
    setting: () => undefined,
    attribute: () => undefined,
  };
  return { functions: [], parts: [{ name: 'layers.0', at: 'vit.layers.0', module }] };
};

const config = vitConfig('vit_tiny', {});
const transformers = (model: string, name: string): string =>
  `transformers.models.${model}.modeling_${model}.${name}`;

describe('a block of a pickled ViT', () => {
  it.each([
    'timm.models.vision_transformer.Block',
    'torchvision.models.vision_transformer.EncoderBlock',
    transformers('vit', 'ViTLayer'),
    transformers('vit_msn', 'ViTMSNLayer'),
    transformers('ijepa', 'IJepaLayer'),
    // torch.fx keeps nothing else of the modules that hold others.
    'torch.nn.modules.module.Module',
    'nets.Block',
  ])('may be a %s', (type) => {
    expect(vitFunctions(block(type), config)).toBeUndefined();
  });

  it.each(['timm.models.vision_transformer.ResPostBlock', transformers('beit', 'BeitLayer')])(
    'is no %s',
    (type) => {
      expect(vitFunctions(block(type), config)).toMatchObject({ at: 'vit.layers.0' });
    },
  );
});
