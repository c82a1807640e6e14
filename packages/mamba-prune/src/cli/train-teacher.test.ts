import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { side, writeTinyImages } from '../workflows/testing/tiny.js';
import { runCli } from './testing/run-cli.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);
const small = ['--arch', 'mamba_nano', '--d-model', '8', '--depth', '1', '--d-state', '2'];
const data = (): string[] => [
  '--dataset',
  'folder',
  '--data',
  at('images'),
  '--image-size',
  String(side),
  '--epochs',
  '1',
  '--batch-size',
  '16',
];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-train-teacher-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  const trained = await runCli(['train', ...small, ...data(), '--out', at('dense')]);
  expect(trained.status, trained.stderr).toBe(0);
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('train --teacher', () => {
  it('takes a run, says who teaches, and goes on without being told again', async () => {
    const flags = ['--teacher', at('dense'), '--distill', '1', '--temperature', '2'];
    const argv = ['train', ...small, ...data(), ...flags, '--out', at('taught')];
    const { status, stderr } = await runCli(argv);
    expect(status, stderr).toBe(0);
    expect(stderr.replace(/\s+/g, ' ')).toContain(
      'model.safetensors, with a weight of 1 in the loss and a temperature of 2',
    );
    const again = await runCli([
      'train',
      '--resume',
      '--epochs',
      '2',
      '--out',
      at('taught'),
      '--json',
    ]);
    expect(again.status, again.stderr).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({
      settings: {
        distill: { teacher: at('dense', 'model.safetensors'), weight: 1, temperature: 2 },
      },
      epochs: 2,
    });
  });

  it('takes the teacher from where it lies now when a run goes on', async () => {
    copyFileSync(at('dense', 'model.safetensors'), at('first.safetensors'));
    const argv = [
      'train',
      ...small,
      ...data(),
      '--teacher',
      at('first.safetensors'),
      '--out',
      at('moved'),
    ];
    expect((await runCli(argv)).status).toBe(0);
    rmSync(at('first.safetensors'));
    const on = ['train', '--resume', '--epochs', '2', '--out', at('moved')];
    const lost = await runCli(on);
    expect(lost.status).toBe(2);
    expect(lost.stderr).toContain('say where it lies now (--teacher)');
    const found = await runCli([...on, '--teacher', at('dense')]);
    expect(found.status, found.stderr).toBe(0);
  });

  it.each([
    [['--distill', '0.5'], 'got --distill, which belongs to --teacher'],
    [['--temperature', '2'], 'got --temperature, which belongs to --teacher'],
    [['--teacher', 'nowhere'], 'nowhere does not exist, expected a file of weights'],
  ])('refuses %o', async (flags, message) => {
    const { status, stderr } = await runCli([
      'train',
      ...small,
      ...data(),
      ...flags,
      '--out',
      at('refused'),
    ]);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });

  it('refuses a teacher for a run that began without one', async () => {
    const argv = [
      'train',
      '--resume',
      '--epochs',
      '2',
      '--teacher',
      at('taught'),
      '--out',
      at('dense'),
    ];
    const { status, stderr } = await runCli(argv);
    expect(status).toBe(2);
    expect(stderr).toContain('got --teacher, but the run began without a teacher');
  });
});
