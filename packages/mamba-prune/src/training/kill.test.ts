/**
 * Real processes, killed at random moments. For others:
 *   KILL_SEED=7 npx vitest run packages/mamba-prune/src/training/kill.test.ts
 */
import { loadSafetensors } from '@mamba-prune/libtorch';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { transpiledMambaPrune } from '../../../../test/support/transpiled.js';
import { Random } from '../data/random.js';
import { readCheckpoint } from './checkpoint.js';
import { RunFolder } from './index.js';
import { outcomeOf, temporaryFolder } from './testing/toy.js';

const folder = temporaryFolder();
const built = transpiledMambaPrune();
const script = join(built.src, 'training', 'testing', 'kill-child.mjs');
const running = new Set<ChildProcess>();
afterAll(() => {
  // Of tests that failed.
  for (const child of running) child.kill('SIGKILL');
  folder.remove();
  built.remove();
});

interface Child {
  readonly process: ChildProcess;
  /** Resolves when it has printed that, `count` times; or has ended. */
  printed: (text: string, count?: number) => Promise<void>;
  readonly ended: Promise<{ code: number | null; signal: string | null; output: string }>;
}

/** One thread: the bits depend on the number, and the machine may be busy. */
const environment = { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' };

function start(...args: string[]): Child {
  const child = spawn(process.execPath, [script, ...args], { env: environment });
  running.add(child);
  let output = '';
  const watchers = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      for (const look of watchers) look();
    });
  }
  const ended = new Promise<Awaited<Child['ended']>>((resolve) => {
    child.on('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal, output });
    });
  });
  const printed = (text: string, count = 1) => {
    const seen = new Promise<void>((resolve) => {
      const look = () => {
        if (output.split(`${text}\n`).length > count) resolve();
      };
      watchers.add(look);
      look();
    });
    return Promise.race([seen, ended.then(() => undefined)]);
  };
  return { process: child, printed, ended };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Reads every file of a run as a user would. */
function readEverything(path: string): void {
  if (!existsSync(join(path, 'config.json'))) return;
  const run = RunFolder.open(path);
  run.readMetrics();
  if (existsSync(run.lastCheckpoint)) {
    const { state } = readCheckpoint(run.lastCheckpoint);
    expect(state.step).toBeGreaterThanOrEqual(0);
  }
  if (existsSync(run.previousCheckpoint)) readCheckpoint(run.previousCheckpoint);
  for (const model of [run.bestModel, run.modelPath]) {
    if (!existsSync(model)) continue;
    for (const tensor of loadSafetensors(model).tensors.values()) tensor.dispose();
  }
}

describe('a training that is killed', () => {
  it('ends bit for bit as one that was not, and its files are whole at every moment', async () => {
    const whole = join(folder.path, 'whole');
    const reference = start(whole);
    const run = join(folder.path, 'run');
    const random = new Random().seed(Number(process.env['KILL_SEED'] ?? 1), 1);
    const kills: string[] = [];
    for (let round = 0; round < 5; round++) {
      // Counted in steps, so that a busy machine is not killed before it begins; then some ms more, in which it
      // does not come to its end, however late this process is given the processor.
      const steps = round === 0 ? 0 : 1 + random.below(14);
      const extra = random.below(steps === 0 ? 400 : 12);
      kills.push(`${steps} steps + ${extra} ms`);
      const child = start(run, `--steps=${steps + 6}`);
      if (steps > 0) await child.printed('step', steps);
      await pause(extra);
      readEverything(run);
      child.process.kill('SIGKILL');
      const { signal, code, output } = await child.ended;
      expect(signal, `killed after ${kills.join(', ')}: ${code} ${output}`).toBe('SIGKILL');
      readEverything(run);
    }
    const last = start(run);
    const [{ code, output }, { output: whole1 }] = await Promise.all([last.ended, reference.ended]);
    expect(code, output).toBe(0);
    expect(whole1).toContain('finished');
    const context = `killed after ${kills.join(', ')}`;
    expect(outcomeOf(RunFolder.open(run)), context).toEqual(outcomeOf(RunFolder.open(whole)));
  });

  it('holds its run alone, and loses it with its life', async () => {
    const run = join(folder.path, 'taken');
    const child = start(run, '--stuck');
    await child.printed('stuck');
    expect(() => RunFolder.open(run, { write: true })).toThrow(
      new RegExp(`in use by process ${child.process.pid} since`),
    );
    child.process.kill('SIGKILL');
    await child.ended;
    RunFolder.open(run, { write: true }).release();
  });

  it('stops gracefully at the first signal', async () => {
    const run = join(folder.path, 'polite');
    const child = start(run, '--patient');
    await child.printed('step', 3);
    child.process.kill('SIGINT');
    const { code, output } = await child.ended;
    expect(code, output).toBe(0);
    const steps = Number(/stopped after (\d+)/.exec(output)?.[1]);
    expect(steps).toBeGreaterThanOrEqual(3);
    expect(readCheckpoint(RunFolder.open(run).lastCheckpoint).state.step).toBe(steps);
  });

  it('ends at once at the second signal', async () => {
    const child = start(join(folder.path, 'impatient'), '--stuck');
    await child.printed('stuck');
    child.process.kill('SIGINT');
    await child.printed('stopping');
    child.process.kill('SIGTERM');
    expect(await child.ended).toMatchObject({ code: 128 + 15 });
  });
});
