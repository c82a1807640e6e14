import { describe, expect, it } from 'vitest';
import { UsageError } from '../errors.js';
import { chooseDevice } from './device.js';

const gpus = (problem?: Error) => ({ count: () => 1, problem: () => problem });

describe('chooseDevice with auto', () => {
  it('takes the GPU where it works, and the CPU where there is none', () => {
    const notes: string[] = [];
    const note = (text: string): void => void notes.push(text);
    expect(chooseDevice('auto', note, gpus())).toBe('cuda:0');
    expect(chooseDevice('auto', note, { count: () => 0, problem: () => undefined })).toBe('cpu');
    expect(notes).toEqual([]);
  });

  it('computes on the CPU, with a note, where the GPU cannot run the models', () => {
    const notes: string[] = [];
    const problem = new Error('CUDA error: no kernel image is available\nCompile with ...');
    expect(chooseDevice('auto', (text) => notes.push(text), gpus(problem))).toBe('cpu');
    expect(notes).toEqual([
      'The GPU cannot run the models (CUDA error: no kernel image is available); computing on the CPU.',
    ]);
  });

  it('refuses a GPU whose memory others have taken, rather than compute for days', () => {
    const choose = (): string =>
      chooseDevice(
        'auto',
        () => undefined,
        gpus(new Error('aten::ones: CUDA error: out of memory')),
      );
    expect(choose).toThrow(UsageError);
    expect(choose).toThrow(/got auto, but no memory is left on the GPU.*nvidia-smi.*--device cpu/);
  });
});
