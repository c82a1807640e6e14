// --precision where the processor has no products in it: the oldest instruction set is asked for, which has none.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCli } from '../testing/run-cli.js';

let folder = '';
let file = '';

beforeAll(async () => {
  // Read when the addon first needs kernels, which is below.
  vi.stubEnv('MAMBA_PRUNE_ISA', 'baseline');
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-precision-'));
  file = join(folder, 'model.safetensors');
  const { createModel, saveModel } = await import('../../index.js');
  const sizes = { dModel: 8, depth: 1, imageSize: 8, patchSize: 4, channels: 1, numClasses: 2 };
  const info = { dataset: 'none', classes: ['a', 'b'], mean: [0], std: [1], history: [] };
  saveModel(file, createModel('mamba_nano', sizes), info);
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('--precision', () => {
  it.each(['bf16', 'int8'])(
    'refuses %s on a CPU without it, and says what is missing',
    async (name) => {
      const argv = [
        'bench',
        file,
        '--device',
        'cpu',
        '--batch',
        '1',
        '--runs',
        '1',
        '--min-time',
        '0',
      ];
      const { status, stderr } = await runCli([...argv, '--precision', name]);
      expect(stderr).toMatch(
        new RegExp(
          `precision: got ${name} on a CPU, but (MAMBA_PRUNE_ISA asks for the instruction set baseline|` +
            'there are kernels for it on x86-64 only)\\. Take fp32 \\(--precision fp32\\)\\.',
        ),
      );
      expect(status).toBe(2);
      const { status: plain, stdout } = await runCli([...argv, '--precision', 'fp32', '--json']);
      expect(plain).toBe(0);
      expect((JSON.parse(stdout) as { precision: string }).precision).toBe('fp32');
    },
  );

  it('has int8 for inference alone', async () => {
    const { status, stderr } = await runCli(['train', '--precision', 'int8', '--out', folder]);
    expect(status).toBe(2);
    expect(stderr).toMatch(
      /'--precision <name>' argument 'int8' is invalid. Expected auto, fp32 or bf16/,
    );
  });
});
