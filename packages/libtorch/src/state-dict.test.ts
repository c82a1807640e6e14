import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  FormatError,
  Tensor,
  dtypes,
  loadSafetensors,
  memoryStats,
  nn,
  randn,
  saveSafetensors,
  scope,
  tensor,
} from './index.js';

const folder = mkdtempSync(join(tmpdir(), 'state-dict-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('safetensors files', () => {
  it('keep every type bit for bit, in order', () => {
    const path = join(folder, 'types.safetensors');
    const made = dtypes.map((dtype): [string, Tensor] => [
      `t.${dtype}`,
      (dtype === 'bool' ? tensor([1, 0, 1]) : tensor([0.5, 3, 96])).to(dtype),
    ]);
    saveSafetensors(path, new Map(made), { note: 'x' });
    const { tensors, metadata } = loadSafetensors(path);
    expect(metadata).toEqual({ note: 'x' });
    expect([...tensors.keys()]).toEqual(made.map(([name]) => name));
    for (const [name, original] of made) {
      expect(tensors.get(name)?.dtype).toBe(original.dtype);
      expect(tensors.get(name)?.toTypedArray()).toEqual(original.toTypedArray());
    }
  });

  it('take views, scalars and empty tensors', () => {
    const path = join(folder, 'views.safetensors');
    const view = tensor([
      [1, 2],
      [3, 4],
    ]).t();
    const all = { view, scalar: tensor(7), empty: tensor([]) };
    saveSafetensors(path, new Map(Object.entries(all)));
    const { tensors } = loadSafetensors(path);
    expect(tensors.get('view')?.toArray()).toEqual([
      [1, 3],
      [2, 4],
    ]);
    expect(tensors.get('scalar')?.shape).toEqual([]);
    expect(tensors.get('empty')?.shape).toEqual([0]);
  });

  it('carry a model over', () => {
    const path = join(folder, 'model.safetensors');
    const make = (): nn.Sequential => new nn.Sequential(new nn.Linear(3, 4), new nn.LayerNorm(4));
    const [a, b] = [make(), make()];
    saveSafetensors(path, a.stateDict());
    b.loadStateDict(loadSafetensors(path).tensors);
    const x = randn([2, 3]);
    expect(b.forward(x).equal(a.forward(x))).toBe(true);
  });

  it('give only the tensors asked for', () => {
    const path = join(folder, 'model.safetensors');
    const { tensors } = loadSafetensors(path, { names: ['1.bias'] });
    expect([...tensors.keys()]).toEqual(['1.bias']);
  });

  it('leave nothing allocated when damaged or incomplete', () => {
    const path = join(folder, 'model.safetensors');
    const before = memoryStats().tensors;
    expect(() => loadSafetensors(path, { names: ['1.bias', 'none'] })).toThrow(FormatError);
    expect(memoryStats().tensors).toBe(before);
    const cut = join(folder, 'cut.safetensors');
    writeFileSync(cut, readFileSync(path).subarray(0, -4));
    expect(() => loadSafetensors(cut)).toThrow(FormatError);
    expect(memoryStats().tensors).toBe(before);
  });

  it('belong to the scope they are loaded in', () => {
    const before = memoryStats().tensors;
    const bias = scope(() =>
      loadSafetensors(join(folder, 'model.safetensors')).tensors.get('1.bias'),
    );
    expect(memoryStats().tensors).toBe(before + 1);
    bias?.dispose();
  });
});
