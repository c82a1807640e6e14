// What FSDP leaves in a state dict that was saved as it was (fixtures/make-distributed.py).
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { loadTorchSave } from '../index.js';
import { wrappedTensor } from './wrapped-tensor.js';
import { PythonGlobal } from './values.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`fixtures/${name}.pt`, import.meta.url));
const load = (name: string) => loadTorchSave(fixture(name), { onUnknownGlobal: 'placeholder' });

describe('tensors that are spread over processes', () => {
  it.each([
    ['fsdp-shards', 'torch.distributed._shard.sharded_tensor.api.ShardedTensor'],
    ['fsdp2-shards', 'torch.distributed.tensor.DTensor'],
  ])('are refused with how to save all of them: %s', async (name, type) => {
    await expect(load(name)).rejects.toThrow(
      `got "weight", a part of a tensor that was spread over processes (${type}), expected a dense tensor`,
    );
    await expect(load(name)).rejects.toThrow(/full_state_dict=True/);
  });

  it('are read where a process had all of them', async () => {
    const tensors = await load('replicated');
    expect(tensors.get('weight')?.shape).toEqual([4, 2]);
    expect(tensors.get('weight')?.toNumbers()).toEqual(Array<number>(8).fill(0.5));
    expect(tensors.get('bias')?.toNumbers()).toEqual(Array<number>(4).fill(0.25));
  });

  it('are named by their class where another library wraps them', () => {
    const type = new PythonGlobal('torchao.dtypes.affine.AffineQuantizedTensor');
    const builder = new PythonGlobal('torch._utils._rebuild_wrapper_subclass');
    const made = wrappedTensor([builder, type, [type, 'torch.float32', [4, 2]], null]);
    expect(made).toMatchObject({ what: `a tensor of the class ${type.name}`, shape: [4, 2] });
  });
});
