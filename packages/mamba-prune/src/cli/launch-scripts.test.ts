// Launch scripts of the original training script, as a shell runs them.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { transpiledMambaPrune } from '../../../../test/support/transpiled.js';
import { type PruningRecord, readPruningRecord } from '../workflows/prune/record.js';
import { writeTinyImages } from '../workflows/testing/tiny.js';
import type { PlannedImp } from './imp-plan.js';
import { runCli } from './testing/run-cli.js';

const scripts = fileURLToPath(new URL('../../../../examples/launch-scripts/', import.meta.url));

/** Runs a script with another program in place of mamba-prune. */
function launch(script: string, program: string, flags: readonly string[], cwd = scripts) {
  return spawnSync('sh', [join(scripts, script), ...flags], {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, MAMBA_PRUNE: program, XDG_CACHE_HOME: join(cwd, 'cache') },
  });
}

/** What a script plans, its words given to the real command in this process. */
async function planOf(script: string): Promise<PlannedImp> {
  const { stdout } = launch(script, 'echo', ['--print_plan']);
  const outcome = await runCli(stdout.trim().split(' '));
  expect(outcome).toMatchObject({ status: 0, stderr: '' });
  return JSON.parse(outcome.stdout) as PlannedImp;
}

const common = {
  dataset: 'cifar10',
  data: 'datasets/cifar10',
  rates: { ssm: 0.7, mlp: 0.7 },
  rounds: 16,
  recipe: { epochs: 60, lr: 0.01, batchSize: 128, optimizer: 'sgd' },
};

describe('run_mamba_small_refill.sh', () => {
  it('asks for Refill without anything coming back, after a dense training', async () => {
    const { out, dense, prune } = await planOf('run_mamba_small_refill.sh');
    expect(out).toBe(join('runs', 'mamba_small_refill_70p'));
    expect(dense).toMatchObject({
      arch: 'mamba_small',
      dataset: 'cifar10',
      recipe: { epochs: 60 },
    });
    expect(prune).toMatchObject({ ...common, method: 'refill', refill: { fillback: 0 } });
  });
});

describe('run_mamba_small_rsst.sh', () => {
  it('asks for RSST with the strength growing to 1 as the fourth power', async () => {
    const { out, prune } = await planOf('run_mamba_small_rsst.sh');
    expect(out).toBe(join('runs', 'mamba_small_rsst_70p'));
    expect(prune).toMatchObject({
      ...common,
      method: 'rsst',
      rsst: { schedule: 'exp_custom_exponents', strength: 1, exponent: 4, epochs: 60 },
    });
  });
});

describe('the launch scripts', () => {
  const built = transpiledMambaPrune();
  let folder = '';
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'mamba-prune-launch-'));
    await writeTinyImages(join(folder, 'images'));
  });
  afterAll(() => {
    built.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  // Later flags win, so the script itself stays as it is.
  const tiny = [
    '--dataset',
    'folder',
    '--data',
    'images',
    '--image_size',
    '8',
    '--d_model',
    '8',
    '--depth',
    '1',
    '--d_state',
    '2',
    '--batch_size',
    '8',
    '--epochs',
    '1',
    '--pruning_times',
    '2',
    '--augment',
    'none',
    '--threads',
    '1',
  ];

  it.each([
    ['run_mamba_small_refill.sh', 'mamba_small_refill_70p', ['round-1', 'round-2']],
    ['run_mamba_small_rsst.sh', 'mamba_small_rsst_70p', ['rsst-1', 'round-1', 'rsst-2', 'round-2']],
  ])('%s runs to its end on a tiny model', (script, name, phases) => {
    const program = `node ${join(built.src, 'cli', 'main.js')}`;
    const { status, stderr, stdout } = launch(script, program, tiny, folder);
    expect(stderr).toContain('State 0: dense training, 1 epoch');
    expect(status, stderr).toBe(0);
    const run = join(folder, 'runs', name);
    const record = readPruningRecord(run) as PruningRecord;
    // d_inner 16 and 32 neurons, 70% of each gone.
    expect(record.widthsAfter).toMatchObject({ 'blocks.0.ssm': 5, 'blocks.0.mlp': 10 });
    expect(record.rounds.map(({ finished }) => finished)).toEqual([true, true]);
    const lines = readFileSync(join(run, 'metrics.jsonl'), 'utf8').trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { phase: string }).phase)).toEqual(phases);
    expect(stdout).toMatch(/ {2}round +ssm +mlp +before cut +after cut +trained/);
  });
});
