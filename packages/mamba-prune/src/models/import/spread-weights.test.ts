// Files of checkpoints that several processes wrote, each of them with a part.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Tensor, saveSafetensors, zeros } from '@mamba-prune/libtorch';
import { afterAll, describe, expect, it } from 'vitest';
import { createModel } from '../registry.js';
import { importModel } from './model.js';

const folder = mkdtempSync(join(tmpdir(), 'spread-weights-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

function write(tensors: ReadonlyMap<string, Tensor>): string {
  const path = join(folder, 'weights.safetensors');
  saveSafetensors(path, tensors, {});
  return path;
}

const vit = { dModel: 24, depth: 1, heads: 3, imageSize: 8, patchSize: 4, numClasses: 2 };

describe('a file of one of several processes', () => {
  it('is refused where its tensors have no values, with how one file is made of all', async () => {
    const model = createModel('vit_tiny', vit);
    const names = [...model.stateDict().keys()];
    model.dispose();
    await expect(
      importModel(write(new Map(names.map((name) => [name, zeros([0])])))),
    ).rejects.toThrow(
      `got '${names[0]}' of shape [0], the first of ${names.length} tensors without values, expected weights. DeepSpeed leaves such a file`,
    );
  });

  it('is refused where FSDP has joined its parameters into one', async () => {
    const name = '_fsdp_wrapped_module._flat_param';
    await expect(importModel(write(new Map([[name, zeros([100])]])))).rejects.toThrow(
      /got '_flat_param', parameters that FSDP has joined into one, expected each by its name\. .*FULL_STATE_DICT/,
    );
  });

  it('is read where FSDP and torch.compile have wrapped every module of it', async () => {
    const model = createModel('vit_tiny', vit);
    const wrapped = Array.from(model.stateDict(), ([name, tensor]): [string, Tensor] => [
      `_orig_mod._fsdp_wrapped_module.${name.replace('blocks.0.', 'blocks.0._checkpoint_wrapped_module._fsdp_wrapped_module.')}`,
      tensor,
    ]);
    const read = await importModel(write(new Map(wrapped)), { ...vit, arch: 'vit_tiny' });
    for (const [name, tensor] of model.stateDict()) {
      expect(read.model.stateDict().get(name)?.toNumbers()).toEqual(tensor.toNumbers());
    }
    read.model.dispose();
    model.dispose();
  });
});
