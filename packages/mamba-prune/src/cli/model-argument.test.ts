import { describe, expect, it } from 'vitest';
import { modelLabels } from './model-argument.js';

describe('labels of models', () => {
  it('are the names of runs and files', () => {
    expect(modelLabels(['runs/dense/model.safetensors', 'cut.safetensors', 'cut.onnx'])).toEqual([
      'dense',
      'cut',
      'cut.onnx',
    ]);
  });

  it('have as many folders before them as tell them apart, where names are the same', () => {
    const paths = [
      'runs/seed-0/dense/model.safetensors',
      'runs/seed-1/dense/model.safetensors',
      'old/seed-1/dense/model.safetensors',
      'runs/refill/model.safetensors',
    ];
    expect(modelLabels(paths)).toEqual([
      'seed-0/dense',
      'runs/seed-1/dense',
      'old/seed-1/dense',
      'refill',
    ]);
  });

  it('are the names of folders, where weights are split over several files', () => {
    expect(modelLabels(['vit/model.safetensors.index.json'])).toEqual(['vit']);
  });

  it('are the same for the same file', () => {
    const path = 'runs/dense/model.safetensors';
    expect(modelLabels([path, path])).toEqual(['runs/dense', 'runs/dense']);
  });
});
