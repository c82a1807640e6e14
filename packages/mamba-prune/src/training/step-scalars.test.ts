import { describe, expect, it } from 'vitest';
import { StepScalars } from './step-scalars.js';

const at = (step: number) => {
  const whole = { totalSteps: 10, stepsPerEpoch: 10 };
  return { epoch: 0, step, ...whole, progress: step / 10, lr: 0.5 };
};

describe('StepScalars', () => {
  it('gives each asker its own tensor, which has the number of the step written last', () => {
    const scalars = new StepScalars('cpu');
    scalars.write(at(1));
    scalars.begin(false);
    const first = scalars.scalar(({ step }) => 2 * step);
    const second = scalars.scalar(({ lr, step }) => lr * step);
    expect([first.item(), second.item()]).toEqual([2, 0.5]);
    scalars.begin(true);
    expect(scalars.scalar(({ step }) => 2 * step)).toBe(first);
    expect(scalars.scalar(({ lr, step }) => lr * step)).toBe(second);
    // What is recorded reads these tensors; only writing before a replay changes them.
    scalars.write(at(7));
    expect([first.item(), second.item()]).toEqual([14, 3.5]);
    scalars.dispose();
    expect(first.disposed).toBe(true);
  });

  it('refuses a number that is asked for first while a step is recorded', () => {
    const scalars = new StepScalars('cpu');
    scalars.write(at(1));
    scalars.begin(true);
    expect(() => scalars.scalar(() => 1)).toThrow(
      'a hook asks for a number that it did not ask for in the steps before',
    );
  });
});
