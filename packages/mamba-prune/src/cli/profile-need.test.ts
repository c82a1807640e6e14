// What `bench --profile` refuses before it measures, on a machine of 1 MiB.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { saveModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { runCli } from './testing/run-cli.js';

const memory = vi.hoisted(() => ({ bytes: 2 ** 33 }));
vi.mock('node:os', async (original) => ({
  ...(await original<typeof import('node:os')>()),
  totalmem: () => memory.bytes,
}));

let folder = '';
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'mamba-prune-profile-need-'))));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('bench --profile', () => {
  it('refuses a training step that cannot fit, though an inference does', async () => {
    const sizes = { dModel: 16, depth: 2, dState: 4, numClasses: 3, imageSize: 8, patchSize: 1 };
    const model = createModel('mamba_nano', { ...sizes, channels: 1 });
    const path = join(folder, 'model.safetensors');
    saveModel(path, model, { classes: ['a', 'b', 'c'], mean: [0], std: [1], history: [] });
    model.dispose();
    memory.bytes = 2 ** 20;
    // 50 KiB of images, and 3.2 MiB that the blocks keep of them in a training step.
    const bench = ['bench', path, '--batch', '1,200', '--runs', '1', '--min-time', '0'];
    expect((await runCli(bench)).status).toBe(0);
    const { status, stdout, stderr } = await runCli([...bench, '--profile']);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      'bench: got 200 images per training step for mamba_nano, which would need 0.0032 GiB',
    );
  });
});
