// `compare` as users start it: a real process with real children.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { transpiledMambaPrune } from '../../../../test/support/transpiled.js';
import { buildPage } from '../../../report/src/testing/build-page.js';
import type { CompareResults } from '../workflows/compare/results.js';
import { writeTinyImages } from '../workflows/testing/tiny.js';
import { startProgram } from './testing/start-program.js';

const built = transpiledMambaPrune();
const main = join(built.src, 'cli', 'main.js');
let folder = '';

beforeAll(async () => {
  // The process finds the package that draws the picture as users do: compiled, with its bundle.
  const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  const report = fileURLToPath(new URL('../../../report', import.meta.url));
  spawnSync(process.execPath, [join(typescript, 'bin', 'tsc'), '-b', report]);
  buildPage();
  folder = mkdtempSync(join(tmpdir(), 'mp-compare-process-'));
  await writeTinyImages(join(folder, 'images'));
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  built.remove();
});

const argv = (out: string): string[] => [
  'compare',
  '--arch',
  'mamba_nano',
  '--d-model',
  '8',
  '--depth',
  '1',
  '--d-state',
  '2',
  '--dataset',
  'folder',
  '--data',
  'images',
  '--image-size',
  '8',
  '--batch-size',
  '8',
  '--epochs',
  '2',
  '--finetune-epochs',
  '4',
  '--seeds',
  '1',
  '--rate',
  '0.5',
  '--augment',
  'none',
  '--device',
  'cpu',
  '--jobs',
  '2',
  '--threads',
  '1',
  '--out',
  out,
];

/**
 * @param signalWhen - for signal-self.mjs
 * @param imports - scripts to run before the program
 */
const start = (args: readonly string[], signalWhen?: object, imports: readonly string[] = []) =>
  startProgram(main, args, { folder, signalWhen, imports, detached: true });

const outcome = (out: string): Pick<CompareResults, 'methods' | 'tests' | 'runs'> => {
  const path = join(folder, out, 'results.json');
  const { methods, tests, runs } = JSON.parse(readFileSync(path, 'utf8')) as CompareResults;
  return { methods, tests, runs };
};

const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

describe('mamba-prune compare', () => {
  it('prints its results within 80 columns, and goes on after Ctrl-C and after a kill', async () => {
    const whole = await start(argv('whole'));
    expect(whole.status).toBe(0);
    expect(whole.stdout).toMatch(/^ +Refill +\d+\.\d\d% +1 +(?:[+-]\d+\.\d\d|0\.00) +/m);
    expect(whole.stdout).toContain('one seed: no test');
    expect(Math.max(...whole.stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(
      80,
    );

    // Dense, one-shot, Refill and RSST, as many as the table has, and what they begin with.
    expect(flat(whole.stderr)).toContain(
      '4 runs of the methods and 1 dense training before them; 2 at once',
    );
    expect(outcome('whole').runs).toHaveLength(4);

    const stop = { pattern: 'base', signal: 'SIGINT', group: true };
    const stopped = await start(argv('parts'), stop);
    expect(stopped.status).toBe(130);
    expect(flat(stopped.stderr)).toContain('Stopped; 0 of 4 runs of the methods are done.');
    expect(stopped.stderr).toMatch(/Go on with: {2}npx mamba-prune compare .*--out parts/);

    const kill = { pattern: 'oneshot|dense', signal: 'SIGKILL' };
    const killed = await start(argv('parts'), kill);
    expect(killed.signal).toBe('SIGKILL');

    const { status, stdout } = await start([...argv('parts'), '--json']);
    expect(status).toBe(0);
    const { methods, tests, runs } = JSON.parse(stdout) as CompareResults;
    expect({ methods, tests, runs }).toEqual(outcome('whole'));
    expect(outcome('parts')).toEqual(outcome('whole'));
    // Some twenty processes; each takes seconds to start on a busy machine.
  }, 600_000);

  it('says how to get the picture where the package that draws it is not there', async () => {
    const pictures = ['svg', 'png'].map((type) => join(folder, 'whole', `accuracy-macs.${type}`));
    expect(pictures.every((path) => existsSync(path))).toBe(true);
    for (const path of pictures) rmSync(path);
    const before = outcome('whole');

    const { status, stdout, stderr } = await start(argv('whole'), undefined, [
      'without-report.mjs',
    ]);
    expect(status).toBe(0);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      'accuracy-macs.svg and .png were not written: the picture needs the package @mamba-prune/report, which is not ' +
        'installed (in a clone: not built). Run: npm install @mamba-prune/report (in a clone: npm run build). ' +
        'The same command again draws them.',
    );
    expect(stdout).toContain('results.md');
    expect(stdout).not.toContain('accuracy-macs');
    expect(outcome('whole')).toEqual(before);

    const again = await start(argv('whole'));
    expect(again.status).toBe(0);
    expect(again.stdout).toContain('accuracy-macs.svg and .png');
    expect(pictures.every((path) => existsSync(path))).toBe(true);
  });

  it('names the run that failed, and why', async () => {
    const model = join(folder, 'whole', 'seed-0', 'base', 'model.safetensors');
    const bytes = readFileSync(model);
    rmSync(join(folder, 'whole', 'seed-0', 'rsst-50'), { recursive: true });
    rmSync(model);
    writeFileSync(model, bytes.subarray(0, 600));
    const { status, stderr } = await start(argv('whole'));
    expect(status).toBe(1);
    expect(stderr).toMatch(/the run seed-0\/rsst-50 failed: .*base\/model\.safetensors/);
    expect(stderr).not.toContain('    at ');
  });

  it('ends with 2 for wrong usage', async () => {
    const { status, stderr } = await start([...argv('x'), '--rate', '0.5,1']);
    expect(status).toBe(2);
    expect(stderr).toContain('Expected shares above 0 and below 1');
    const missing = await start(['compare', '--out', 'x']);
    expect(missing.status).toBe(2);
    expect(missing.stderr).toContain('--dataset is missing');
  });
});
