// One training through its cuts that cuts as soon as the units are at zero, or several times.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCli } from '../../cli/testing/run-cli.js';
import { type Checkpoint, readCheckpoint } from '../../training/checkpoint.js';
import { RunFolder } from '../../training/run-folder.js';
import type { EpochMetrics, StepMetrics } from '../../training/metrics-lines.js';
import { outcomeOf } from '../testing/outcome.js';
import { tinyPruning, tinyRecipe, tinyTraining, writeTinyImages } from '../testing/tiny.js';
import type { RecipeSettings, RunControl } from '../settings.js';
import { trainRun } from '../train-run.js';
import type { PruneHooks } from './hooks.js';
import { pruneRun } from './run.js';
import type { PruneSettings, RsstSettings } from './settings.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const dense = (): string => at('dense', 'model.safetensors');

const recipe: RecipeSettings = {
  ...tinyRecipe,
  epochs: 2,
  warmupEpochs: 1,
  emaDecay: 0.9,
  logEverySteps: 1,
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-cuts-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const { model } = await trainRun(tinyTraining(at('images')), { out: at('dense') });
  model.dispose();
  const whole = { ...tinyTraining(at('images')), keepEpochs: [] };
  const trained = await trainRun(
    { ...whole, recipe: { ...recipe, epochs: 6 } },
    { out: at('six') },
  );
  trained.model.dispose();
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** Four regularised epochs and two after them, four steps each. */
const rsst: RsstSettings = { units: 'doomed', strength: 5, epochs: 4, lrThrough: true };
/** So hard that the first step leaves nothing. */
const hard: RsstSettings = { ...rsst, schedule: 'constant', strength: 1e5 };

const settingsOf = (changes: Partial<PruneSettings>): PruneSettings =>
  tinyPruning(dense(), at('images'), { method: 'rsst', rsst, recipe, ...changes });

async function prune(
  name: string,
  changes: Partial<PruneSettings>,
  hooks: PruneHooks = {},
  control: Partial<RunControl> = {},
) {
  const run = await pruneRun(settingsOf(changes), { out: at(name), ...control }, hooks);
  run.model.dispose();
  return run;
}

const linesOf = (name: string) => RunFolder.open(at(name)).readMetrics();
const epochsOf = (name: string) =>
  linesOf(name).filter((line): line is EpochMetrics => line.type === 'epoch');
const stepsOf = (name: string) =>
  linesOf(name).filter((line): line is StepMetrics => line.type === 'step');
const phasesOf = (name: string) => epochsOf(name).map(({ phase, epoch }) => `${phase}/${epoch}`);
const curveOf = (name: string) => stepsOf(name).map(({ epoch, step, lr }) => ({ epoch, step, lr }));

/** The first and the last checkpoint of every phase. */
function checkpoints() {
  const found = new Map<string, Checkpoint[]>();
  const hooks: PruneHooks = {
    onPhase: ({ name }) => ({
      onCheckpoint: (path) => {
        found.set(name, [...(found.get(name) ?? []), readCheckpoint(path)]);
      },
    }),
  };
  const of = (phase: string, end: 0 | -1): Checkpoint => {
    const checkpoint = found.get(phase)?.at(end);
    if (!checkpoint) throw new Error(`no checkpoint of ${phase}`);
    return checkpoint;
  };
  return { hooks, of };
}

it('gives the averages what a compensation gives the weights', async () => {
  const begun = async (name: string, changes: Partial<PruneSettings>) => {
    const seen = checkpoints();
    await prune(name, changes, seen.hooks);
    const { tensors } = seen.of('round-1', 0);
    return (key: string): number[] =>
      Array.from(new Float32Array(tensors.get(key)?.data.slice().buffer as ArrayBuffer));
  };
  const plain = await begun('plain-cut', {});
  const made = await begun('compensated', { compensate: { images: 16 } });
  let largest = 0;
  for (const name of ['blocks.0.out_proj.weight', 'blocks.0.mlp.2.weight']) {
    const gain = (of: string): number[] => {
      const before = plain(`${of}.${name}`);
      return made(`${of}.${name}`).map((value, i) => value - (before[i] ?? NaN));
    };
    const averages = gain('ema');
    gain('model').forEach((change, i) => {
      largest = Math.max(largest, Math.abs(change));
      // Rounding of float32 to values around 1.
      expect(Math.abs((averages[i] ?? NaN) - change)).toBeLessThan(1e-6);
    });
  }
  expect(largest).toBeGreaterThan(1e-3);
});

describe('a cut at zero', () => {
  it('comes after the epoch that leaves nothing, and the training stays as long', async () => {
    const phases: string[] = [];
    const { record, result, finished } = await prune(
      'early',
      { rsst: { ...hard, cutAtZero: true } },
      {
        onPhase: ({ name, epochs, epochsBefore }) => {
          phases.push(`${name}: ${epochs} after ${epochsBefore}`);
          return {};
        },
      },
    );
    expect(finished).toBe(true);
    expect(phases).toEqual(['rsst-1: 4 after 0', 'round-1: 5 after 1']);
    expect(phasesOf('early')).toEqual([
      'rsst-1/1',
      ...[2, 3, 4, 5, 6].map((epoch) => `round-1/${epoch}`),
    ]);
    expect(record.rounds[0]).toMatchObject({ cutAfterEpoch: 1, finished: true });
    expect(result).toMatchObject({ epochs: 6, steps: 24, weights: 'ema' });
    expect(curveOf('early')).toEqual(curveOf('six'));
    // The cut takes what is not there any more.
    const { before, afterCut } = record.rounds[0]?.accuracy ?? {};
    expect(afterCut).toBe(before);
  });

  it('trains what is left as the larger model would have been, to rounding', async () => {
    await prune('late', { rsst: hard });
    const [early, late] = [epochsOf('early'), epochsOf('late')];
    expect(phasesOf('late').slice(0, 4)).toEqual(['rsst-1/1', 'rsst-1/2', 'rsst-1/3', 'rsst-1/4']);
    expect(early[0]?.loss).toBe(late[0]?.loss);
    for (const i of [1, 2, 3]) {
      // Sums over fewer zeros, in float32: 1e-7 of a sum, and AdamW makes some thousand times that of a small gradient.
      expect(Math.abs((early[i]?.loss ?? NaN) - (late[i]?.loss ?? NaN))).toBeLessThan(1e-3);
      expect(early[i]?.loss).not.toBe(early[i - 1]?.loss);
    }
  });

  it('is the cut at the end where the units are not at zero before', async () => {
    const { record } = await prune('weak', { rsst: { ...rsst, cutAtZero: true } });
    expect(record.rounds[0]?.cutAfterEpoch).toBe(4);
    await prune('plain', {});
    const read = (name: string) => {
      const { record: found, ...others } = outcomeOf(at(name));
      const { metrics } = others;
      return { metrics, kept: (found as { kept: unknown }).kept };
    };
    expect(read('weak')).toEqual(read('plain'));
    const plain = RunFolder.open(at('plain'));
    expect(JSON.stringify(outcomeOf(plain.path)['record'])).not.toContain('cutAfterEpoch');
  });
});

describe('several cuts within one training', () => {
  it('are rounds of one schedule, with the optimizer and the averages of all of it', async () => {
    const { hooks, of } = checkpoints();
    const { record, result } = await prune(
      'several',
      { rsst: { ...rsst, epochs: 4, cuts: 3, schedule: 'x' } },
      hooks,
    );
    expect(phasesOf('several')).toEqual([
      'rsst-1/1',
      'rsst-2/2',
      'rsst-2/3',
      'rsst-3/4',
      'round-3/5',
      'round-3/6',
    ]);
    expect(result).toMatchObject({ epochs: 6, steps: 24, weights: 'ema' });
    expect(curveOf('several')).toEqual(curveOf('six'));
    expect(record.plannedRounds).toBe(3);
    expect(record.rounds.map(({ cutAfterEpoch }) => cutAfterEpoch)).toEqual([1, 3, 4]);
    // 16 channels and 32 neurons in each block, of which 1 - 0.3^(j/3) go.
    expect(record.rounds.map(({ widths }) => widths['blocks.0.ssm'])).toEqual([11, 7, 5]);
    expect(record.rounds.map(({ widths }) => widths['blocks.1.mlp'])).toEqual([21, 14, 10]);
    const { rounds: once } = (await prune('once', {})).record;
    expect(record.widthsAfter).toEqual(once[0]?.widths);
    expect(record.rounds.map(({ accuracy }) => accuracy.after)).toEqual([
      null,
      null,
      record.accuracy.after,
    ]);
    // λ goes from 0 to its end in every portion.
    const lambdas = epochsOf('several').map(
      (line) => (line['rsst'] as { lambda: number } | undefined)?.lambda,
    );
    expect(lambdas).toEqual([5, 2.5, 5, 5, undefined, undefined]);
    for (const [before, after, name] of [
      ['rsst-1', 'rsst-2', 'blocks.0.ssm'],
      ['rsst-2', 'rsst-3', 'blocks.1.ssm'],
      ['rsst-3', 'round-3', 'blocks.0.ssm'],
    ] as const) {
      const [end, begin] = [of(before, -1), of(after, 0)];
      expect(begin.state.optimizer).toEqual(end.state.optimizer);
      expect(begin.state.emaUpdates).toBe(end.state.emaUpdates);
      expect(begin.state).toMatchObject({ epoch: end.state.epoch, step: end.state.step, batch: 0 });
      const key = `ema.${name}.out_proj.weight`;
      const [whole, left] = [end.tensors.get(key), begin.tensors.get(key)];
      expect(left?.shape[1]).toBeLessThan(whole?.shape[1] ?? NaN);
    }
  });

  it('give what a portion does not need to the next', async () => {
    const { record } = await prune('both', { rsst: { ...hard, cuts: 2, cutAtZero: true } });
    expect(record.rounds.map(({ cutAfterEpoch }) => cutAfterEpoch)).toEqual([1, 2]);
    expect(phasesOf('both')).toEqual([
      'rsst-1/1',
      'rsst-2/2',
      ...[3, 4, 5, 6].map((epoch) => `round-2/${epoch}`),
    ]);
    expect(curveOf('both')).toEqual(curveOf('six'));
  });

  it('go on from the checkpoint before, and say so where it is lost', async () => {
    const changes = { rsst: { ...rsst, cuts: 2 } };
    await prune('whole', changes);
    const stopAtCut = (name: string) => {
      const controller = new AbortController();
      const hooks: PruneHooks = {
        onRound: () => {
          controller.abort();
        },
      };
      return prune(name, changes, hooks, { signal: controller.signal });
    };
    for (const name of ['stopped', 'lost']) {
      const { finished, record } = await stopAtCut(name);
      expect([finished, record.rounds.length]).toEqual([false, 1]);
      expect(existsSync(at(name, 'checkpoints', 'round-1.safetensors'))).toBe(true);
    }
    expect((await prune('stopped', changes, {}, { resume: true })).finished).toBe(true);
    expect(outcomeOf(at('stopped'))).toEqual(outcomeOf(at('whole')));
    for (const name of ['last', 'previous']) {
      rmSync(at('lost', 'checkpoints', `${name}.safetensors`));
    }
    await expect(prune('lost', changes, {}, { resume: true })).rejects.toThrow(
      /has no checkpoint any more .*`resume` with `restart`/,
    );
    const notes: string[] = [];
    const control = {
      resume: true,
      restart: true,
      data: { onNote: (note: string) => notes.push(note) },
    };
    expect((await prune('lost', changes, {}, control)).finished).toBe(true);
    expect(notes.join('\n')).toMatch(/round 1 goes on from, is missing: the pruning begins anew/);
    expect(outcomeOf(at('lost'))).toEqual(outcomeOf(at('whole')));
  });
});

describe('--cut-at-zero and --cuts', () => {
  const given = '--dataset folder --batch-size 8 --ssm-rate 0.5 --method rsst --reg-units doomed';
  const command = (out: string, ...more: string[]): string[] => [
    'prune',
    dense(),
    '--data',
    at('images'),
    '--out',
    at(out),
    ...given.split(' '),
    ...more,
  ];
  const through = ['--reg-epochs', '2', '--epochs', '1', '--lr-through'];
  const apart = ['--reg-epochs', '2', '--epochs', '1', '--no-lr-through'];

  it('cut and are kept for --resume', async () => {
    const flags = ['--cuts', '2', '--cut-at-zero', '--reg-strength', '1e5', '--json'];
    const { status, stdout, stderr } = await runCli(command('cli', ...through, ...flags));
    expect([stderr, status]).toEqual([expect.stringMatching(/Round 2 of 2/), 0]);
    expect(JSON.parse(stdout)).toMatchObject({ training: { epochs: 3, steps: 12 } });
    const { config } = RunFolder.open(at('cli'));
    expect(config['settings']).toMatchObject({ rsst: { cuts: 2, cutAtZero: true } });
    expect((await runCli(['prune', '--resume', '--out', at('cli')])).status).toBe(0);
    expect(phasesOf('cli')).toEqual(['rsst-1/1', 'rsst-2/2', 'round-2/3']);
  });

  it.each([
    [[...apart, '--cuts', '2'], 'got 2 cuts without --lr-through'],
    [[...apart, '--cut-at-zero'], 'mamba-prune prune: got --cut-at-zero without --lr-through'],
    [[...through, '--cuts', '3'], 'got 3 cuts in 2 regularised epochs'],
    [[...through, '--cuts', '2', '--rounds', '3'], 'got --rounds, which has no say beside --cuts'],
    [[...through, '--cuts', '2', '--rechoose', '1'], 'got 2 cuts with --rechoose 1'],
    [
      [...through, '--cut-at-zero', '--reg-apply', 'loss'],
      'got --cut-at-zero with --reg-units doomed',
    ],
    [[...through, '--reg-apply', 'shrink', '--reg-strength', '5'], 'shrink with --reg-strength 5'],
    [[...through, '--reg-apply', 'shrink', '--exponents', '2'], 'under --reg-schedule cosine'],
  ])('with %j are a usage error, and nothing is written', async (more, message) => {
    const { status, stderr } = await runCli(command('never', ...more));
    expect(stderr).toContain(message);
    expect(status).toBe(2);
    expect(existsSync(at('never'))).toBe(false);
  });
});
