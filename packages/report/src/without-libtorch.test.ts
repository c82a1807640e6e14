// A page of curves and widths is made where the runs are looked at, which need not be where libtorch is.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildPage } from './testing/build-page.js';
import { type SmallRuns, makeSmallRuns } from './testing/small-runs.js';

const packageFolder = fileURLToPath(new URL('..', import.meta.url));
const main = join(packageFolder, '..', 'mamba-prune', 'dist', 'cli', 'main.js');

let small: SmallRuns;
beforeAll(async () => {
  const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'));
  spawnSync(process.execPath, [join(typescript, 'bin', 'tsc'), '-b', packageFolder]);
  buildPage();
  small = await makeSmallRuns();
}, 300_000);
afterAll(() => {
  small.remove();
});

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function report(runs: readonly string[], ...args: readonly string[]): Ended {
  const build = join(small.folder, 'build');
  const env = { ...process.env, LIBTORCH: '/nonexistent', MAMBA_PRUNE_BUILD: build };
  return spawnSync(process.execPath, [main, 'report', ...runs, ...args], {
    env,
    encoding: 'utf8',
  });
}

describe('mamba-prune report without libtorch', () => {
  it('shows runs whose sizes are written down, when no images are asked for', () => {
    const out = join(small.folder, 'page.html');
    // A dense run does not tell how large its model is: that is counted from a model of its shape.
    const pruned = ['oneshot', 'refill', 'rsst'].map((name) => join(small.runs, name));
    const { status, stderr } = report(pruned, '--images', '0', '--out', out);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(existsSync(out)).toBe(true);
  });

  it('says what it needs to show images to models', () => {
    const out = join(small.folder, 'images.html');
    const { status, stderr } = report([small.runs], '--images', '4', '--out', out);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^mamba-prune report: @mamba-prune\/libtorch: the addon is not built/);
    expect(stderr).toContain("LIBTORCH is '/nonexistent'");
    expect(existsSync(out)).toBe(false);
  });
});
