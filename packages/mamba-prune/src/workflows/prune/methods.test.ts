// Every method on a tiny model of each family.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { distributed } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { loadModel, saveModel } from '../../models/model-file.js';
import type { ModelOptions } from '../../models/model-options.js';
import { readUnitNorms } from '../../pruning/rsst/index.js';
import { RunFolder } from '../../training/run-folder.js';
import type { EpochMetrics } from '../../training/metrics-lines.js';
import { pruneRun } from './run.js';
import type { PruneSettings } from './settings.js';
import { readPruningRecord } from './record.js';
import { tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from '../testing/tiny.js';
import { trainRun } from '../train-run.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const modelOf = (run: string): string => at(run, 'model.safetensors');

async function trainTiny(run: string, arch: string, model: ModelOptions): Promise<void> {
  const settings = { ...tinyTraining(at('images')), arch, model, keepEpochs: [] };
  const trained = await trainRun(settings, { out: at(run) });
  trained.model.dispose();
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-methods-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  await trainTiny('mamba', 'mamba_nano', { dModel: 8, depth: 2, dState: 3 });
  await trainTiny('vit', 'vit_tiny', { dModel: 8, depth: 1, heads: 4 });
  await trainTiny('resnet', 'resnet20', { baseWidth: 4, blocks: [1, 1, 1] });
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

async function prune(name: string, changes: Partial<PruneSettings>, source = 'mamba') {
  const run = await pruneRun(tinyPruning(modelOf(source), at('images'), changes), {
    out: at(name),
  });
  run.model.dispose();
  expect(run.finished).toBe(true);
  return run;
}

const recipe = tinyRecipe;

describe('refill', () => {
  it('gives back the share of the removed units that it is told', async () => {
    const { record } = await prune('refill', {
      method: 'refill',
      refill: { fillback: 0.25 },
      rates: { mlp: 0.5 },
    });
    // 16 of 32 stay, and floor(16 / 4) of the others return.
    expect(record.widthsAfter['blocks.0.mlp']).toBe(20);
    const [round] = record.rounds;
    expect(round?.returned?.['blocks.0.mlp']).toHaveLength(4);
    const kept = round?.kept['blocks.0.mlp'] ?? [];
    for (const unit of round?.returned?.['blocks.0.mlp'] ?? []) expect(kept).toContain(unit);
  });

  it('names returned units as the dense model does, in every round', async () => {
    const { record } = await prune('refill-rounds', {
      method: 'refill',
      refill: { fillback: 0.5, score: 'gradient', budget: 'keep' },
      rates: { ssm: 0.5 },
      rounds: 2,
      scoreBatches: 1,
    });
    expect(record.rounds.map(({ widths }) => widths['blocks.0.ssm'])).toEqual([11, 8]);
    for (const { returned, kept } of record.rounds) {
      expect(kept['blocks.1.ssm']).toEqual(
        expect.arrayContaining(returned?.['blocks.1.ssm'] ?? [-1]),
      );
    }
  });
});

describe('rsst', () => {
  it('trains with the penalty, cuts exactly the rate, and trains on', async () => {
    const { record } = await prune('rsst', {
      method: 'rsst',
      rates: { ssm: 0.5, mlp: 0.25 },
      rsst: { units: 'doomed', strength: 100, schedule: 'constant', epochs: 2 },
      recipe,
    });
    expect(record.widthsAfter).toMatchObject({ 'blocks.0.ssm': 8, 'blocks.1.mlp': 24 });
    const lines = RunFolder.open(at('rsst')).readMetrics();
    expect(lines.map(({ phase }) => phase)).toEqual(['rsst-1', 'rsst-1', 'round-1']);
    const shares = lines
      .slice(0, 2)
      .map((line) => readUnitNorms(line as EpochMetrics)?.kinds['ssm']?.doomedShare ?? NaN);
    // Half of the units, the smaller ones, that a strong penalty keeps shrinking.
    expect(shares[0]).toBeLessThan(0.5);
    expect(shares[1]).toBeLessThan(shares[0] ?? 0);
    expect(record.wanted).toBeUndefined();
    // Two epochs are too few for it.
    const { apply, kinds } = record.rounds[0]?.doomedLeft ?? {};
    expect(apply).toBe('proximal');
    expect(kinds?.['ssm']).toBeGreaterThan(0.05);
    expect(kinds?.['ssm']).toBeLessThan(1);
    // The cut's cost is that of the regularised model, not of the one that was pruned.
    expect(record.rounds[0]?.accuracy.before).toBe(
      (lines[1] as { valAccuracy: number }).valAccuracy,
    );
  });

  it('finds nothing left of the doomed units that were shrunk', async () => {
    const { record } = await prune('shrunk', {
      method: 'rsst',
      rates: { ssm: 0.5, mlp: 0.25 },
      rsst: { units: 'doomed', apply: 'shrink', epochs: 1 },
      recipe,
    });
    expect(record.rounds[0]?.doomedLeft).toEqual({ apply: 'shrink', kinds: { ssm: 0, mlp: 0 } });
  });

  it('chooses the doomed units anew, and leaves those alone that are doomed no more', async () => {
    const chosen: (readonly [epoch: number, gone: readonly number[]])[] = [];
    const zeros: number[][] = [];
    const units = Array.from({ length: 32 }, (_, unit) => unit);
    const settings = tinyPruning(modelOf('mamba'), at('images'), {
      method: 'rsst',
      rates: { mlp: 0.5 },
      importance: 'taylor',
      scoreBatches: 1,
      rsst: {
        units: 'doomed',
        norm: 'group',
        strength: 1000,
        epochs: 3,
        rechoose: 1,
        lrThrough: true,
      },
      recipe: { ...recipe, lr: 2e-2, epochs: 1 },
    });
    const run = await pruneRun(
      settings,
      { out: at('rechosen') },
      {
        onPhase: ({ kind }) => {
          if (kind !== 'regularize') return {};
          let values: () => number[] = () => [];
          return {
            afterStep: ({ model }) => {
              values = () => model.stateDict().get('blocks.0.mlp.0.weight')?.toNumbers() ?? [];
            },
            // At its end an epoch's units are still those that were chosen before it.
            epochMetrics: (epoch) => {
              const { wanted } = readPruningRecord(at('rechosen')) ?? {};
              const weights = values();
              const isZero = (unit: number) =>
                weights.slice(8 * unit, 8 * unit + 8).every((value) => value === 0);
              chosen.push([epoch, units.filter((u) => !wanted?.kept['blocks.0.mlp']?.includes(u))]);
              zeros.push(units.filter(isZero));
              return {};
            },
          };
        },
      },
    );
    run.model.dispose();
    expect(chosen.map(([epoch]) => epoch)).toEqual([1, 2, 3]);
    const [first = [], second = [], third = []] = chosen.map(([, gone]) => gone);
    // What matters has changed: some units came back, others went in their place.
    expect(second).not.toEqual(first);
    expect(new Set([first, second, third].map((gone) => gone.length))).toEqual(new Set([16]));
    // Hardly pulled at first, and hard enough at last to be gone within the epoch: those of then, and no others.
    expect(zeros[0]).toEqual([]);
    expect(third).not.toEqual(first);
    expect(zeros[2]).toEqual(third);
    expect(run.record.rounds[0]?.kept['blocks.0.mlp']).toEqual(
      units.filter((unit) => !third.includes(unit)),
    );
    expect(run.record.wanted).toBeUndefined();
  });

  it('deletes what is nearly zero, however much that is', async () => {
    const { model, info } = loadModel(modelOf('mamba'));
    const weight = model.stateDict().get('blocks.0.ssm.out_proj.weight');
    for (const unit of [1, 4, 5]) weight?.detach().select(1, unit).mul_(1e-6);
    saveModel(at('planted.safetensors'), model, info);
    model.dispose();
    const settings = tinyPruning(at('planted.safetensors'), at('images'), {
      method: 'rsst',
      rates: { ssm: 0 },
      rsst: { nearZero: 1e-3, strength: 0, epochs: 1 },
      // Too small a rate to bring the planted units back.
      recipe: { ...recipe, epochs: 0, lr: 1e-9 },
    });
    const run = await pruneRun(settings, { out: at('near-zero') });
    run.model.dispose();
    const gone = Array.from({ length: 16 }, (_, unit) => unit).filter(
      (unit) => !run.record.kept['blocks.0.ssm']?.includes(unit),
    );
    expect(gone).toEqual([1, 4, 5]);
    expect(run.record.widthsAfter['blocks.0.mlp']).toBe(32);
  });
});

describe('distillation', () => {
  it('changes what the pruned model learns', async () => {
    const plain = await prune('plain', { recipe });
    const taught = await prune('taught', { recipe, distill: { weight: 0.9, temperature: 2 } });
    expect(plain.record.kept).toEqual(taught.record.kept);
    const losses = [plain, taught].map(({ result }) => result?.last?.loss);
    expect(losses[0]).not.toBe(losses[1]);
  });

  it('leaves the regularised epochs to the labels, also where the teacher is the only target', async () => {
    const rsst: Partial<PruneSettings> = {
      method: 'rsst',
      rsst: { epochs: 1 },
      rates: { mlp: 0.5 },
      recipe,
    };
    await prune('rsst-plain', rsst);
    await prune('rsst-taught', { ...rsst, distill: { weight: 1 } });
    const [plain = [], taught = []] = ['rsst-plain', 'rsst-taught'].map((run) =>
      RunFolder.open(at(run)).readMetrics(),
    );
    expect(taught.map(({ phase }) => phase)).toEqual(['rsst-1', 'round-1']);
    expect(taught[0]?.loss).toBe(plain[0]?.loss);
    expect(taught[1]?.loss).not.toBe(plain[1]?.loss);
  });
});

describe('distillation through the cut', () => {
  const rsst: Partial<PruneSettings> = {
    method: 'rsst',
    rsst: { epochs: 1 },
    rates: { mlp: 0.5 },
    recipe,
  };

  it('teaches in the regularised epochs too', async () => {
    await prune('through-not', { ...rsst, distill: { weight: 1 } });
    await prune('through', { ...rsst, distill: { weight: 1, through: true } });
    const [not = [], through = []] = ['through-not', 'through'].map((run) =>
      RunFolder.open(at(run)).readMetrics(),
    );
    expect(through.map(({ phase }) => phase)).toEqual(['rsst-1', 'round-1']);
    // The teacher is the model itself at first: there is hardly anything to learn from it, and there is from labels.
    const [task, ofLabels] = [through, not].map(([first]) =>
      first?.type === 'epoch' ? (first.terms?.['task'] ?? first.loss) : NaN,
    );
    expect(task).toBeLessThan((ofLabels ?? NaN) / 2);
  });

  it('teaches where there is no training after the cut', async () => {
    const changes = { ...rsst, recipe: { ...recipe, epochs: 0 } };
    const distill = { weight: 1, through: true };
    const { record } = await prune('through-alone', { ...changes, distill });
    expect(record.rounds).toHaveLength(1);
    await expect(prune('alone', { ...changes, distill: { weight: 1 } })).rejects.toThrow(
      /the teacher is heard in training only/,
    );
  });

  it('is of rsst alone', async () => {
    await expect(
      prune('through-oneshot', { recipe, distill: { weight: 1, through: true } }),
    ).rejects.toThrow(/got `distill.through` with the method oneshot, expected method rsst/);
  });
});

describe('other families', () => {
  it('lose attention heads and neurons in rounds', async () => {
    const changes = { rates: { heads: 0.5, mlp: 0.5 }, rounds: 2, recipe };
    const { record } = await prune('vit-rounds', changes, 'vit');
    expect(record.rounds.map(({ widths }) => widths['blocks.0.attn'])).toEqual([3, 2]);
    expect(record.kinds['blocks.0.attn']).toBe('heads');
  });

  it('are scored as their family has it where nothing says otherwise, and the run says so', async () => {
    const changes = { importance: undefined, scoreBatches: 1 };
    const resnet = { ...changes, rates: { channels: 0.5 } };
    const { record } = await prune('resnet-default', resnet, 'resnet');
    expect(record).toMatchObject({ importance: 'obd', importanceReason: 'family' });
    const { record: mamba } = await prune('mamba-default', { ...changes, rates: { mlp: 0.5 } });
    expect(mamba).toMatchObject({ importance: 'taylor', importanceReason: 'images' });
    const again = await pruneRun(tinyPruning(modelOf('resnet'), at('images'), resnet), {
      out: at('resnet-default'),
      resume: true,
    });
    again.model.dispose();
    expect(again.record.importance).toBe('obd');
  });

  it('lose channels, their batch normalisation measured again', async () => {
    const changes = { rates: { channels: 0.5 } };
    // Twelve images of a class are too few for it to be measured unless that is asked for.
    await prune('resnet-plain', changes, 'resnet');
    await prune('resnet-again', { ...changes, bnBatches: 2 }, 'resnet');
    const [plain, again] = ['resnet-plain', 'resnet-again'].map(
      (run) => loadModel(modelOf(run)).model,
    );
    const values = (model: typeof plain, name: string): number[] =>
      model?.stateDict().get(name)?.toNumbers() ?? [];
    expect(values(again, 'layer1.0.conv1.weight')).toEqual(values(plain, 'layer1.0.conv1.weight'));
    expect(values(again, 'layer1.0.bn2.running_mean')).not.toEqual(
      values(plain, 'layer1.0.bn2.running_mean'),
    );
    plain?.dispose();
    again?.dispose();
  });

  it('say of how few images the batch normalisation was measured', async () => {
    const notes: string[] = [];
    const data = { onNote: (note: string): number => notes.push(note) };
    const few = { ...recipe, maxTrainImages: 6, epochs: 0 };
    const changes = { rates: { channels: 0.5 }, bnBatches: 3, recipe: few };
    const settings = tinyPruning(modelOf('resnet'), at('images'), changes);
    const { model } = await pruneRun(settings, { out: at('resnet-few'), data });
    model.dispose();
    expect(notes).toContainEqual(
      expect.stringMatching(
        /its statistics come from 6 images, in 1 of the 3 batches asked for.*So few can make the model worse/,
      ),
    );
  });
});

describe('before anything is written', () => {
  it.each<[string, Partial<PruneSettings>, string, RegExp]>([
    [
      'a kind that the model does not have',
      { rates: { heads: 0.5 } },
      'mamba',
      /got 'heads', expected one of ssm/,
    ],
    ['a rate of everything', { rates: { ssm: 1 } }, 'mamba', /rate: got 1/],
    [
      'images without a data set',
      { importance: 'taylor', dataset: undefined },
      'mamba',
      /`importance` taylor, which needs real images/,
    ],
    [
      'training without a data set',
      { recipe, dataset: undefined },
      'mamba',
      /got epochs for fine-tuning but no data set/,
    ],
    ['batch normalisation where there is none', { bnBatches: 2 }, 'mamba', /mamba_nano has none/],
    [
      'states ranked by their output',
      { score: 'activation', rates: { state: 0.5 } },
      'mamba',
      /pass through no one place/,
    ],
    [
      'a refill that cannot be ranked',
      { method: 'refill', refill: { fillback: 0.5, score: 'gradient' }, rates: { dt_rank: 0.5 } },
      'mamba',
      /`refill\.score` gradient/,
    ],
    ['a recipe out of range', { recipe: { ...recipe, lr: -1 } }, 'mamba', /lr: got -1/],
  ])('%s is refused', async (_what, changes, source, message) => {
    const settings = { ...tinyPruning(modelOf(source), at('images')), ...changes };
    await expect(pruneRun(settings, { out: at('never') })).rejects.toThrow(message);
    expect(existsSync(at('never'))).toBe(false);
  });

  it('workers are refused', async () => {
    const settings = tinyPruning(modelOf('mamba'), at('images'));
    // What is asked of it before it is refused; a real one is made of processes.
    const group = Object.create(distributed.ProcessGroup.prototype, {
      workers: { value: 2 },
    }) as distributed.ProcessGroup;
    const pruned = pruneRun(settings, { out: at('never'), group });
    await expect(pruned).rejects.toThrow(/got a group of 2 workers, expected none/);
    expect(existsSync(at('never'))).toBe(false);
  });

  it.each([
    [{ kept: { 'blocks.0.mlp': '0-30' } }, /it keeps 31 units of 'blocks\.0\.mlp', up to unit 30/],
    [{ kept: { 'blocks.0.mlp': '3-1' } }, /got '3-1', expected 7 or 3-9/],
    [{ kept: { 'blocks.9.mlp': '0-3' } }, /the model has no such group/],
  ])('a history that says %j of a whole model is refused', async (step, message) => {
    const { model, info } = loadModel(modelOf('mamba'));
    const history = [...info.history, { step: 'prune', ...step }];
    saveModel(at('history.safetensors'), model, { ...info, history });
    model.dispose();
    const pruned = pruneRun(tinyPruning(at('history.safetensors'), at('images')), {
      out: at('never'),
    });
    await expect(pruned).rejects.toThrow(
      /the history in this model file does not tell which units/,
    );
    await expect(pruned).rejects.toThrow(message);
    expect(existsSync(at('never'))).toBe(false);
  });
});

describe('event files for TensorBoard', () => {
  it('are written where they are asked for, and only there', async () => {
    const settings = tinyPruning(modelOf('mamba'), at('images'), { recipe });
    for (const tensorboard of [true, false]) {
      const out = at(`events-${tensorboard}`);
      const { model } = await pruneRun(settings, { out, tensorboard });
      model.dispose();
      expect(existsSync(join(out, 'tensorboard'))).toBe(tensorboard);
    }
    expect(readdirSync(at('events-true', 'tensorboard'))).toHaveLength(1);
  });
});
