// What a pruning run does with compensation, and what it keeps of it.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadModel } from '../../models/model-file.js';
import { outcomeOf } from '../testing/outcome.js';
import { tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from '../testing/tiny.js';
import { trainRun } from '../train-run.js';
import { readPruningRecord } from './record.js';
import { pruneRun } from './run.js';
import { type PruneSettings, resolvePruneSettings } from './settings.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-compensation-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const { model } = await trainRun(tinyTraining(at('images')), { out: at('dense') });
  model.dispose();
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

async function pruned(name: string, changes: Partial<PruneSettings>) {
  const settings = tinyPruning(at('dense', 'model.safetensors'), at('images'), changes);
  const whats = new Set<string>();
  const { model, record, info } = await pruneRun(
    settings,
    { out: at(name) },
    { onEvaluate: (what) => whats.add(what) },
  );
  const state = Array.from(model.stateDict().values(), (value) => value.toNumbers());
  model.dispose();
  return { state, record, info, whats };
}

describe('a run with compensation', () => {
  it('changes the readers alone, and tells what it did', async () => {
    const plain = await pruned('plain', {});
    const { state, record, info, whats } = await pruned('with', { compensate: { images: 30 } });
    expect(record.kept).toEqual(plain.record.kept);
    const { model } = loadModel(at('with', 'model.safetensors'));
    const names = [...model.stateDict().keys()];
    model.dispose();
    const changed = names.filter((_, i) => String(state[i]) !== String(plain.state[i]));
    expect(changed.length).toBeGreaterThan(0);
    for (const name of changed) expect(name).toMatch(/(out_proj\.weight|mlp\.2\.(weight|bias))$/);

    const [round] = record.rounds;
    expect(round?.compensation).toMatchObject({
      target: 'stream',
      judge: 'divergence',
      images: 30,
      heldOut: 6,
      accuracyBefore: plain.record.accuracy.afterCut,
    });
    const { divergence, groups } = round?.compensation ?? {};
    expect(divergence?.after).toBeLessThan(divergence?.before ?? 0);
    expect(Object.keys(groups ?? {})).toEqual(Object.keys(record.kept));
    expect(plain.record.rounds[0]).not.toHaveProperty('compensation');
    expect(readPruningRecord(at('with'))).toEqual(record);

    const step = info.history.find(({ step }) => step === 'prune');
    expect(step).toMatchObject({
      compensate: { target: 'stream', images: 30 },
      compensation: { heldOut: 6, accuracyBefore: plain.record.accuracy.afterCut },
    });
    expect(plain.info.history.find(({ step }) => step === 'prune')).not.toHaveProperty(
      'compensate',
    );
    expect(whats).toContain('compensation');
    expect(plain.whats).not.toContain('compensation');
    expect(JSON.parse(readFileSync(at('plain', 'config.json'), 'utf8'))).not.toHaveProperty(
      'settings.compensate',
    );
  });

  it('takes fewer images where there are no more', async () => {
    const { record } = await pruned('few', { compensate: { target: 'fold' } });
    expect(record.rounds[0]?.compensation).toMatchObject({ target: 'fold', images: 32 });
  });

  it('measures batch normalisation again, with and without it', async () => {
    const training = { ...tinyTraining(at('images')), keepEpochs: [] };
    const settings = { ...training, arch: 'resnet20', model: { baseWidth: 4, blocks: [1, 1] } };
    (await trainRun(settings, { out: at('resnet') })).model.dispose();
    const changes = {
      model: at('resnet', 'model.safetensors'),
      rates: { channels: 0.5 },
      bnBatches: 2,
    };
    const plain = await pruned('resnet-plain', changes);
    const { record } = await pruned('resnet-with', { ...changes, compensate: {} });
    const [round] = record.rounds;
    expect(round?.compensation).toMatchObject({
      judge: 'error',
      accuracyBefore: plain.record.accuracy.afterCut,
    });
    const groups = Object.values(round?.compensation?.groups ?? {});
    expect(groups.length).toBe(2);
    expect(groups.some(({ error }) => error.after < error.before)).toBe(true);
  });

  it('goes with refill', async () => {
    const { record } = await pruned('refill', {
      method: 'refill',
      refill: { fillback: 0.5 },
      compensate: { target: 'asymmetric' },
    });
    expect(Object.values(record.rounds[0]?.returned ?? {}).flat()).not.toEqual([]);
    expect(record.rounds[0]?.compensation?.target).toBe('asymmetric');
  });
});

describe('a run with compensation that was stopped', () => {
  const settings = () =>
    tinyPruning(at('dense', 'model.safetensors'), at('images'), {
      rounds: 2,
      importance: 'taylor',
      scoreBatches: 1,
      compensate: { images: 20 },
      recipe: tinyRecipe,
    });

  it.each(['before compensation', 'compensation'])(
    'goes on to the same bits: %s',
    async (where) => {
      const whole = at(`whole ${where}`);
      const run = at(`stopped ${where}`);
      (await pruneRun(settings(), { out: whole })).model.dispose();
      // In the first cut, and in the second.
      for (const cut of [1, 2]) {
        const controller = new AbortController();
        let cuts = cut;
        const stopped = await pruneRun(
          settings(),
          { out: run, signal: controller.signal, resume: cut > 1 },
          {
            onEvaluate: (what) => {
              if (what === where && cuts === 1) controller.abort();
            },
            // A run that is resumed begins with the first cut again.
            onCut: () => cuts--,
          },
        );
        stopped.model.dispose();
        expect(stopped.finished).toBe(false);
        expect(stopped.record.rounds).toHaveLength(cut - 1);
      }
      const end = await pruneRun(settings(), { out: run, resume: true });
      end.model.dispose();
      expect(end.finished).toBe(true);
      expect(outcomeOf(run)).toEqual(outcomeOf(whole));
    },
  );
});

describe('the settings of compensation', () => {
  const resolve = (changes: Partial<PruneSettings>) =>
    resolvePruneSettings(tinyPruning('model.safetensors', 'images', changes)).compensate;

  it('have defaults, and are left out by default', () => {
    expect(resolve({ compensate: {} })).toEqual({ target: 'stream', images: 2048 });
    expect(resolve({})).toBeUndefined();
  });

  it('are refused with a rewind, and where they are wrong', () => {
    const rewound = { compensate: {}, rewind: 'source', recipe: tinyRecipe } as const;
    expect(() => resolve(rewound)).toThrow(
      'prune: got `compensate` with `rewind` source, expected `rewind` none: the weights that are compensated would be ' +
        'replaced by those of an earlier time. Leave one of the two out.',
    );
    expect(() => resolve({ compensate: { images: 9 } })).toThrow(
      /compensate\.images: got 9, expected an integer of at least 10/,
    );
    expect(() => resolve({ compensate: { target: 'no' as 'fold' } })).toThrow(
      /compensate\.target: got 'no', expected one of stream, asymmetric, fold/,
    );
    expect(() => resolve({ compensate: { image: 20 } as object })).toThrow(/image/);
  });

  it('need a data set', async () => {
    const settings = tinyPruning(at('dense', 'model.safetensors'), at('images'), {
      compensate: {},
    });
    await expect(
      pruneRun({ ...settings, dataset: undefined, data: undefined }, { out: at('none') }),
    ).rejects.toThrow(/got `compensate`, which needs real images, but no data set/);
  });

  it.each<[string, Partial<PruneSettings>, RegExp]>([
    [
      'too few images to compensate with',
      { recipe: { ...tinyRecipe, epochs: 0, maxTrainImages: 9 } },
      /got 9 training images to compensate with, expected at least 10/,
    ],
    [
      'groups that nothing reads',
      { rates: { state: 0.5 } },
      /got `compensate`, but groups of the kind state are read by no weights of their own/,
    ],
  ])('are refused before anything is written: %s', async (_, changes, message) => {
    await expect(pruned('refused', { compensate: {}, ...changes })).rejects.toThrow(message);
    expect(existsSync(at('refused'))).toBe(false);
  });
});
