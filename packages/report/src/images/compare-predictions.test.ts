import { describe, expect, it } from 'vitest';
import type { Predictions } from './classify.js';
import { confusionOf, disagreements } from './compare-predictions.js';
import { interleaved } from './thumbnail.js';

const predictions = (classes: number[], probabilities: number[]): Predictions => ({
  classes: Int32Array.from(classes),
  probabilities: Float32Array.from(probabilities),
  accuracy: NaN,
});

describe('a confusion matrix', () => {
  it('has true classes as rows and predictions as columns', () => {
    const made = predictions([0, 1, 1, 2], [1, 1, 1, 1]);
    expect(confusionOf(made, [0, 0, 1, 2], 3)).toEqual([1, 1, 0, 0, 1, 0, 0, 0, 1]);
  });
});

describe('disagreements', () => {
  const labels = [0, 0, 1, 1, 2];
  const dense = predictions([0, 0, 1, 2, 0], [0.5, 0.5, 0.75, 0.5, 0.5]);
  const pruned = predictions([0, 1, 0, 1, 1], [0.5, 0.25, 0.5, 0.5, 0.5]);
  const { counts, examples } = disagreements(dense, pruned, labels);

  it('are counted by who is right', () => {
    expect(counts).toEqual({ bothRight: 1, onlyDense: 2, onlyPruned: 1, bothWrong: 1 });
  });

  it('come by kind, those first that both models are sure of', () => {
    expect(examples.map(({ index }) => index)).toEqual([2, 1, 3, 4]);
    expect(examples[0]).toEqual({
      index: 2,
      label: 1,
      dense: { predicted: 1, probability: 0.75 },
      pruned: { predicted: 0, probability: 0.5 },
    });
  });
});

describe('pixels of a thumbnail', () => {
  it('come from planes', () => {
    expect([...interleaved(Uint8Array.from([1, 2, 3, 4, 5, 6]), 3)]).toEqual([1, 3, 5, 2, 4, 6]);
    expect([...interleaved(Uint8Array.from([1, 2]), 1)]).toEqual([1, 2]);
  });
});
