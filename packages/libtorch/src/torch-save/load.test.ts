import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { FormatError, loadTorchSave, memoryStats } from '../index.js';
import { writeTorchArchive } from './testing/write-archive.js';
import { settledMemory } from '../../../../test/support/garbage.js';

const folder = mkdtempSync(join(tmpdir(), 'torch-save-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

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
    const before = (await settledMemory()).tensors;
    await expect(loadTorchSave(fixture('malicious.pt'))).rejects.toThrow(FormatError);
    expect(memoryStats().tensors).toBe(before);
  });

  it('takes tensors that repeat a little of the file', async () => {
    const path = join(folder, 'repeated.pt');
    writeTorchArchive(
      path,
      [
        { name: 'a', shape: [2, 3], strides: [0, 1], storage: '0' },
        { name: 'tied', shape: [3], strides: [1], storage: '0' },
      ],
      { 0: [1, 2, 3] },
    );
    const tensors = await loadTorchSave(path);
    expect(tensors.get('a')?.toNumbers()).toEqual([1, 2, 3, 1, 2, 3]);
    expect(tensors.get('tied')?.toNumbers()).toEqual([1, 2, 3]);
  });

  const large = 240 * 1024 ** 2;
  const bombs: [string, { shape: number[]; strides: number[]; count: number; values: number }][] = [
    ['many tensors of 960 MB', { shape: [large], strides: [0], count: 200, values: 1 }],
    ['one tensor of 960 MB', { shape: [large], strides: [0], count: 1, values: 1 }],
    ['many tensors below every limit', { shape: [250_000], strides: [0], count: 100, values: 1 }],
    [
      'one storage that many look at',
      { shape: [50_000], strides: [1], count: 400, values: 50_000 },
    ],
  ];
  it.each(bombs)('refuses to make %s out of a small file, before it makes any', async (_, bomb) => {
    const path = join(folder, 'bomb.pt');
    const { shape, strides, count, values } = bomb;
    writeTorchArchive(
      path,
      Array.from({ length: count }, (__, i) => ({ name: `t${i}`, shape, strides, storage: '0' })),
      { 0: Array<number>(values).fill(1) },
    );
    const before = (await settledMemory()).tensors;
    await expect(loadTorchSave(path)).rejects.toThrow(FormatError);
    await expect(loadTorchSave(path)).rejects.toThrow(
      `readTorchSave "${path}": got ${count} tensors of ${count * (shape[0] ?? 0) * 4} bytes in all`,
    );
    expect(memoryStats().tensors).toBe(before);
  });

  it('names the file in which it finds no state dict', async () => {
    const path = fixture('tensors.pt');
    await expect(loadTorchSave(path, { key: 'none' })).rejects.toThrow(
      `readTorchSave "${path}": collectStateDict: got \`key\` "none"`,
    );
  });

  it('does not wait for a named pipe', async () => {
    const pipe = join(folder, 'pipe.pt');
    execFileSync('mkfifo', [pipe]);
    await expect(loadTorchSave(pipe)).rejects.toThrow(`"${pipe}": got a named pipe`);
  });
});
