// What commands say of a size of cached copies that cannot be.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCli } from './testing/run-cli.js';

let dir = '';

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'mp-cached-size-'));
  vi.stubEnv('XDG_CACHE_HOME', join(dir, 'cache'));
  for (const folder of ['train/a', 'train/b', 'val/a', 'val/b']) {
    mkdirSync(join(dir, folder), { recursive: true });
    const create = { width: 64, height: 48, channels: 3, background: '#345678' } as const;
    await sharp({ create })
      .jpeg()
      .toFile(join(dir, folder, 'x.jpg'));
  }
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true, force: true });
});

describe('a cached size below that of the images', () => {
  const images = () => ['--dataset', 'folder', '--data', dir];
  it('is a usage error that names the flag', async () => {
    const { status, stderr } = await runCli(
      ['train', ...images(), '--arch', 'resnet20', '--image-size', '32']
        .concat(['--cached-size', '31', '--preset', 'standard', '--epochs', '1'])
        .concat(['--out', join(dir, 'out')]),
    );
    expect(stderr).toContain('--cached-size: got 31, expected an integer from 32 to ');
    expect(stderr).toContain('Crops are cut out of the copies');
    expect(stderr).not.toContain('cachedSize');
    expect(status).toBe(2);
  });
});
