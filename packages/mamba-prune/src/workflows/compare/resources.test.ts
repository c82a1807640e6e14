import { describe, expect, it } from 'vitest';
import { createModel } from '../../models/registry.js';
import { divideMachine, trainingBytes } from './resources.js';

const GiB = 2 ** 30;

describe('divideMachine', () => {
  it('gives every core a run where memory allows', () => {
    expect(divideMachine({ cores: 4, freeBytes: 16 * GiB }, GiB, 12)).toEqual({
      jobs: 4,
      threads: 1,
      reason: '4 cores',
    });
  });

  it('leaves a fifth of the memory free', () => {
    // 0.8 * 16 / 5 = 2.56
    expect(divideMachine({ cores: 8, freeBytes: 16 * GiB }, 5 * GiB, 12)).toEqual({
      jobs: 2,
      threads: 4,
      reason: '16.0 GiB of free memory, about 5.0 GiB for a run',
    });
  });

  it('has one run where not even that fits, or only one can go on', () => {
    expect(divideMachine({ cores: 8, freeBytes: GiB }, 5 * GiB, 12)).toMatchObject({
      jobs: 1,
      threads: 8,
    });
    expect(divideMachine({ cores: 8, freeBytes: 16 * GiB }, GiB, 1)).toEqual({
      jobs: 1,
      threads: 8,
      reason: 'no two of the runs can go on side by side',
    });
  });
});

describe('trainingBytes', () => {
  it('grows with batch, model and images', () => {
    const sizes = { dModel: 16, depth: 2, imageSize: 12, numClasses: 3 };
    const model = createModel('mamba_nano', sizes);
    const small = trainingBytes(model, 1, 0);
    const macs = model.macs().reduce((sum, entry) => sum + entry.macs, 0);
    // 4 bytes for each 40 MACs of an image.
    expect(trainingBytes(model, 129, 1000) - small).toBe(1000 + (128 * macs * 4) / 40);
    model.dispose();
    const larger = createModel('mamba_nano', { ...sizes, depth: 4 });
    expect(trainingBytes(larger, 1, 0)).toBeGreaterThan(small);
    larger.dispose();
  });
});
