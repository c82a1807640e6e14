// Weights with the tensors of a model that is here, and the name of one that is not.
import { FormatError, zeros } from '@mamba-prune/libtorch';
import { describe, expect, it } from 'vitest';
import { createModel } from '../registry.js';
import { readModel } from './read.js';

const files = [
  ['vim_nano', { imageSize: 32 }],
  ['vit_tiny', { imageSize: 32, depth: 1 }],
  ['vmamba_nano', {}],
] as const;

describe('a file whose script names a model that is not here', () => {
  // Names of the authors' scripts.
  it.each([
    ['RMeeTo_tiny', /is called RMeeTo_tiny: a model that merges tokens .*R-MeeTo/],
    ['RMeeTo_deit_small', /R-MeeTo/],
    ['mamba_vision_T2', /a MambaVision/],
    ['timm_local_vim_tiny', /a LocalMamba/],
    ['timm_local_vmamba_small', /a LocalMamba/],
    ['vssm_efficient_tiny', /an EfficientVMamba/],
    ['plain_mamba_l1', /a PlainMamba/],
  ])('is refused, also where the architecture is said: %s', (name, message) => {
    const args = new Map([['model', name]]);
    for (const [arch, sizes] of files) {
      const tensors = createModel(arch, sizes).stateDict();
      const read = () => readModel(tensors, { ...sizes, arch }, args);
      expect(read).toThrow(FormatError);
      expect(read).toThrow(message);
    }
  });

  it('says so of tensors that are of no model here, too', () => {
    const args = new Map([['model', 'mamba_vision_T']]);
    expect(() => readModel(new Map(), {}, args)).toThrow(/called mamba_vision_T: a MambaVision/);
  });

  it.each(['deit_tiny_patch16_224', 'vit_base_patch16_siglip_gap_224', 'mine', 'vmamba_tiny', ''])(
    'is read otherwise: %s',
    (name) => {
      const [, [arch, sizes]] = files;
      const tensors = createModel(arch, sizes).stateDict();
      const { config } = readModel(tensors, { ...sizes, arch }, new Map([['model', name]]));
      expect(config).toMatchObject({ arch: 'vit_tiny' });
    },
  );

  it.each([
    [['base_model.model.blocks.0.attn.qkv.base_layer.weight'], /an adapter.*merge_and_unload\(\)/],
    [['base_model.model.layer1.0.conv1.lora_A.weight'], /an adapter.*merge_and_unload\(\)/],
    [['cls_token', 'to_patch_embedding.1.weight'], /a model of vit-pytorch.*no architecture/],
  ])('says so of names that tell of it: %j', (names, message) => {
    const read = () => readModel(new Map(names.map((name) => [name, zeros([4])])));
    expect(read).toThrow(FormatError);
    expect(read).toThrow(message);
  });

  it('says so of an adapter beside the layers of a model that is here', () => {
    for (const [arch, sizes] of [...files, ['resnet18', { baseWidth: 4, blocks: [1] }] as const]) {
      const tensors = new Map(createModel(arch, sizes).stateDict());
      const name = [...tensors.keys()].at(-1) ?? '';
      for (const other of ['original_module', 'modules_to_save.default']) {
        tensors.set(name.replace(/(?=\w+$)/, `${other}.`), zeros([4]));
      }
      expect(() => readModel(tensors, { ...sizes, arch }), arch).toThrow(
        /which belongs to an adapter/,
      );
    }
  });

  // What timm's train.py writes beside the weights.
  it.each([
    ['resnetblur18', 'resnet18', /pooling against aliasing \(architecture resnetblur18\)/],
    ['vit_base_patch16_rpn_224', 'vit_tiny', /its norms behind the layers/],
    ['vit_base_patch16_rope_ape_224', 'vit_tiny', /rotary positions/],
    ['vit_base_patch32_siglip_gap_256', 'vit_tiny', /another function than gelu/],
    ['vit_large_patch16_siglip_gap_512', 'vit_tiny', /another function than gelu/],
    ['vit_so400m_patch16_siglip_gap_384', 'vit_tiny', /another function than gelu/],
  ] as const)('is refused by what the name says and no shape: %s', (name, arch, message) => {
    const sizes = arch === 'resnet18' ? { baseWidth: 4, blocks: [1] } : { imageSize: 32, depth: 1 };
    const tensors = createModel(arch, sizes).stateDict();
    const read = () => readModel(tensors, { ...sizes, arch }, new Map([['model', name]]));
    expect(read).toThrow(FormatError);
    expect(read).toThrow(message);
  });
});
