// A run never takes the place of the one whose model it begins with.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { pruneRun } from '../workflows/prune/run.js';
import { tinyPruning, tinyTraining, writeTinyImages } from '../workflows/testing/tiny.js';
import { trainRun } from '../workflows/train-run.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-source-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  for (const name of ['dense', 'other']) {
    (await trainRun(tinyTraining(at('images')), { out: at(name) })).model.dispose();
  }
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('with overwrite, a run', () => {
  it.each([['model.safetensors'], [join('checkpoints', 'init.safetensors')]])(
    'that begins with %s of the folder, or learns from it, is refused, and nothing is lost',
    async (file) => {
      const source = at('dense', file);
      const [before, config] = [readFileSync(source), readFileSync(at('dense', 'config.json'))];
      const control = { out: at('dense'), overwrite: true };
      const refusal = `holds ${source}, which the new run needs and \`overwrite\` would delete`;
      await expect(pruneRun(tinyPruning(source, at('images')), control)).rejects.toThrow(refusal);
      const further = { ...tinyTraining(at('images')), init: source };
      await expect(trainRun(further, control)).rejects.toThrow(refusal);
      const taught = { ...tinyTraining(at('images')), distill: { teacher: source } };
      await expect(trainRun(taught, control)).rejects.toThrow(refusal);
      expect(readFileSync(source).equals(before)).toBe(true);
      expect(readFileSync(at('dense', 'config.json')).equals(config)).toBe(true);
    },
  );

  it('takes the place of any other run', async () => {
    const settings = tinyPruning(at('dense', 'model.safetensors'), at('images'));
    const { model, record } = await pruneRun(settings, { out: at('other'), overwrite: true });
    model.dispose();
    expect(record.parameters.after).toBeLessThan(record.parameters.before);
  });
});
