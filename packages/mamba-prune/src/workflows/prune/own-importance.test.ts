// Runs by an importance of one's own.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { UsageError } from '../../errors.js';
import { type ImportanceFunction, registerImportance } from '../../pruning/importances.js';
import { runCli } from '../../cli/testing/run-cli.js';
import { outcomeOf } from '../testing/outcome.js';
import { tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from '../testing/tiny.js';
import { type RunControl, storedSettings } from '../settings.js';
import { trainRun } from '../train-run.js';
import { readPruningRecord } from './record.js';
import { pruneRun } from './run.js';
import type { PruneSettings } from './settings.js';
import { readRoundScores } from './unit-scores.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

/** The later a unit stands, the more it is worth. */
const score: ImportanceFunction = ({ groups }) =>
  new Map(groups.map(({ name, size }) => [name, Array.from({ length: size }, (_, i) => i)]));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-own-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const { model } = await trainRun(tinyTraining(at('images')), { out: at('dense') });
  model.dispose();
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const settings = (changes: Partial<PruneSettings> = {}): PruneSettings =>
  tinyPruning(at('dense', 'model.safetensors'), at('images'), {
    importance: 'by-place',
    rounds: 2,
    rates: { ssm: 0.75 },
    recipe: { ...tinyRecipe, epochs: 1 },
    ...changes,
  });

async function go(name: string, changes: Partial<PruneSettings>, control: Partial<RunControl>) {
  const stop = new AbortController();
  const { finished, model } = await pruneRun(
    settings(changes),
    { out: at(name), signal: stop.signal, ...control },
    {
      onRound: () => {
        if (name === 'stopped' && control.resume !== true) stop.abort();
      },
    },
  );
  model.dispose();
  return finished;
}

describe('an importance of one’s own', () => {
  it('is refused by a name that is not registered, and as a function, which no file can hold', async () => {
    await expect(go('refused', {}, {})).rejects.toThrow(/importance: got 'by-place', expected/);
    const attempt = go('refused', { importance: score as never }, {});
    await expect(attempt).rejects.toThrow(UsageError);
    await expect(attempt).rejects.toThrow(
      /importance: got a function, expected a name, .*Give a function of your own a name with registerImportance/,
    );
  });

  it('stands in the run by its name, which is gone on with', async () => {
    registerImportance({ name: 'by-place', description: 'the last units stay', score });
    expect(await go('whole', {}, {})).toBe(true);
    expect(storedSettings(at('whole'), 'prune')).toMatchObject({ importance: 'by-place' });
    const record = readPruningRecord(at('whole'));
    expect(record).toMatchObject({ importance: 'by-place', importanceReason: 'given' });
    // 16 channels: a quarter after both rounds.
    expect(record?.kept['blocks.0.ssm']).toEqual([12, 13, 14, 15]);
    expect(readRoundScores(at('whole'), 1)?.measure).toBe('by-place of consumer');
    expect(await go('stopped', {}, {})).toBe(false);
    expect(await go('stopped', {}, { resume: true })).toBe(true);
    expect(outcomeOf(at('stopped'))).toEqual(outcomeOf(at('whole')));
  });

  it('chooses the doomed units of RSST', async () => {
    const rsst = { units: 'doomed', strength: 1, epochs: 1 } as const;
    expect(await go('rsst', { method: 'rsst', rounds: 1, rsst }, {})).toBe(true);
    expect(readPruningRecord(at('rsst'))?.kept['blocks.1.ssm']).toEqual([12, 13, 14, 15]);
  });

  it('is taken by the command line', async () => {
    const argv = ['prune', at('dense'), '--rate', '0.75', '--target', 'ssm', '--out', at('cli')];
    const { status, stderr, stdout } = await runCli([
      ...argv,
      '--importance',
      'by-place',
      '--ranking',
      'layer',
    ]);
    expect(status, stderr).toBe(0);
    expect(stdout).toContain('Chosen by by-place of consumer, as asked for.');
    expect(readPruningRecord(at('cli'))?.kept['blocks.0.ssm']).toEqual([12, 13, 14, 15]);
  });

  it('has images asked for where it needs them', async () => {
    registerImportance({ name: 'by-image', description: '', needsImages: true, score });
    await expect(
      go('no-images', { importance: 'by-image', dataset: undefined, data: undefined }, {}),
    ).rejects.toThrow(/got `importance` by-image, which needs real images, but no data set/);
  });
});
