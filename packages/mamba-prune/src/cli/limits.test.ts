import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from './testing/run-cli.js';

let folder = '';
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'mamba-prune-limits-'))));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const commands = [
  'quickstart',
  'train',
  'prune',
  'imp',
  'eval',
  'predict',
  'inspect',
  'bench',
  'compare',
  'export',
  'push',
  'report',
  'studio',
];

/** What help shows in place of a number, or of a list of them. */
const numeric =
  /^ {2}(--[\w-]+) [<[](?:n|n,\.\.\.|n,n,\.\.\.|e,e,\.\.\.|x|x,\.\.\.|px|p|t|ms|sizes|rate|decay|alpha|epochs|steps|minutes)[>\]]/gm;

describe('a number beyond all sense', () => {
  it.each(commands)('is refused at once by every option of %s, with its range', async (command) => {
    const { stdout } = await runCli([command, '--help']);
    const hidden = ['inspect', 'export', 'push', 'studio'].includes(command)
      ? ['--threads', '--seed']
      : [];
    const flags = [...stdout.matchAll(numeric)].map(([, flag = '']) => flag);
    expect(flags.length + hidden.length).toBeGreaterThan(1);
    // Other options take the name of a norm.
    const norms = stdout.includes('--clip-grad ') ? ['--clip-grad'] : [];
    for (const flag of [...flags, ...norms, ...hidden]) {
      for (const value of ['1e17', '-1', 'NaN', '']) {
        const { status, stdout: out, stderr } = await runCli([command, `${flag}=${value}`]);
        expect(stderr).toMatch(/is invalid\. Expected .*(at most|below|from \S+ to) \d/s);
        expect(stderr).toContain(flag);
        expect(status).toBe(2);
        expect(out).toBe('');
      }
    }
  });

  it.each([
    ['--depth', '1000000'],
    ['--d-model', '1e9'],
    ['--d-state', '1e9'],
    ['--workers', '1000000'],
    ['--threads', '1000000'],
    ['--batch-size', '1e9'],
    ['--data-threads', '1000000'],
  ])('such as train %s %s starts nothing', async (flag, value) => {
    const out = join(folder, 'run');
    const words = ['train', '--dataset', 'fashion-mnist', '--out', out, flag, value];
    const { status, stderr } = await runCli(words);
    expect(stderr).toMatch(/Expected an integer from \d to \d+/);
    expect(status).toBe(2);
    expect(existsSync(out)).toBe(false);
  });

  it('is counted together with others, before the data are looked for', async () => {
    const sizes = ['--d-model', '65536', '--depth', '1000', '--dataset', 'cifar10'];
    for (const words of [
      ['train', ...sizes, '--data', '/nonexistent', '--out', join(folder, 'a')],
      ['compare', ...sizes, '--data', '/nonexistent', '--out', join(folder, 'b')],
      [
        'imp',
        '--arch',
        'mamba_small',
        '--mamba_structured',
        '--d_model',
        '65536',
        '--depth',
        '1000',
        '--data',
        '/nonexistent',
        '--save_dir',
        join(folder, 'c'),
      ],
    ]) {
      const { status, stderr } = await runCli(words);
      expect(stderr).toMatch(
        /got sizes that make a model of \S+ parameters, which would need [\d.]+ TiB, but this machine has/,
      );
      expect(status).toBe(2);
    }
    expect(['a', 'b', 'c'].some((name) => existsSync(join(folder, name)))).toBe(false);
  });
});
