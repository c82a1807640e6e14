// `mamba-prune-libtorch info`, as people and programs read it.
import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { transpiledLibtorch } from '../../../test/support/transpiled.js';
import { hasTurboJpeg } from './images/index.js';
import { type AddonInfo, addonInfo, addonLines } from './info.js';
import { productKernels, productsMissing } from './kernels/index.js';
import { addonFolder } from './load-addon.js';

const built = transpiledLibtorch();
const cli = join(built.src, '..', 'scripts', 'cli.mjs');
beforeAll(() => {
  // Where the command looks for the compiled package.
  symlinkSync(built.src, join(built.src, '..', 'dist'));
});
afterAll(() => {
  built.remove();
});

const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  spawnSync(process.execPath, ['--preserve-symlinks-main', cli, ...args], {
    encoding: 'utf8',
    env: { ...process.env, MAMBA_PRUNE_BUILD: addonFolder(), ...env },
  });

interface Printed {
  readonly libtorch: { readonly version: string };
  readonly addon: AddonInfo | null;
}

const printed = (env?: NodeJS.ProcessEnv): Printed => {
  const { stdout, stderr, status } = run(['info', '--json'], env);
  expect([status, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as Printed;
};

describe('the facts of the addon', () => {
  it('name the JPEG library, the instruction set, and the products in low precision', () => {
    const { libtorch, addon } = printed({ OMP_NUM_THREADS: '1' });
    expect(libtorch.version).toMatch(/^\d+\.\d+/);
    expect(addon).toEqual({ ...addonInfo(), threads: 1 });
    expect(addon?.instructionSet).toMatch(/^(baseline|avx2|avx512)$/);
    for (const precision of ['bf16', 'int8'] as const) {
      expect(addon?.products[precision] ?? '').toBe(productKernels(precision));
      expect(addon?.productsMissing[precision]).toBe(productsMissing(precision));
    }
    expect(addon?.turboJpeg !== null).toBe(hasTurboJpeg());
    const path = addon?.turboJpeg ?? '';
    if (hasTurboJpeg() && path.startsWith('/')) {
      expect(existsSync(path)).toBe(true);
      expect(realpathSync(path)).toContain('turbojpeg');
    }
  });

  it('are those of the instruction set that is asked for', () => {
    const { addon } = printed({ MAMBA_PRUNE_ISA: 'baseline' });
    expect(addon).toMatchObject({
      instructionSet: 'baseline',
      products: { bf16: null, int8: null },
    });
    const { status, stderr } = run(['info'], { MAMBA_PRUNE_ISA: 'mmx' });
    expect(status).toBe(1);
    expect(stderr).toMatch(/MAMBA_PRUNE_ISA: got "mmx", expected one of: baseline/);
  });

  it('are missing where the addon is not built, which builds nothing', () => {
    const folder = join(built.folder, 'none');
    expect(printed({ MAMBA_PRUNE_BUILD: folder }).addon).toBeNull();
    expect(existsSync(folder)).toBe(false);
    expect(run(['info'], { MAMBA_PRUNE_BUILD: folder }).stdout).toMatch(
      /^libtorch .*\nheaders .*\nlibrary .*\naddon {4}not built yet in .*none; its first use, or mamba-prune-libtorch build, builds it\n$/,
    );
  });

  it('are lines for people', () => {
    const facts = {
      threads: 2,
      instructionSet: 'avx512',
      products: { bf16: 'amx_bf16', int8: null },
      productsMissing: { int8: 'this processor has no AVX512_VNNI' },
      turboJpeg: '/lib/libturbojpeg.so.0',
    };
    expect(addonLines(facts).slice(1)).toEqual([
      'threads  2',
      'kernels  avx512',
      'bf16     amx_bf16',
      'int8     none: this processor has no AVX512_VNNI',
      'jpeg     /lib/libturbojpeg.so.0',
    ]);
    expect(addonLines({ ...facts, turboJpeg: null }).at(-1)).toMatch(
      /^jpeg {5}sharp: .*apt-get install libturbojpeg0/,
    );
  });

  it('are asked for with --json or nothing', () => {
    const { status, stderr, stdout } = run(['info', '--jsn']);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^mamba-prune-libtorch info: got '--jsn', expected --json or nothing\./);
  });
});
