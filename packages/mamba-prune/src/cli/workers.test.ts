import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { transpiledMambaPrune } from '../../../../test/support/transpiled.js';
import { loadModel, saveModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { runCli } from './testing/run-cli.js';
import { shadesTraining, writeShades } from './testing/shades.js';
import { startProgram } from './testing/start-program.js';

const built = transpiledMambaPrune();
const main = join(built.src, 'cli', 'main.js');
let folder = '';

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-workers-'));
  await writeShades(join(folder, 'images'), 8);
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  built.remove();
});

const trainArgs = [...shadesTraining(8), '--epochs', '2'];

const start = (argv: readonly string[]) => startProgram(main, argv, { folder });

describe('train --workers', () => {
  it('trains in several processes that speak with one voice', async () => {
    const { status, stdout, stderr } = await start([
      ...trainArgs,
      '--workers',
      '2',
      '--out',
      'run',
      '--json',
    ]);
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ workers: 2, finished: true, steps: 4 });
    expect(stderr.match(/ 2\/2 /g), stderr).toHaveLength(1);
    const lines = readFileSync(join(folder, 'run', 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n');
    expect(lines).toHaveLength(2);
  });

  it('trains under a teacher as one process does', async () => {
    manualSeed(2);
    const sizes = { dModel: 8, depth: 1, imageSize: 8, channels: 3, numClasses: 2 };
    const teacher = createModel('mamba_nano', sizes);
    const pixels = { mean: [0.2, 0.3, 0.4], std: [0.5, 0.6, 0.7] };
    saveModel(join(folder, 'teacher.safetensors'), teacher, {
      classes: ['a', 'b'],
      ...pixels,
      history: [],
    });
    teacher.dispose();
    const flags = ['--teacher', 'teacher.safetensors', '--temperature', '2'];
    const weights: number[][] = [];
    for (const workers of ['1', '2']) {
      const out = `taught-${workers}`;
      const argv = [...trainArgs, ...flags, '--workers', workers, '--out', out];
      const { status, stderr } = await start(argv);
      expect(status, stderr).toBe(0);
      const { model } = loadModel(join(folder, out, 'model.safetensors'));
      weights.push(model.parameters().flatMap((weight) => weight.detach().toNumbers()));
      model.dispose();
    }
    const [one = [], two = []] = weights;
    expect(two).toHaveLength(one.length);
    // As in data-parallel.test.ts: sums in another order.
    const differences = one.map((value, i) => Math.abs(value - (two[i] ?? NaN)));
    expect(Math.max(...differences)).toBeLessThan(1e-6);
  });

  it('ends with the status of the workers, whose errors it does not repeat', async () => {
    const { status, stderr } = await start([
      ...trainArgs,
      '--workers',
      '2',
      '--batch-size',
      '1',
      '--out',
      'small',
    ]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/got batches of 1 images for 2 workers/);
    expect(stderr.trim().split('\n').length).toBeLessThanOrEqual(4);
  });
});

describe('a worker', () => {
  const env = { RANK: '0', WORLD_SIZE: '2', MASTER_ADDR: '127.0.0.1', MASTER_PORT: '0' };

  it('refuses another number of workers than were started', async () => {
    const { status, stderr } = await runCli([...trainArgs, '--workers', '3', '--out', 'x'], {
      env,
    });
    expect(status).toBe(2);
    expect(stderr).toMatch(/--workers: got 3, but the launcher started 2/);
  });

  it('refuses variables that contradict each other', async () => {
    const given = { ...env, RANK: '2' };
    const { status, stderr } = await runCli([...trainArgs, '--out', 'x'], { env: given });
    expect(status).toBe(2);
    expect(stderr).toMatch(/got rank 2 of 2 workers/);
  });

  it('refuses one GPU for all', async () => {
    const args = [...trainArgs, '--out', 'x', '--device', 'cuda:1'];
    const { status, stderr } = await runCli(args, { env });
    expect(status).toBe(2);
    expect(stderr).toMatch(/got cuda:1 for several workers/);
  });
});
