// A VMamba on the command line: trained, cut by each method, evaluated, exported, on images of a few pixels.
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setNumThreads } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { side, writeTinyImages } from '../../workflows/testing/tiny.js';
import { runCli } from '../testing/run-cli.js';

setNumThreads(1);

let folder = '';
const at = (name: string): string => join(folder, name);
const training = (): string[] =>
  `--dataset folder --data ${at('images')} --epochs 1 --batch-size 4 --augment none --device cpu`.split(
    ' ',
  );

async function json(argv: readonly string[]): Promise<Record<string, unknown>> {
  const { status, stdout, stderr } = await runCli([...argv, '--json']);
  expect(status, stderr).toBe(0);
  return JSON.parse(stdout) as Record<string, unknown>;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-vmamba-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const sizes = ['--base-width', '8', '--blocks', '1,1', '--image-size', String(side)];
  await json(['train', '--arch', 'vmamba_nano', ...sizes, ...training(), '--out', at('dense')]);
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('a VMamba on the command line', () => {
  it.each([
    ['oneshot', ['--compensate', '--compensate-images', '10']],
    ['refill', ['--rounds', '2', '--fillback', '0.1']],
    ['rsst', []],
  ])('is cut by %s, and the file has the widths that are left', async (method, more) => {
    const out = at(method);
    const half = ['--method', method, '--rate', '0.5', ...more, ...training()];
    await json(['prune', at('dense'), ...half, '--out', out]);
    const dense = await json(['inspect', at('dense')]);
    const cut = await json(['inspect', out]);
    expect(cut['parameters']).toBeLessThan(0.8 * (dense['parameters'] as number));
    expect(cut['macs']).toBeLessThan(0.9 * (dense['macs'] as number));
  });

  it('is exported with each operator for its scans', async () => {
    for (const scanOp of ['scan', 'scan-adaptive', 'linear-attention']) {
      const out = at(`${scanOp}.onnx`);
      await json(['export', at('dense'), '--out', out, '--scan-op', scanOp]);
      expect(existsSync(out)).toBe(true);
    }
  });

  it('has a stem of stride 1, 2 or 4 and no other', async () => {
    const stem = ['train', '--arch', 'vmamba_nano', '--stem-stride', '3', ...training()];
    const { status, stderr } = await runCli([...stem, '--out', at('none')]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/got 3, expected 1, 2 or 4[^]*stemStride/);
    expect(existsSync(at('none'))).toBe(false);
  });
});
