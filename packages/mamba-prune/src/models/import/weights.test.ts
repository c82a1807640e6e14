import { scope, zeros } from '@mamba-prune/libtorch';
import { describe, expect, it, vi } from 'vitest';
import { createModel } from '../registry.js';
import type { WeightsFile } from './file.js';
import { ChosenWeights } from './weights.js';

/** A file that counts how often values are asked for. */
function fileOf(shapes: ReadonlyMap<string, readonly number[]>) {
  const load = vi.fn<WeightsFile['load']>(
    (_, names) =>
      new Map(Array.from(names.keys(), (name) => [name, zeros(shapes.get(name) ?? [])])),
  );
  const file: WeightsFile = { dicts: [{ key: '', shapes }], load, close: () => undefined };
  return { file, load };
}

describe('ChosenWeights', () => {
  it('reads no values under names of no model, of which a file may have very many', () => {
    const shapes = new Map(Array.from({ length: 1000 }, (_, i) => [`a.${i}`, [2]] as const));
    const { file, load } = fileOf(shapes);
    const weights = new ChosenWeights('many.pt', file, undefined);
    expect(() => weights.import({})).toThrow(
      /^import: got tensors a\.0, a\.1.*expected the names of/,
    );
    expect(load).not.toHaveBeenCalled();
    weights.dispose();
  });

  it('reads those of a model once', () => {
    scope(() => {
      const model = createModel('mamba_nano', { depth: 1, imageSize: 16 });
      const { file, load } = fileOf(
        new Map(Array.from(model.stateDict(), ([name, { shape }]) => [name, shape])),
      );
      const weights = new ChosenWeights('mamba.pt', file, undefined);
      for (let i = 0; i < 2; i++) weights.import({ imageSize: 16, scan: 'uni' }).model.dispose();
      expect(load).toHaveBeenCalledTimes(1);
      weights.dispose();
      model.dispose();
    });
  });
});
