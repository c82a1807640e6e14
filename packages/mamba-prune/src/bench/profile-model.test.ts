import { ShapeError, isGradEnabled, manualSeed, memoryStats } from '@mamba-prune/libtorch';
import { describe, expect, it, vi } from 'vitest';
import { createModel } from '../models/registry.js';
import { type PassProfile, outsideOfOperators, profileModel } from './profile-model.js';

const sizes = { dModel: 16, depth: 2, dState: 4, numClasses: 3, imageSize: 8 } as const;

function profiled(options: Parameters<typeof createModel>[1] = {}): PassProfile[] {
  manualSeed(0);
  return profileModel('tiny', createModel('mamba_nano', { ...sizes, ...options }), {
    batch: 3,
    passes: 2,
  });
}
const namesOf = ({ parts }: PassProfile, phase: string): string[] =>
  parts.filter((part) => part.phase === phase).map(({ name }) => name);

describe('profileModel', () => {
  const stages = ['norm', 'in_proj', 'conv', 'x_proj', 'dt_proj', 'scan', 'out_proj'];

  it('names every stage of an inference and of both passes of a training step', () => {
    const [inference, training] = profiled() as [PassProfile, PassProfile];
    expect(inference).toMatchObject({ model: 'tiny', batch: 3, pass: 'inference' });
    expect(training).toMatchObject({ model: 'tiny', batch: 3, pass: 'training' });
    // GELU is a part of fc1's product there.
    expect(namesOf(inference, 'forward')).toEqual(
      expect.arrayContaining([...stages, 'fc1', 'fc2', outsideOfOperators]),
    );
    for (const phase of ['forward', 'backward']) {
      expect(namesOf(training, phase), phase).toEqual(
        expect.arrayContaining([...stages, 'fc1', 'gelu', 'fc2', outsideOfOperators]),
      );
    }
    expect(namesOf(training, 'optimizer')).toContain('mamba_prune::adamw_');
  });

  it('gives parts that add up to the whole, the longest first, with the calls of one pass', () => {
    for (const { ms, parts } of profiled()) {
      const times = parts.map((part) => part.ms);
      // What no operator took is a part of its own, so that only the rounding of a sum may be missing.
      expect(times.reduce((a, b) => a + b) / ms).toBeCloseTo(1, 9);
      expect(parts.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9);
      expect(times).toEqual(times.toSorted((a, b) => b - a));
      const scans = parts.filter(({ name }) => name === 'scan');
      expect(scans.map(({ calls }) => calls)).toEqual(scans.map(() => sizes.depth));
    }
  });

  it('profiles the inference alone where a BatchNorm cannot train on so few values', () => {
    // The last stage has one position: 32 pixels, halved five times.
    const model = createModel('resnet18', { stem: 'imagenet', imageSize: 32, baseWidth: 2 });
    const passesAt = (batch: number): string[] =>
      profileModel('tiny', model, { batch, passes: 1 }).map(({ pass }) => pass);
    expect(passesAt(1)).toEqual(['inference']);
    expect(passesAt(2)).toEqual(['inference', 'training']);
    expect(model.parameters().filter(({ grad }) => grad !== null)).toEqual([]);
  });

  it('does not take another shape that is wrong in training for such a BatchNorm', () => {
    const model = createModel('mamba_nano', sizes);
    const forward = model.forward.bind(model);
    vi.spyOn(model, 'forward').mockImplementation((images) => {
      if (model.training) throw new ShapeError('head: got shape [2, 3], expected [2, 4].');
      return forward(images);
    });
    const { tensors } = memoryStats();
    expect(() => profileModel('tiny', model, { batch: 2, passes: 1 })).toThrow('head: got shape');
    expect(memoryStats().tensors).toBe(tensors);
  });

  it('leaves the model as it was', () => {
    const model = createModel('mamba_nano', sizes);
    const before = [...model.stateDict()].map(([name, tensor]) => [name, tensor.toNumbers()]);
    model.eval();
    profileModel('tiny', model, { batch: 2, passes: 1 });
    expect(model.isEvaluating).toBe(true);
    expect(isGradEnabled()).toBe(true);
    expect([...model.stateDict()].map(([name, tensor]) => [name, tensor.toNumbers()])).toEqual(
      before,
    );
    expect(model.parameters().filter(({ grad }) => grad !== null)).toEqual([]);
  });

  it('frees its images where the inference fails', () => {
    const model = createModel('mamba_nano', sizes).train();
    const { tensors } = memoryStats();
    vi.spyOn(model, 'forward').mockImplementation(() => {
      throw new Error('out of something');
    });
    expect(() => profileModel('tiny', model, { batch: 2 })).toThrow('out of something');
    expect(memoryStats().tensors).toBe(tensors);
    expect(model.training).toBe(true);
  });

  it('has no operators of the branches where two directions go layer by layer', () => {
    const [, training] = profiled({ scan: 'bi' }) as [PassProfile, PassProfile];
    expect(namesOf(training, 'forward')).toContain('mamba_prune::selective_scan_forward');
    expect(namesOf(training, 'backward')).not.toContain('scan');
  });
});
