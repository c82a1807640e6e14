// One learning rate schedule through the cut: what goes on after it, and that nothing else changes.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Tensor, optim } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCli } from '../../cli/testing/run-cli.js';
import type { ModelOptions } from '../../models/model-options.js';
import { loadModel } from '../../models/model-file.js';
import type { KeptUnits, PruningGroup } from '../../models/groups.js';
import { type Checkpoint, readCheckpoint } from '../../training/checkpoint.js';
import { RunFolder } from '../../training/run-folder.js';
import type { EpochMetrics, StepMetrics } from '../../training/metrics-lines.js';
import type { StepContext } from '../../training/step-context.js';
import { pruneRun } from './run.js';
import type { PruneSettings, RsstSettings } from './settings.js';
import type { PruneHooks } from './hooks.js';
import type { RecipeSettings } from '../settings.js';
import { outcomeOf } from '../testing/outcome.js';
import { tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from '../testing/tiny.js';
import { trainRun } from '../train-run.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const modelOf = (run: string): string => at(run, 'model.safetensors');

const families = {
  // Drops paths: where the random generator stands is part of what goes on.
  mamba: { arch: 'mamba_nano', model: { dModel: 8, depth: 2, dState: 3, dropPath: 0.2 } },
  vit: { arch: 'vit_tiny', model: { dModel: 8, depth: 1, heads: 4 } },
  resnet: { arch: 'resnet20', model: { baseWidth: 4, blocks: [1, 1, 1] } },
} as const satisfies Record<string, { arch: string; model: ModelOptions }>;
type Family = keyof typeof families;

const rates: Record<Family, Record<string, number>> = {
  mamba: { ssm: 0.7, mlp: 0.5 },
  vit: { heads: 0.5, mlp: 0.7 },
  resnet: { channels: 0.6 },
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-through-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  for (const [name, { arch, model }] of Object.entries(families)) {
    const settings = { ...tinyTraining(at('images')), arch, model, keepEpochs: [] };
    const trained = await trainRun(settings, { out: at(name) });
    trained.model.dispose();
  }
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const rsst: RsstSettings = {
  units: 'doomed',
  norm: 'group',
  schedule: 'constant',
  strength: 5,
  epochs: 2,
  lrThrough: true,
};

const recipe: RecipeSettings = {
  ...tinyRecipe,
  epochs: 3,
  warmupEpochs: 1,
  emaDecay: 0.9,
  logEverySteps: 1,
};

async function prune(
  name: string,
  changes: Partial<PruneSettings> = {},
  hooks: PruneHooks = {},
  family: Family = 'mamba',
) {
  const given = { method: 'rsst', rates: rates[family], rsst, recipe, ...changes } as const;
  const settings = tinyPruning(modelOf(family), at('images'), given);
  const run = await pruneRun(settings, { out: at(name) }, hooks);
  run.model.dispose();
  expect(run.finished).toBe(true);
  return run;
}

const metricsOf = (name: string) => RunFolder.open(at(name)).readMetrics();
const stepsOf = (name: string) =>
  metricsOf(name).filter((line): line is StepMetrics => line.type === 'step');
const epochsOf = (name: string) =>
  metricsOf(name).filter((line): line is EpochMetrics => line.type === 'epoch');

/** The checkpoints before and after the cut of a round. */
function atTheCut(name: string, round = 1) {
  const found: { before?: Checkpoint; after?: Checkpoint } = {};
  const hooks: PruneHooks = {
    onPhase: (phase) => ({
      onCheckpoint: (path) => {
        if (phase.round !== round) return;
        if (phase.kind === 'regularize') found.before = readCheckpoint(path);
        else found.after ??= readCheckpoint(path);
      },
    }),
  };
  const read = () => {
    const { before, after } = found;
    if (!before || !after) throw new Error(`no checkpoints of ${name}`);
    return { before, after };
  };
  return { hooks, read };
}

describe('the learning rate over the cut', () => {
  const schedules = {
    cosine: { schedule: 'cosine', minLrFactor: 0.1 },
    constant: { schedule: 'constant' },
    multistep: { schedule: 'multistep', milestones: [1.5, 4], gamma: 0.5 },
  } satisfies Record<string, Partial<RecipeSettings>>;

  it.each(Object.entries(schedules))(
    'is that of one training of as many epochs: %s',
    async (name, schedule) => {
      const changes = { recipe: { ...recipe, ...schedule, warmupEpochs: 3 } };
      await prune(`curve-${name}`, changes);
      const whole = tinyTraining(at('images'));
      const trained = await trainRun(
        { ...whole, recipe: { ...changes.recipe, epochs: 5 }, keepEpochs: [] },
        { out: at(`whole-${name}`) },
      );
      trained.model.dispose();
      const place = ({ epoch, step, lr }: StepMetrics) => ({ epoch, step, lr });
      const curve = stepsOf(`curve-${name}`);
      expect(curve.map(place)).toEqual(stepsOf(`whole-${name}`).map(place));
      expect(curve.map(({ phase }) => phase)).toEqual([
        ...Array.from({ length: 8 }, () => 'rsst-1'),
        ...Array.from({ length: 12 }, () => 'round-1'),
      ]);
      expect(epochsOf(`curve-${name}`).map(({ epoch, step }) => [epoch, step])).toEqual(
        [1, 2, 3, 4, 5].map((epoch) => [epoch, 4 * epoch]),
      );
    },
  );

  it('warms up again after the cut without lr-through', async () => {
    await prune('apart', { rsst: { ...rsst, lrThrough: false } });
    const rates = stepsOf('apart').map(({ lr }) => lr);
    // A third of the two epochs is 2.7 steps; one epoch has 4.
    expect([rates[0], rates[8]]).toEqual([3e-3 / 3, 3e-3 / 4]);
    expect(epochsOf('apart').map(({ epoch }) => epoch)).toEqual([1, 2, 1, 2, 3]);
  });
});

describe('the training over the cut', () => {
  it('sees the images as one of as many epochs, plain ones at the end', async () => {
    const seen = async (name: string, changes: Partial<PruneSettings>) => {
      const sums: number[] = [];
      const afterStep = ({ images }: StepContext) => {
        sums.push(images.sum().item());
      };
      await prune(name, changes, { onPhase: () => ({ afterStep }) });
      const plain = epochsOf(name).map((line) => line.plain === true);
      return { sums, plain };
    };
    const mixed = { ...recipe, epochs: 2, mixup: 0.4, plainEpochs: 3 };
    const rounds = { rounds: 2, rates: { mlp: 0.75 } };
    const parts = await seen('plain-parts', { ...rounds, recipe: mixed });
    const once = await seen('plain-once', {
      method: 'oneshot',
      rsst: undefined,
      ...rounds,
      recipe: { ...mixed, epochs: 4 },
    });
    expect(parts).toEqual(once);
    expect(parts.plain).toEqual([false, true, true, true, false, true, true, true]);
    expect(new Set(parts.sums).size).toBe(32);
  });

  it('regularises its first epochs over the whole of their schedule, the others not at all', async () => {
    const growing = { ...rsst, schedule: 'x^2', strength: 8 } as const;
    await prune('growing', { rsst: growing });
    const lines = epochsOf('growing');
    const lambdas = lines.map((line) => (line['rsst'] as { lambda: number } | undefined)?.lambda);
    expect(lambdas).toEqual([2, 8, undefined, undefined, undefined]);
    expect(lines.map(({ emaAccuracy }) => typeof emaAccuracy)).toEqual(
      Array.from({ length: 5 }, () => 'number'),
    );
  });

  it('goes with a cut by near-zero norms, a teacher and batch normalisation measured again', async () => {
    const { record, result } = await prune(
      'others',
      {
        rates: { channels: 0 },
        rsst: {
          nearZero: 0.9,
          apply: 'proximal',
          strength: 0.5,
          epochs: 2,
          lrThrough: true,
        },
        distill: { weight: 0.5 },
        bnBatches: 2,
      },
      {},
      'resnet',
    );
    expect(result).toMatchObject({ epochs: 5, steps: 20 });
    expect(record.parameters.after).toBeLessThan(record.parameters.before);
    expect(stepsOf('others').map(({ step }) => step)).toEqual(
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
  });

  it('measures the weights that are cut before and after it, and the averages at the end', async () => {
    const { record, result } = await prune('measured');
    const [, second, , , last] = epochsOf('measured');
    expect(record.accuracy.afterCut).toBe(record.rounds[0]?.accuracy.afterCut);
    expect(record.rounds[0]?.accuracy.before).toBe(second?.valAccuracy);
    expect(record.accuracy.after).toBe(last?.emaAccuracy);
    expect(result).toMatchObject({ epochs: 5, steps: 20, weights: 'ema' });
    const { model, info } = loadModel(modelOf('measured'));
    expect(info.history.at(-1)).toMatchObject({ step: 'finetune', epoch: 5, weights: 'ema' });
    expect(info.history.at(-2)).toMatchObject({ step: 'prune', rsst: { lrThrough: true } });
    model.dispose();
  });
});

/** Shape and values of a tensor, row after row. */
interface Block {
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

function blockOf({ tensors }: Checkpoint, name: string): Block {
  const stored = tensors.get(name);
  if (!stored) throw new Error(`no tensor ${name}`);
  expect(stored.dtype).toBe('F32');
  const values = Array.from(new Float32Array(stored.data.slice().buffer));
  return { shape: stored.shape, values };
}

/** What is left of a parameter's values when units go, number by number. */
function leftOf(
  { shape, values }: Block,
  parameter: string,
  groups: readonly PruningGroup[],
  kept: KeptUnits,
): Block {
  const gone = shape.map(() => new Set<number>());
  for (const { name, size, members } of groups) {
    const stays = kept.get(name);
    for (const { parameter: of, dim, offset = 0, unitSize = 1 } of members) {
      if (of !== parameter || !stays) continue;
      for (let index = 0; index < size * unitSize; index++) {
        if (!stays.includes(Math.floor(index / unitSize))) gone[dim]?.add(offset + index);
      }
    }
  }
  const strides = shape.map((_, dim) => shape.slice(dim + 1).reduce((a, b) => a * b, 1));
  const stays = (place: number) =>
    shape.every((size, dim) => !gone[dim]?.has(Math.floor(place / (strides[dim] ?? 1)) % size));
  return {
    shape: shape.map((size, dim) => size - (gone[dim]?.size ?? 0)),
    values: values.filter((_, place) => stays(place)),
  };
}

/** In the order of the optimizer's state. */
function optimizedNames(file: string, optimizer: string): string[] {
  const { model } = loadModel(file);
  const names = new Map<Tensor, string>();
  for (const [name, tensor] of model.namedParameters()) names.set(tensor, name);
  const groups = optimizer === 'muon' ? optim.muonGroups(model, 1) : optim.decayGroups(model, 1);
  const all = groups.flatMap(({ params }) => params.map((tensor) => names.get(tensor) ?? ''));
  model.dispose();
  return all;
}

describe('what the optimizer and the averages know of the kept units', () => {
  const slots = {
    adamw: ['exp_avg', 'exp_avg_sq'],
    sgd: ['momentum_buffer'],
    muon: ['exp_avg', 'exp_avg_sq', 'momentum_buffer'],
  } as const;
  const cases = (Object.keys(families) as Family[]).flatMap((family) =>
    (Object.keys(slots) as (keyof typeof slots)[]).map((optimizer) => [family, optimizer] as const),
  );

  it.each(cases)('is bit for bit what it was before the cut: %s, %s', async (family, optimizer) => {
    const name = `kept-${family}-${optimizer}`;
    const { hooks, read } = atTheCut(name, 2);
    // In two rounds, so that the second cuts a model that is not the one of the file.
    const { record } = await prune(
      name,
      { rounds: 2, recipe: { ...recipe, optimizer, lr: 1e-3, epochs: 1 } },
      hooks,
      family,
    );
    const { before, after } = read();
    const source = at(name, 'checkpoints', 'round-1.safetensors');
    const { model } = loadModel(source);
    const groups = model.pruningGroups();
    const [first, second] = record.rounds;
    const kept = new Map(
      Object.entries(second?.kept ?? {}).map(([group, units]) => [
        group,
        units.map((unit) => first?.kept[group]?.indexOf(unit) ?? -1),
      ]),
    );
    expect([...kept.values()].flat().every((unit) => unit >= 0)).toBe(true);
    const names = optimizedNames(source, optimizer);
    const seen = new Set<string>();
    let cut = 0;
    names.forEach((parameter, i) => {
      const found = slots[optimizer].filter((slot) => before.tensors.has(`optimizer.${i}.${slot}`));
      expect(found.length, parameter).toBeGreaterThan(0);
      for (const key of [...found.map((slot) => `optimizer.${i}.${slot}`), `ema.${parameter}`]) {
        seen.add(key);
        const whole = blockOf(before, key);
        const left = leftOf(whole, parameter, groups, kept);
        expect(blockOf(after, key), `${key} of ${parameter}`).toEqual(left);
        if (left.values.length < whole.values.length) cut++;
        expect(
          left.values.some((value) => value !== 0),
          `${key} of ${parameter}`,
        ).toBe(true);
      }
    });
    expect(cut).toBeGreaterThan(3);
    const others = [...after.tensors.keys()].filter((key) => /^(optimizer|ema)\./.test(key));
    expect(new Set(others)).toEqual(seen);
    expect(after.state.optimizer).toEqual(before.state.optimizer);
    expect(after.state.emaUpdates).toBe(before.state.emaUpdates);
    expect(after.tensors.get('rng.cpu')?.data).toEqual(before.tensors.get('rng.cpu')?.data);
    expect(after.state).toMatchObject({ epoch: 2, step: 8, batch: 0, phase: 'round-2' });
    model.dispose();
  });

  it('makes the first step after the cut that of AdamW by hand', async () => {
    const { hooks, read } = atTheCut('by-hand');
    const steps: { lr: number; gradients: Map<string, number[]>; made: Map<string, number[]> }[] =
      [];
    let weights = new Map<string, number[]>();
    const afterStep = ({ lr, model }: StepContext) => {
      if (steps.length > 0) return;
      const parameters = [...model.namedParameters()];
      steps.push({
        lr,
        gradients: new Map(parameters.map(([name, { grad }]) => [name, grad?.toNumbers() ?? []])),
        made: new Map(parameters.map(([name, tensor]) => [name, tensor.toNumbers()])),
      });
    };
    await prune(
      'by-hand',
      {},
      {
        onCut: () => {
          const { model } = loadModel(at('by-hand', 'checkpoints', 'round-1-cut.safetensors'));
          weights = new Map(
            [...model.namedParameters()].map(([n, tensor]) => [n, tensor.toNumbers()]),
          );
          model.dispose();
        },
        onPhase: (phase) => ({
          ...hooks.onPhase?.(phase),
          ...(phase.kind === 'finetune' && { afterStep }),
        }),
      },
    );
    const { after } = read();
    const [step] = steps;
    // Of 5 epochs, 4 steps each, the first of warm-up: the 9th step.
    const factor = (1 + Math.cos((Math.PI * (8 - 4)) / (20 - 4))) / 2;
    expect(step?.lr).toBeCloseTo(3e-3 * factor, 12);
    const { groups } = after.state.optimizer as optim.OptimizerScalars;
    const decayed = groups[0]?.size ?? 0;
    optimizedNames(modelOf('by-hand'), 'adamw').forEach((name, i) => {
      const { values: means } = blockOf(after, `optimizer.${i}.exp_avg`);
      const { values: squares } = blockOf(after, `optimizer.${i}.exp_avg_sq`);
      const decay = i < decayed ? 0.05 : 0;
      const got = step?.made.get(name) ?? [];
      expect(got).toHaveLength(means.length);
      const gradients = step?.gradients.get(name) ?? [];
      got.forEach((value, k) => {
        const [w, g] = [weights.get(name)?.[k] ?? NaN, gradients[k] ?? NaN];
        const m = 0.9 * (means[k] ?? NaN) + 0.1 * g;
        const v = 0.999 * (squares[k] ?? NaN) + 0.001 * g * g;
        const [mHat, vHat] = [m / (1 - 0.9 ** 9), v / (1 - 0.999 ** 9)];
        const lr = 3e-3 * factor;
        const expected = w * (1 - lr * decay) - (lr * mHat) / (Math.sqrt(vHat) + 1e-8);
        // A weight of float32, 6e-8 of its size, and a step of at most 3 lr whose parts are float32 too.
        expect(Math.abs(value - expected), `${name}[${k}]`).toBeLessThan(
          1.2e-7 * Math.abs(w) + 3e-6 * lr,
        );
      });
    });
  });
});

describe('a run through the cut that is stopped', () => {
  const settings = (): PruneSettings =>
    tinyPruning(modelOf('mamba'), at('images'), {
      method: 'rsst',
      rsst,
      rates: rates.mamba,
      rounds: 2,
      recipe: { ...recipe, epochs: 2, checkpointEvery: { steps: 3, minutes: null } },
    });

  beforeAll(async () => {
    const whole = await pruneRun(settings(), { out: at('not-stopped') });
    whole.model.dispose();
  });

  it.each(['before', 'at', 'after'] as const)(
    'ends bit for bit as one that was not: %s the cut',
    async (moment) => {
      const controller = new AbortController();
      const stop = () => {
        controller.abort();
      };
      const step = (kind: string) => ({
        onPhase: (phase: { kind: string; round: number }) => ({
          onStep: ({ epoch, step }: { epoch: number; step: number }) => {
            if (phase.kind === kind && phase.round === 2 && step === 2 && epoch !== 1) stop();
          },
        }),
      });
      const hooks: PruneHooks = {
        before: step('regularize'),
        at: {
          onCut: ({ round }: { round: number }) => {
            if (round === 2) stop();
          },
        },
        after: step('finetune'),
      }[moment];
      const out = at(`stopped-${moment}`);
      const stopped = await pruneRun(settings(), { out, signal: controller.signal }, hooks);
      stopped.model.dispose();
      expect(stopped.finished).toBe(false);
      const resumed = await pruneRun(settings(), { out, resume: true });
      resumed.model.dispose();
      expect(resumed.finished).toBe(true);
      expect(outcomeOf(out)).toEqual(outcomeOf(at('not-stopped')));
    },
  );
});

describe('--lr-through', () => {
  const command = (out: string, ...more: string[]): string[] => [
    'prune',
    modelOf('mamba'),
    '--dataset',
    'folder',
    '--data',
    at('images'),
    '--ssm-rate',
    '0.5',
    '--batch-size',
    '8',
    '--out',
    at(out),
    ...more,
  ];
  const method = ['--method', 'rsst', '--reg-units', 'doomed', '--reg-epochs', '1'];

  it('trains through the cut, shows epochs of the whole, and is kept for --resume', async () => {
    const { status, stdout, stderr } = await runCli([
      ...command('cli', ...method, '--epochs', '2', '--lr-through', '--json'),
    ]);
    expect([stderr, status]).toEqual([expect.stringMatching(/3\/3/), 0]);
    expect(JSON.parse(stdout)).toMatchObject({ training: { epochs: 3, steps: 12 } });
    const { config } = RunFolder.open(at('cli'));
    expect(config['settings']).toMatchObject({ rsst: { epochs: 1, lrThrough: true } });
    // A tenth of all three.
    expect(config.train).toMatchObject({ epochs: 3, warmupEpochs: expect.closeTo(0.3) as number });
    expect(epochsOf('cli').map(({ phase, epoch }) => `${phase}/${epoch}`)).toEqual([
      'rsst-1/1',
      'round-1/2',
      'round-1/3',
    ]);
    const again = await runCli(['prune', '--resume', '--out', at('cli')]);
    expect(again.status).toBe(0);
    expect(epochsOf('cli')).toHaveLength(3);
  });

  it.each([
    [['--epochs', '2'], 'got --lr-through, which belongs to --method rsst, not oneshot'],
    [
      ['--method', 'refill', '--fillback', '0.1', '--epochs', '2'],
      'got --lr-through, which belongs to --method rsst',
    ],
    [method, 'got --lr-through with 0 epochs, expected training after the cut'],
    [[...method, '--epochs', '2', '--rewind', 'init'], 'got --lr-through with --rewind init'],
    [['--method', 'rsst', '--reg-epochs', '0', '--epochs', '2'], "'--reg-epochs <n>' argument '0'"],
    [[...method, '--epochs', '2', '--warmup-epochs', '4'], '--warmup-epochs: got 4'],
  ])('with %j is a usage error, and nothing is written', async (more, message) => {
    const { status, stderr } = await runCli(command('never', ...more, '--lr-through'));
    expect(stderr).toContain(message);
    expect(status).toBe(2);
    expect(existsSync(at('never'))).toBe(false);
  });
});
