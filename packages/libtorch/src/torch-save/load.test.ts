import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FormatError, loadTorchSave, memoryStats } from '../index.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

describe('loadTorchSave', () => {
  it('gives tensors of every type, contiguous whatever the layout was', async () => {
    const tensors = await loadTorchSave(fixture('tensors.pt'));
    expect(tensors.get('float32')?.toArray()).toEqual([
      [0.5, -1],
      [2, 3.25],
    ]);
    expect(tensors.get('bfloat16')?.dtype).toBe('bfloat16');
    expect(tensors.get('bfloat16')?.toNumbers()).toEqual([1, -2, 0.5]);
    expect(tensors.get('int64')?.toNumbers()).toEqual([1, -2, 2 ** 40]);
    expect(tensors.get('bool')?.toNumbers()).toEqual([1, 0, 1]);
    expect(tensors.get('transposed')?.select(0, 1).toNumbers()).toEqual([1, 5, 9]);
    expect(tensors.get('scalar')?.shape).toEqual([]);
  });

  it('finds the state dict of a training checkpoint', async () => {
    const tensors = await loadTorchSave(fixture('checkpoint.pt'), {
      onUnknownGlobal: 'placeholder',
    });
    expect([...tensors.keys()]).toContain('0.weight');
    expect(tensors.get('0.weight')?.shape).toEqual([3, 2]);
  });

  it('runs nothing that is pickled, and leaves no tensor behind', async () => {
    const before = memoryStats().tensors;
    await expect(loadTorchSave(fixture('malicious.pt'))).rejects.toThrow(FormatError);
    expect(memoryStats().tensors).toBe(before);
  });
});
