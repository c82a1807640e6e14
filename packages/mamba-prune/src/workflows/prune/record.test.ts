import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type PruningRecord, readPruningRecord, writePruningRecord } from './record.js';

let run = '';
const file = (): string => join(run, 'pruning.json');

beforeEach(() => {
  run = mkdtempSync(join(tmpdir(), 'mamba-prune-record-'));
  mkdirSync(join(run, 'checkpoints'));
});
afterEach(() => {
  rmSync(run, { recursive: true, force: true });
});

const accuracy = { before: 0.9, afterCut: 0.5, after: 0.8 };

const record: PruningRecord = {
  kind: 'mamba-prune pruning',
  format: 2,
  method: 'refill',
  source: '/runs/a/model.safetensors',
  rates: { ssm: 0.5 },
  importance: 'l1',
  score: 'consumer',
  ranking: 'global',
  normalize: 'mean',
  roundTo: 1,
  maxRate: 1,
  perRound: false,
  rewind: 'none',
  plannedRounds: 2,
  kinds: { 'blocks.0.ssm': 'ssm', 'blocks.0.mlp': 'mlp' },
  denseWidths: { 'blocks.0.ssm': 8, 'blocks.0.mlp': 4 },
  widthsBefore: { 'blocks.0.ssm': 8, 'blocks.0.mlp': 4 },
  widthsAfter: { 'blocks.0.ssm': 5, 'blocks.0.mlp': 4 },
  kept: { 'blocks.0.ssm': [0, 1, 2, 5, 7] },
  keptInSource: { 'blocks.0.ssm': [0, 1, 2, 5, 7] },
  parameters: { before: 100, after: 70 },
  macs: { before: 10, after: 7 },
  accuracy,
  rounds: [
    {
      round: 1,
      rates: { ssm: 0.3 },
      widths: { 'blocks.0.ssm': 5, 'blocks.0.mlp': 4 },
      kept: { 'blocks.0.ssm': [0, 1, 2, 5, 7] },
      returned: { 'blocks.0.ssm': [7] },
      parameters: 70,
      macs: 7,
      accuracy,
      finished: true,
    },
  ],
};

describe('pruning.json', () => {
  it('holds units as ranges and gives them back as numbers', () => {
    writePruningRecord(run, record);
    const text = readFileSync(file(), 'utf8');
    expect(JSON.parse(text)).toMatchObject({
      format: 2,
      kept: { 'blocks.0.ssm': '0-2,5,7' },
      rounds: [{ returned: { 'blocks.0.ssm': '7' } }],
    });
    expect(readPruningRecord(run)).toEqual(record);
    writePruningRecord(run, readPruningRecord(run) as PruningRecord);
    expect(readFileSync(file(), 'utf8')).toBe(text);
  });

  it('of the first format is one round', () => {
    const { kinds, rounds, plannedRounds, perRound, rewind, score, ...rest } = record;
    writeFileSync(file(), JSON.stringify({ ...rest, format: 1, method: 'oneshot' }));
    writeFileSync(join(run, 'model.safetensors'), '');
    expect(readPruningRecord(run)).toEqual({
      ...record,
      kinds,
      perRound,
      rewind,
      score,
      method: 'oneshot',
      plannedRounds: 1,
      rounds: [
        {
          round: 1,
          rates: record.rates,
          widths: record.widthsAfter,
          kept: record.kept,
          parameters: 70,
          macs: 7,
          accuracy,
          finished: true,
        },
      ],
    });
    expect([rounds.length, plannedRounds]).toEqual([1, 2]);
  });

  it('that is none is an error which names the models that are left', () => {
    expect(readPruningRecord(run)).toBeUndefined();
    writeFileSync(file(), '{');
    expect(() => readPruningRecord(run)).toThrow(/is no record of a pruning: .*Start a new run\.$/);
    writeFileSync(join(run, 'checkpoints', 'round-1.safetensors'), '');
    writeFileSync(join(run, 'checkpoints', 'round-2-cut.safetensors'), '');
    expect(() => readPruningRecord(run)).toThrow(
      `can be pruned on: ${join(run, 'checkpoints', 'round-1.safetensors')}. Start`,
    );
    writeFileSync(file(), JSON.stringify({ ...record, format: 3 }));
    expect(() => readPruningRecord(run)).toThrow(/format/);
  });
});
