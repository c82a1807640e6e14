import type { MetricsLine, RunConfig } from 'mamba-prune/training';
import type { PruningRecord } from 'mamba-prune/workflows';
import { describe, expect, it } from 'vitest';
import { epochPoints, stepPoints } from './metrics.js';
import { phasesOf } from './phases.js';

const record = { plannedRounds: 2, method: 'rsst', rounds: [] as unknown } as PruningRecord;
const config = { settings: { rsst: { epochs: 2 }, recipe: { epochs: 3 } } } as unknown as RunConfig;

/** Two steps an epoch, a line for each and for the epoch; only what places them. */
function linesOf(
  phases: readonly (readonly [name: string, first: number, last: number])[],
): MetricsLine[] {
  const lines = phases.flatMap(([phase, first, last]) =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i).flatMap((epoch) => [
      { type: 'step', phase, epoch, step: 2 * epoch - 1 },
      { type: 'epoch', phase, epoch, step: 2 * epoch },
    ]),
  );
  return lines as unknown as MetricsLine[];
}

const apart = linesOf([
  ...([
    ['rsst-1', 1, 2],
    ['round-1', 1, 3],
  ] as const),
  ...([
    ['rsst-2', 1, 2],
    ['round-2', 1, 3],
  ] as const),
]);
const through = linesOf([
  ...([
    ['rsst-1', 1, 2],
    ['round-1', 3, 5],
  ] as const),
  ...([
    ['rsst-2', 1, 2],
    ['round-2', 3, 5],
  ] as const),
]);

describe('phases of a regularised pruning', () => {
  it.each([
    ['trainings of their own', apart],
    ['one training through each cut', through],
  ])('stand one after the other: %s', (_what, lines) => {
    const phases = phasesOf(config, record, lines);
    expect(phases.map(({ name, epochs, before }) => [name, epochs, before])).toEqual([
      ['rsst-1', 2, 0],
      ['round-1', 3, 2],
      ['rsst-2', 2, 5],
      ['round-2', 3, 7],
    ]);
    expect(epochPoints(lines, phases).map(({ x }) => x)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    expect(stepPoints(lines, phases).map(({ x }) => x)).toEqual(
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((epoch) => epoch - 0.5),
    );
  });

  it('end where the units were at zero', () => {
    const lines = linesOf([
      ['rsst-1', 1, 1],
      ['round-1', 2, 5],
    ]);
    const early = { plannedRounds: 1, method: 'rsst', rounds: [{ cutAfterEpoch: 1 }] };
    const phases = phasesOf(config, early as PruningRecord, lines);
    expect(phases.map(({ name, epochs, before }) => [name, epochs, before])).toEqual([
      ['rsst-1', 1, 0],
      ['round-1', 4, 1],
    ]);
    expect(epochPoints(lines, phases).map(({ x }) => x)).toEqual([1, 2, 3, 4, 5]);
  });

  it('are portions of one training under several cuts, those to come as planned', () => {
    const several = { settings: { rsst: { epochs: 7, cuts: 3 }, recipe: { epochs: 3 } } };
    // The first portion of two epochs ended early, the next has three and one more.
    const lines = linesOf([
      ['rsst-1', 1, 1],
      ['rsst-2', 2, 3],
    ]);
    const half = { plannedRounds: 3, method: 'rsst', rounds: [{ cutAfterEpoch: 1 }] };
    const phases = phasesOf(several as unknown as RunConfig, half as PruningRecord, lines);
    expect(phases.map(({ name, epochs, before }) => [name, epochs, before])).toEqual([
      ['rsst-1', 1, 0],
      ['rsst-2', 4, 1],
      ['rsst-3', 2, 5],
      ['round-3', 3, 7],
    ]);
    expect(epochPoints(lines, phases).map(({ x }) => x)).toEqual([1, 2, 3]);
  });

  it('are told apart while the one after the cut has only begun', () => {
    const lines = through.slice(0, 5);
    const phases = phasesOf(config, record, lines);
    expect(epochPoints(lines, phases).map(({ x }) => x)).toEqual([1, 2]);
    expect(stepPoints(lines, phases).map(({ x }) => x)).toEqual([0.5, 1.5, 2]);
  });
});
