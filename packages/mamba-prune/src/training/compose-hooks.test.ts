import { describe, expect, it } from 'vitest';
import { composeHooks, type EpochMetrics, type TrainHooks } from './index.js';
import type { StepContext } from './step-context.js';

const context = {} as StepContext;
const term = (name: string) => ({ name, compute: () => undefined });

describe('composeHooks', () => {
  it('calls each in turn, waiting for promises', async () => {
    const calls: string[] = [];
    const named = (name: string): TrainHooks => ({
      afterStep: () => calls.push(`${name} step`),
      onEpoch: async () => {
        await Promise.resolve();
        calls.push(`${name} epoch`);
      },
      onNote: (note) => calls.push(`${name} ${note}`),
    });
    const both = composeHooks(named('a'), undefined, named('b'));
    both.afterStep?.(context);
    both.onNote?.('note');
    await both.onEpoch?.({} as EpochMetrics);
    expect(calls).toEqual(['a step', 'b step', 'a note', 'b note', 'a epoch', 'b epoch']);
  });

  it('joins loss terms and merges entries of the metrics', () => {
    const both = composeHooks(
      { extraLosses: [term('x')], epochMetrics: (epoch) => ({ epoch, who: 'a' }) },
      { extraLosses: [term('y')], epochMetrics: (_epoch, epochs) => ({ epochs, who: 'b' }) },
    );
    expect(both.extraLosses?.map(({ name }) => name)).toEqual(['x', 'y']);
    expect(both.epochMetrics?.(2, 5)).toEqual({ epoch: 2, epochs: 5, who: 'b' });
  });

  it('is replayable if all that work in steps are', () => {
    const afterStep = () => undefined;
    const good: TrainHooks = { afterStep, replayable: true };
    expect(composeHooks(good, { onNote: () => undefined }).replayable).toBe(true);
    expect(composeHooks(good, { afterStep }).replayable).toBe(false);
    expect(composeHooks(good, { extraLosses: [term('x')] }).replayable).toBe(false);
    expect(composeHooks(good, { taskLoss: ({ logits }) => logits.mean() }).replayable).toBe(false);
  });

  it('has one task loss, teacher and way to save: the last given', () => {
    const save = () => undefined;
    const both = composeHooks({ saveModel: () => undefined }, { saveModel: save }, {});
    expect(both.saveModel).toBe(save);
    expect(both.taskLoss).toBeUndefined();
  });

  it('leaves out what nobody gave', () => {
    const none = composeHooks();
    expect([none.onStep, none.afterStep, none.onEvaluate]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    expect(none.extraLosses).toEqual([]);
    expect(none.epochMetrics?.(1, 2)).toEqual({});
  });
});
