/** Real processes, killed in the middle of rounds. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { endsWithTests } from '../../../../../test/support/children.js';
import { transpiledMambaPrune } from '../../../../../test/support/transpiled.js';
import { outcomeOf } from '../testing/outcome.js';
import type { PruneSettings } from './settings.js';
import { tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from '../testing/tiny.js';
import { trainRun } from '../train-run.js';

const built = transpiledMambaPrune();
const script = join(built.src, 'workflows', 'testing', 'prune-child.mjs');
let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

const recipe = { ...tinyRecipe, epochs: 1, checkpointEvery: { steps: 2, minutes: null } };
const rsst = { units: 'doomed', strength: 1e-2, epochs: 1 } as const;
const cases: Record<string, Partial<PruneSettings>> = {
  rewound: { rsst, rewind: 'init', recipe },
  through: { rsst: { ...rsst, lrThrough: true }, recipe: { ...recipe, emaDecay: 0.9 } },
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-kill-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const { model } = await trainRun(tinyTraining(at('images')), { out: at('dense') });
  model.dispose();
  for (const [name, changes] of Object.entries(cases)) {
    const settings = tinyPruning(at('dense', 'model.safetensors'), at('images'), {
      method: 'rsst',
      rounds: 2,
      ...changes,
    });
    writeFileSync(at(`${name}.json`), JSON.stringify(settings));
  }
});

afterAll(() => {
  vi.unstubAllEnvs();
  built.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs to the end, or to the event, where it is killed. */
async function child(name: string, run: string, ...until: string[]): Promise<string> {
  const started = endsWithTests(
    spawn(process.execPath, [script, at(name, run), at(`${name}.json`), ...until], {
      // One thread: the bits depend on the number.
      env: { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' },
    }),
  );
  let output = '';
  for (const stream of [started.stdout, started.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('here\n')) started.kill('SIGKILL');
    });
  }
  return new Promise((resolve) => {
    started.on('close', (code, signal) => {
      resolve(signal ?? `${code} ${output}`);
    });
  });
}

describe('a pruning run that is killed', () => {
  it.each(Object.keys(cases))('ends bit for bit as one that was not: %s', async (name) => {
    expect(await child(name, 'whole')).toBe('0 finished\n');
    // Between the cut and its training; in the regularised training of the second round; while a
    // checkpoint of the last training is fresh; after the last cut's measurement.
    for (const [event, nth] of [
      ['onCut', '1'],
      ['onStep', '7'],
      ['onEvaluate', '1'],
      ['onCheckpoint', '2'],
      ['onRound', '1'],
    ] as const) {
      expect(await child(name, 'killed', event, nth), `${event} ${nth}`).toBe('SIGKILL');
    }
    expect(await child(name, 'killed')).toBe('0 finished\n');
    expect(outcomeOf(at(name, 'killed'))).toEqual(outcomeOf(at(name, 'whole')));
  });
});
