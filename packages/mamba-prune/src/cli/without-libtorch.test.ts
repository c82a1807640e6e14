// The program where there is no addon and no libtorch to build one: what needs no tensors works, the rest says what to do.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { transpiledMambaPrune } from '../../../../test/support/transpiled.js';
import { packageVersion } from '../version.js';

const built = transpiledMambaPrune();
const folder = mkdtempSync(join(tmpdir(), 'without-libtorch-'));
mkdirSync(join(folder, 'empty'));
afterAll(() => {
  built.remove();
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(...argv: readonly string[]): Ended {
  const build = join(folder, 'build');
  const env = { ...process.env, LIBTORCH: '/nonexistent', MAMBA_PRUNE_BUILD: build };
  const args = [join(built.src, 'cli', 'main.js'), ...argv];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    env,
    cwd: folder,
    encoding: 'utf8',
  });
  expect(existsSync(build)).toBe(false);
  for (const text of [stdout, stderr]) expect(text).not.toMatch(/^ +at |node:internal/m);
  return { status, stdout, stderr };
}

describe('without libtorch', () => {
  it.each([
    [['--version'], `${packageVersion()}\n`],
    [['--help'], 'Usage: mamba-prune'],
    [['train', '--help'], 'Usage: mamba-prune train'],
    [['report', '--help'], 'Usage: mamba-prune report'],
    [['data', 'list'], 'fashion-mnist'],
  ])('%s works', (argv, printed) => {
    const { status, stdout, stderr } = run(...argv);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain(printed);
  });

  it.each([
    [['train', '--lr', 'fast'], "argument 'fast' is invalid"],
    [['train', '--arch', 'none'], "argument 'none' is invalid"],
    [['prune', 'nowhere', '--rate', '2', '--out', 'x'], "argument '2' is invalid"],
    [['inspect', 'nowhere'], 'nowhere does not exist'],
    [['eval', 'nowhere'], 'nowhere does not exist'],
    [['data', 'get', 'none'], "got data set 'none'"],
    [['report'], "missing required argument 'RUN'"],
  ])('%s is wrong usage as ever', (argv, message) => {
    const { status, stderr } = run(...argv);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });

  it('a command that computes says what to do, once, and for programs too', () => {
    const args = ['train', '--arch', 'mamba_nano', '--dataset', 'fashion-mnist', '--out', 'run'];
    const { status, stdout, stderr } = run(...args, '--json');
    expect(status).toBe(1);
    const said =
      /^mamba-prune train: @mamba-prune\/libtorch: the addon is not built, and could not be built now: /;
    expect(stderr).toMatch(said);
    expect(stderr).toContain('apt-get install libtorch-dev');
    expect(stderr).toContain('npx mamba-prune-libtorch build');
    const { error, exitStatus } = JSON.parse(stdout) as { error: string; exitStatus: number };
    expect(`mamba-prune train: ${error}\n`).toBe(stderr);
    expect(exitStatus).toBe(1);
    expect(existsSync(join(folder, 'run'))).toBe(false);
  });
});
