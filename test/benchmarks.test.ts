// The benchmarks run: each that needs neither Python nor a GPU in its smallest form. What they measure is no matter of a test.
import { spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ended } from './support/children.js';

const benchmarks = fileURLToPath(new URL('../benchmarks/', import.meta.url));

const run = (script: string, args: readonly string[]) =>
  ended(spawn(process.execPath, [join(benchmarks, script), ...args]));

/** The first cells of the rows of a table. */
const titles = (printed: string): string[] =>
  [...printed.matchAll(/^\| ([^|]*?) *\|/gm)].map(([, title = '']) => title).slice(2);

const quick = ['--arch', 'mamba_quick'];

describe('a benchmark', () => {
  it('of the regulariser times all that RSST may be', async () => {
    const { stdout, stderr } = await run('regularizer.mjs', [...quick, '--batch', '2', '--pairs', '1']); // prettier-ignore
    expect(stderr).toBe('');
    expect(titles(stdout)).toEqual([
      'l1, loss, all',
      'group, loss, all',
      'l1, proximal, doomed',
      'group, proximal, doomed',
    ]);
  }, 120_000);

  it('of a pruned model has it beside the dense one, and the products of both', async () => {
    const { stdout, stderr } = await run('pruned.mjs', [...quick, '--batches', '1', '--rounds', '1']); // prettier-ignore
    expect(stderr).toBe('');
    expect(titles(stdout)).toEqual([
      'dense, batch 1',
      'pruned, batch 1',
      'dense, products alone, batch 1',
      'pruned, products alone, batch 1',
    ]);
  }, 120_000);

  // One chunk and two, which begin otherwise. The script compares every form with our kernel.
  it.each([8, 16])(
    'of the scan in ONNX has forms that are right at length %i',
    async (length) => {
      const size = ['--length', String(length), '--channels', '8', '--states', '4'];
      const { status, stdout } = await run('onnx-scan.mjs', [...size, '--batches', '2', '--rounds', '1']); // prettier-ignore
      expect(status).toBe(0);
      expect(titles(stdout)).toHaveLength(12);
    },
    120_000,
  );

  it('of a GPU runs without one', async () => {
    const where = ['--device', 'cpu', '--precision', 'fp32', '--seconds', '0.01'];
    const what = ['--what', 'train', '--batch', '2', '--samples', '2', '--rate', '0.5'];
    const { stdout } = await run('gpu-measure.mjs', [...where, ...what, ...quick]);
    expect(JSON.parse(stdout)).toMatchObject({ what: 'train', batch: 2, rate: 0.5 });
  }, 120_000);
});

describe('the page of the benchmarks', () => {
  it('names every script and folder', () => {
    const page = readFileSync(join(benchmarks, 'README.md'), 'utf8');
    const missing = readdirSync(benchmarks, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() || entry.name.endsWith('.mjs'))
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : basename(entry.name)))
      .filter((name) => !page.includes(`\`${name}\``));
    expect(missing).toEqual([]);
  });
});
