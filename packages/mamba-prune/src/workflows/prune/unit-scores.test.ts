import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type RoundScores, readRoundScores, scoresPath, unpackScores } from './unit-scores.js';
import { writeRoundScores } from './unit-scores.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mp-scores-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const round = (scores: readonly number[], units = [...scores.keys()]): RoundScores => ({
  round: 2,
  measure: 'l1 of consumer',
  ranking: 'global',
  normalize: 'mean',
  groups: [{ name: 'blocks.0.ssm', kind: 'ssm', units, scores }],
});

describe('scores of a round', () => {
  it('come back with their units, to within half a step of 65,535', () => {
    const scores = [0.5, 12.25, 3, 7.125];
    writeRoundScores(folder, round(scores, [0, 3, 4, 9]));
    const file = readRoundScores(folder, 2);
    expect(file).toMatchObject({ round: 2, measure: 'l1 of consumer', ranking: 'global' });
    expect(file?.groups['blocks.0.ssm']).toMatchObject({ kind: 'ssm', units: '0,3-4,9' });
    const read = unpackScores(file?.groups['blocks.0.ssm'] as never);
    expect(read.units).toEqual([0, 3, 4, 9]);
    const step = (12.25 - 0.5) / 65_535;
    for (const [i, score] of scores.entries()) {
      expect(Math.abs((read.scores[i] ?? NaN) - score)).toBeLessThanOrEqual(step / 2);
    }
  });

  it('that are all the same stay so', () => {
    writeRoundScores(folder, round([2, 2, 2]));
    const group = readRoundScores(folder, 2)?.groups['blocks.0.ssm'];
    expect([...unpackScores(group as never).scores]).toEqual([2, 2, 2]);
  });

  it('take less than three bytes a unit', () => {
    writeRoundScores(
      folder,
      round(Array.from({ length: 30_000 }, (_, i) => Math.abs(Math.sin(i)))),
    );
    expect(statSync(scoresPath(folder, 2)).size).toBeLessThan(90_000);
  });

  it('are undefined where a run has none, and an error that says what to do where they are damaged', () => {
    writeRoundScores(folder, round([1, 2]));
    expect(readRoundScores(folder, 1)).toBeUndefined();
    writeFileSync(scoresPath(folder, 2), '{"kind":"mamba-prune scores"}');
    expect(() => readRoundScores(folder, 2)).toThrow(/holds no scores of units.*Delete it/s);
  });
});
