import { describe, expect, it } from 'vitest';
import { noteAssumedPixels } from './assumed-pixels.js';

const imagenet = { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const cifar = { name: 'cifar10', mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
const imported = (assumed: string[]) => ({ ...imagenet, history: [{ step: 'import', assumed }] });

function noted(...[info, data]: [Parameters<typeof noteAssumedPixels>[0], typeof cifar]): string[] {
  const notes: string[] = [];
  noteAssumedPixels(info, data, {
    onNote: (note) => {
      notes.push(note);
    },
  });
  return notes;
}

describe('a normalisation that was assumed', () => {
  const assumed = ['imageSize 32', 'mean 0.485/0.456/0.406', 'std 0.229/0.224/0.225'];

  it('is held against that of the data, whose values are named', () => {
    expect(noted(imported(assumed), cifar)).toEqual([
      "How the model's pixels are normalised was assumed, and is not as usual for cifar10: give `mean` 0.4914,0.4822,0.4465 `std` 0.247,0.2435,0.2616 where its weights are imported if it was trained so.",
    ]);
    expect(noted(imported(assumed.slice(2)), cifar)[0]).toContain('give `std` 0.247,');
  });

  it('goes without a word where it is that of the data, or nothing was assumed', () => {
    expect(noted(imported(assumed), { name: 'folder', ...imagenet })).toEqual([]);
    expect(noted(imported(['imageSize 32']), cifar)).toEqual([]);
    expect(noted({ ...imagenet, history: [] }, cifar)).toEqual([]);
  });
});
