// Rounds on a tiny model: sizes, weights, records.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Tensor } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadModel, saveModel } from '../../models/model-file.js';
import { keptCount } from '../../pruning/selection.js';
import { pruneModel } from '../../pruning/surgery.js';
import { RunFolder } from '../../training/run-folder.js';
import { keptInHistory } from './kept-units.js';
import { pruneRun } from './run.js';
import type { PruneSettings } from './settings.js';
import { type PruningRecord, readPruningRecord } from './record.js';
import { ratesAfter } from './rates-after-round.js';
import { tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from '../testing/tiny.js';
import { trainRun } from '../train-run.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const dense = (): string => at('dense', 'model.safetensors');

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-rounds-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const { model } = await trainRun(tinyTraining(at('images')), { out: at('dense') });
  model.dispose();
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

async function prune(name: string, changes: Partial<PruneSettings> = {}, model = dense()) {
  const run = await pruneRun(tinyPruning(model, at('images'), changes), { out: at(name) });
  run.model.dispose();
  expect(run.finished).toBe(true);
  return run;
}

/** The state of a model file; the caller's model is gone, the values stay. */
function valuesOf(file: string): Map<string, number[]> {
  const { model } = loadModel(file);
  const values = Array.from(model.stateDict(), ([name, tensor]): [string, number[]] => [
    name,
    tensor.toNumbers(),
  ]);
  model.dispose();
  return new Map(values);
}

const widthsOfKind = (record: PruningRecord, round: number, kind: string): number[] =>
  Object.entries(record.rounds[round - 1]?.widths ?? {})
    .filter(([name]) => name.endsWith(`.${kind}`))
    .map(([, width]) => width);

describe('a run without training', () => {
  it('chooses by images if it has them, tells of each pass over them, and says how many', async () => {
    const passes: string[] = [];
    const settings = { ...tinyPruning(dense(), at('images')), importance: undefined };
    const { model, record } = await pruneRun(
      settings,
      { out: at('passes') },
      { onEvaluate: (what, done, total) => passes.push(`${what} ${done}/${total}`) },
    );
    model.dispose();
    expect(passes).toEqual(['before 1/1', 'scores 1/1', 'after the cut 1/1']);
    expect(record).toMatchObject({
      importance: 'taylor',
      importanceReason: 'images',
      measuredOn: { dataset: 'folder', images: 16, of: 16 },
    });
  });

  it('goes by the weights if it has none, and has measured nothing', async () => {
    const { record } = await prune('no-images', { importance: undefined, dataset: undefined });
    expect(record).toMatchObject({ importance: 'l1', importanceReason: 'no images' });
    expect(record.measuredOn).toBeUndefined();
    expect(record.accuracy).toEqual({ before: null, afterCut: null, after: null });
    const { config } = RunFolder.open(at('no-images'));
    expect(config['settings']).toMatchObject({ importance: 'l1', importanceReason: 'no images' });
  });

  it('names the kinds that it left alone, but for those that are cut only when they are named', async () => {
    const { record } = await prune('left-alone', { rates: { ssm: 0.5 } });
    expect(record.leftAlone).toEqual(['mlp']);
    expect(record.reached).toEqual({ ssm: 0.5 });
  });
});

describe('rounds', () => {
  it('leave the widths of the cumulative rate, and at the end those of a single cut', async () => {
    const plan = { rates: { ssm: 0.7, mlp: 0.5 }, rounds: 5, perRound: false };
    const { record } = await prune('five', { rates: plan.rates, rounds: 5 });
    const once = await prune('once', { rates: plan.rates });
    expect(record.rounds).toHaveLength(5);
    for (const round of [1, 2, 3, 4, 5]) {
      const rates = ratesAfter(plan, round) as { ssm: number; mlp: number };
      // d_inner 16 and 32 neurons in each of two blocks.
      expect(widthsOfKind(record, round, 'ssm')).toEqual(
        [1, 2].map(() => keptCount(16, rates.ssm)),
      );
      expect(widthsOfKind(record, round, 'mlp')).toEqual(
        [1, 2].map(() => keptCount(32, rates.mlp)),
      );
    }
    expect(record.widthsAfter).toEqual(once.record.widthsAfter);
    expect(record.parameters.after).toBe(once.record.parameters.after);
  });

  it('hit the total of a single cut under global ranking too', async () => {
    const { record } = await prune('global', { ranking: 'global', rounds: 3 });
    const totals = [1, 2, 3].map((round) =>
      ['ssm', 'mlp'].map((kind) => widthsOfKind(record, round, kind).reduce((a, b) => a + b)),
    );
    const rates = [1, 2, 3].map((round) => 1 - 0.3 ** (round / 3));
    expect(totals).toEqual(
      rates.map((rate) => [Math.round((1 - rate) * 32), Math.round((1 - rate) * 64)]),
    );
  });

  it('remove a share of what is left under per-round', async () => {
    const { record } = await prune('per-round', {
      rates: { mlp: 0.5 },
      rounds: 3,
      perRound: true,
    });
    expect([1, 2, 3].map((round) => widthsOfKind(record, round, 'mlp'))).toEqual([
      [16, 16],
      [8, 8],
      [4, 4],
    ]);
    // A kind without a rate is left alone.
    expect(widthsOfKind(record, 3, 'ssm')).toEqual([16, 16]);
  });

  it('name the units of the dense model, in the record and in the file of every round', async () => {
    const { record } = await prune('named', { rounds: 3 });
    for (const { round, kept } of record.rounds) {
      const file =
        round === 3
          ? at('named', 'model.safetensors')
          : at('named', 'checkpoints', `round-${round}.safetensors`);
      const { model, info } = loadModel(file);
      expect(Object.fromEntries(keptInHistory(info.history))).toEqual(kept);
      const { model: first } = loadModel(dense());
      // Nothing was trained, so the weights are still those of the dense model.
      const again = pruneModel(first, new Map(Object.entries(kept)));
      for (const [name, tensor] of again.stateDict()) {
        expect(tensor.equal(model.stateDict().get(name) as Tensor), name).toBe(true);
      }
      for (const disposed of [model, first, again]) disposed.dispose();
      const rounds = info.history.filter(({ step }) => step === 'prune');
      expect(rounds.map((entry) => entry['round'])).toEqual(
        Array.from({ length: round }, (_, i) => i + 1),
      );
    }
    expect(record.kept).toEqual(record.rounds.at(-1)?.kept);
    expect(record.keptInSource).toEqual(record.kept);
  });

  it('measure before the cut, after it and after the training', async () => {
    const { record, result } = await prune('measured', {
      rounds: 2,
      recipe: { ...tinyRecipe, epochs: 2 },
    });
    const [first, second] = record.rounds;
    for (const accuracy of [first?.accuracy, second?.accuracy]) {
      for (const value of Object.values(accuracy ?? {})) expect(value).toBeGreaterThanOrEqual(0);
    }
    expect(second?.accuracy.before).toBe(first?.accuracy.after);
    expect(second?.accuracy.after).toBe(result?.valAccuracy);
    expect(record.accuracy).toEqual({
      before: first?.accuracy.before,
      afterCut: second?.accuracy.afterCut,
      after: second?.accuracy.after,
    });
    const metrics = RunFolder.open(at('measured')).readMetrics();
    expect(metrics.map(({ phase, epoch }) => `${phase}/${epoch}`)).toEqual([
      'round-1/1',
      'round-1/2',
      'round-2/1',
      'round-2/2',
    ]);
    // What a round no longer needs is gone, what a report shows is there.
    expect(existsSync(at('measured', 'checkpoints', 'round-1-cut.safetensors'))).toBe(false);
    expect(existsSync(at('measured', 'checkpoints', 'round-1.safetensors'))).toBe(true);
    const { info } = loadModel(at('measured', 'model.safetensors'));
    expect(info.history.map(({ step }) => step)).toEqual([
      'train',
      'prune',
      'finetune',
      'prune',
      'finetune',
    ]);
  });

  it('go on in the order of the data where the round before stopped', async () => {
    const seen = async (name: string, changes: Partial<PruneSettings>): Promise<number[]> => {
      const sums: number[] = [];
      const settings = tinyPruning(dense(), at('images'), changes);
      const onPhase = () => ({
        afterStep: ({ images }: { images: Tensor }) => {
          sums.push(images.sum().item());
        },
      });
      const run = await pruneRun(settings, { out: at(name) }, { onPhase });
      run.model.dispose();
      return sums;
    };
    const once = await seen('order-once', { recipe: { ...tinyRecipe, epochs: 2 } });
    expect(new Set(once).size).toBe(8); // no batch of the first epoch comes again
    expect(await seen('order-rounds', { rounds: 2, recipe: tinyRecipe })).toEqual(once);
    const rsst = { method: 'rsst', rsst: { epochs: 1 }, recipe: tinyRecipe } as const;
    expect(await seen('order-rsst', rsst)).toEqual(once);
  });

  it('prune a pruned model on in units of the first one', async () => {
    await prune('first', { rounds: 2 });
    const { record } = await prune(
      'second',
      { rates: { mlp: 0.5 }, rounds: 2 },
      at('first', 'model.safetensors'),
    );
    const before = readPruningRecord(at('first')) as PruningRecord;
    expect(record.denseWidths['blocks.0.mlp']).toBe(32);
    for (const [name, units] of Object.entries(record.keptInSource)) {
      expect(record.kept[name]).toEqual(units.map((unit) => before.kept[name]?.[unit]));
    }
    expect(record.kept['blocks.0.ssm']).toEqual(before.kept['blocks.0.ssm']);
  });
});

describe('rewinding', () => {
  const trained = { recipe: { ...tinyRecipe, epochs: 1 } };

  /** The weights that the training of the last round began with. */
  async function beginning(name: string, changes: Partial<PruneSettings>, model = dense()) {
    let file: Map<string, number[]> | undefined;
    const settings = tinyPruning(model, at('images'), { ...trained, ...changes });
    const run = await pruneRun(
      settings,
      { out: at(name) },
      {
        onCut: ({ round }) => {
          file = valuesOf(at(name, 'checkpoints', `round-${round}-cut.safetensors`));
        },
      },
    );
    run.model.dispose();
    return { file, record: run.record };
  }

  it.each([
    ['init', 'init'],
    ['epoch:2', 'epoch-2'],
  ] as const)('to %s brings the kept units back as they were then', async (rewind, name) => {
    const { file, record } = await beginning(`rewind-${name}`, { rounds: 2, rewind });
    const { model } = loadModel(at('dense', 'checkpoints', `${name}.safetensors`));
    const expected = pruneModel(model, new Map(Object.entries(record.kept)));
    for (const [parameter, tensor] of expected.stateDict()) {
      expect(file?.get(parameter), parameter).toEqual(tensor.toNumbers());
    }
    model.dispose();
    expected.dispose();
  });

  it('to the source brings back what was pruned, not what an earlier round trained', async () => {
    const { file, record } = await beginning('rewind-source', { rounds: 2, rewind: 'source' });
    const { model } = loadModel(dense());
    const expected = pruneModel(model, new Map(Object.entries(record.keptInSource)));
    for (const [parameter, tensor] of expected.stateDict()) {
      expect(file?.get(parameter), parameter).toEqual(tensor.toNumbers());
    }
    model.dispose();
    expected.dispose();
  });

  it('goes through the runs that pruned the model before', async () => {
    await prune('before-rewind', { rates: { ssm: 0.5, mlp: 0.25 } });
    const source = at('before-rewind', 'model.safetensors');
    const { file, record } = await beginning('rewind-chain', { rewind: 'init' }, source);
    expect(record.kept['blocks.1.mlp']).not.toEqual(record.keptInSource['blocks.1.mlp']);
    const { model } = loadModel(at('dense', 'checkpoints', 'init.safetensors'));
    const expected = pruneModel(model, new Map(Object.entries(record.kept)));
    expect(file?.get('blocks.1.mlp.0.weight')).toEqual(
      expected.stateDict().get('blocks.1.mlp.0.weight')?.toNumbers(),
    );
    model.dispose();
    expected.dispose();
  });

  it('is refused before any work where the weights are not there', async () => {
    const refused = (changes: Partial<PruneSettings>, model = dense()): Promise<unknown> =>
      pruneRun(tinyPruning(model, at('images'), { ...trained, ...changes }), { out: at('never') });
    await expect(refused({ rewind: 'epoch:1' })).rejects.toThrow(
      /kept only init, epoch:2\. Train again and keep them \(`train\.keepEpochs` 1\)/,
    );
    await expect(refused({ rewind: 'later' as 'init' })).rejects.toThrow(
      /got 'later', expected none/,
    );
    await expect(refused({ rewind: 'init', recipe: { ...tinyRecipe, epochs: 0 } })).rejects.toThrow(
      /rewind init with 0 epochs/,
    );
    const { model, info } = loadModel(dense());
    saveModel(at('alone.safetensors'), model, info);
    model.dispose();
    await expect(refused({ rewind: 'init' }, at('alone.safetensors'))).rejects.toThrow(
      /alone\.safetensors is in no run/,
    );
    expect(existsSync(at('never'))).toBe(false);
  });

  it('has no weights of epochs that were over when they were asked for, and says so', async () => {
    const notes: string[] = [];
    const control = {
      out: at('dense'),
      resume: true,
      hooks: { onNote: (n: string) => notes.push(n) },
    };
    const again = await trainRun({ ...tinyTraining(at('images')), keepEpochs: [1, 2] }, control);
    again.model.dispose();
    expect(notes.join()).toContain('The weights of epoch 1 are not kept');
    expect(existsSync(at('dense', 'checkpoints', 'epoch-1.safetensors'))).toBe(false);
  });

  it('is refused where the run has been trained again with another model', async () => {
    const settings = tinyTraining(at('images'));
    const { model } = await trainRun(
      { ...settings, recipe: { ...tinyRecipe, epochs: 1 }, keepEpochs: [] },
      { out: at('changing') },
    );
    saveModel(at('changing', 'checkpoints', 'old.safetensors'), model, {
      classes: ['left', 'right'],
      mean: [0, 0, 0],
      std: [1, 1, 1],
      history: [],
    });
    model.dispose();
    const other = await trainRun(
      {
        ...settings,
        model: { dModel: 16, depth: 1 },
        recipe: { ...tinyRecipe, epochs: 1 },
        keepEpochs: [],
      },
      { out: at('changing-too') },
    );
    other.model.dispose();
    writeFileSync(
      at('changing', 'checkpoints', 'init.safetensors'),
      readFileSync(at('changing-too', 'checkpoints', 'init.safetensors')),
    );
    await expect(
      pruneRun(
        tinyPruning(at('changing', 'checkpoints', 'old.safetensors'), at('images'), {
          ...trained,
          rewind: 'init',
        }),
        { out: at('never') },
      ),
    ).rejects.toThrow(/init\.safetensors holds another model/);
  });
});
