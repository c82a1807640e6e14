// Runs that an earlier version began: their settings, records and scores are read under today's names.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from '../testing/tiny.js';
import { outcomeOf } from '../testing/outcome.js';
import { runState } from '../run-state.js';
import { type RunControl, storedSettings } from '../settings.js';
import { trainRun } from '../train-run.js';
import { todaysSettings } from './earlier-names.js';
import { readPruningRecord } from './record.js';
import { pruneRun } from './run.js';
import { type PruneSettings, resolvePruneSettings } from './settings.js';
import { readRoundScores, scoresPath } from './unit-scores.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-earlier-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const { model } = await trainRun(tinyTraining(at('images')), { out: at('dense') });
  model.dispose();
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const settings = (): PruneSettings =>
  tinyPruning(at('dense', 'model.safetensors'), at('images'), {
    method: 'rsst',
    rounds: 2,
    importance: 'taylor',
    score: 'consumer',
    scoreBatches: 1,
    ranking: 'layer',
    rsst: { units: 'doomed', norm: 'group', strength: 1, epochs: 1 },
    recipe: { ...tinyRecipe, epochs: 1 },
  });

/** As an earlier version stored them. */
const earlier = (): object => {
  const { rsst, ...rest } = settings();
  const { units, ...others } = rsst ?? {};
  return { ...rest, score: 'out_proj', ranking: 'layerwise', rsst: { ...others, scope: units } };
};

async function go(name: string, told: object, control: Partial<RunControl> = {}) {
  const stop = new AbortController();
  const { finished, model } = await pruneRun(
    told as PruneSettings,
    { out: at(name), signal: stop.signal, ...control },
    {
      onRound: () => {
        if (control.resume === undefined) stop.abort();
      },
    },
  );
  model.dispose();
  return finished;
}

/** Writes a file of a run as an earlier version did. */
function rewrite(path: string, changes: readonly (readonly [string, string])[]): void {
  const text = readFileSync(path, 'utf8');
  const changed = changes.reduce((all, [today, before]) => {
    expect(all, path).toContain(today);
    return all.replaceAll(today, before);
  }, text);
  writeFileSync(path, changed);
}

describe('a run that an earlier version began', () => {
  beforeAll(async () => {
    expect(await go('whole', settings(), { resume: false })).toBe(true);
    expect(await go('begun', settings())).toBe(false);
    const names = [
      ['"score": "consumer"', '"score": "out_proj"'],
      ['"ranking": "layer"', '"ranking": "layerwise"'],
    ] as const;
    rewrite(at('begun', 'config.json'), [...names, ['"units": "doomed"', '"scope": "doomed"']]);
    rewrite(at('begun', 'pruning.json'), names);
    rewrite(scoresPath(at('begun'), 1), [
      ['"measure": "taylor of consumer"', '"measure": "taylor of out_proj"'],
      ['"ranking": "layer"', '"ranking": "layerwise"'],
    ]);
  });

  it('is read under today’s names', () => {
    const names = { score: 'consumer', ranking: 'layer' };
    expect(storedSettings(at('begun'), 'prune')).toEqual(settings());
    expect(readPruningRecord(at('begun'))).toMatchObject(names);
    expect(readRoundScores(at('begun'), 1)).toMatchObject({
      measure: 'taylor of consumer',
      ranking: 'layer',
    });
    expect(runState(at('begun'), settings())).toBe('unfinished');
    expect(runState(at('begun'), { ...settings(), ranking: 'global' })).toBe('replaced');
  });

  it('is refused other settings as ever', async () => {
    const other = { ...settings(), ranking: 'global' };
    await expect(go('begun', other, { resume: true })).rejects.toThrow(
      /the pruning is not the one that the run began with: ranking: got "global", expected "layer"/,
    );
  });

  it('goes on and ends as one of today, and writes today’s names', async () => {
    expect(await go('begun', settings(), { resume: true })).toBe(true);
    expect(outcomeOf(at('begun'))).toEqual(outcomeOf(at('whole')));
    const config = JSON.parse(readFileSync(at('begun', 'config.json'), 'utf8')) as object;
    expect(config).toMatchObject({ settings: settings() });
    expect(readFileSync(at('begun', 'pruning.json'), 'utf8')).not.toMatch(/out_proj"|layerwise/);
  });

  it('may be told in earlier names too', async () => {
    expect(await go('told', earlier(), { resume: false })).toBe(true);
    expect(outcomeOf(at('told'))).toEqual(outcomeOf(at('whole')));
    expect(storedSettings(at('told'), 'prune')).toEqual(settings());
  });
});

describe('settings', () => {
  it('of earlier versions become those of today, and those of today stay', () => {
    expect(todaysSettings(earlier())).toEqual(settings());
    expect(resolvePruneSettings(earlier() as PruneSettings)).toEqual(
      resolvePruneSettings(settings()),
    );
    const today = settings();
    expect(todaysSettings(today)).toBe(today);
    for (const other of [undefined, null, 'layerwise', [1]]) {
      expect(todaysSettings(other)).toBe(other);
    }
  });
});
