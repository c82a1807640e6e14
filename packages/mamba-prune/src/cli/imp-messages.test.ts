// What imp says while it works, and of a run that is gone on with by other flags.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { writeTinyImages } from '../workflows/testing/tiny.js';
import { budgetWords } from './budget-table.js';
import { runCli } from './testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-imp-messages-'));
const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const model = ['--arch', 'mamba_nano', '--d_model', '8', '--depth', '1', '--d_state', '2'];
const imp = (...more: string[]) =>
  runCli(
    ['imp', ...model, '--mamba_structured', '--dataset', 'folder', '--data', at('images')]
      .concat(['--image_size', '8', '--epochs', '1', '--batch_size', '4', '--warmup', '0'])
      .concat(['--pruning_times', '1', '--save_dir', at('run')], more),
  );
const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');

describe('imp', () => {
  it('says to which budget it cuts, and not that nothing goes', async () => {
    const { status, stderr } = await imp('--target_macs', '0.6x', '--target_params', '0.9x');
    expect(status, stderr).toBe(0);
    expect(flat(stderr)).toContain('refill: to MACs per image 0.6x, parameters 0.9x in 1 round');
    expect(stderr).not.toContain('0% of');
  });

  it('says of a cut that came back as a whole that it did', async () => {
    const all = await imp('--rate', '0.5', '--fillback_rate', '1', '--exp_name', 'back');
    expect(all.status, all.stderr).toBe(0);
    expect(flat(all.stderr)).toContain(
      'Nothing was removed: all units that were cut came back. Give back a smaller share.',
    );
  });

  it('names the one setting that is not that of the run, and what to do', async () => {
    const { status, stderr } = await imp('--target_macs', '0.6x', '--lr', '0.02', '--resume');
    expect(status).toBe(2);
    expect(flat(stderr)).toContain(
      'the dense training is not the one that the run began with: --lr: got 0.02, expected 0.01. ' +
        'Give what the run began with, or start a new run.',
    );
  });
});

describe('the words for a budget', () => {
  it('have every amount in the order of the table', () => {
    expect(budgetWords({ latency: { ms: 2, batch: 4 }, params: '0.4x', macs: 3e6 })).toBe(
      'MACs per image 3.00 M, parameters 0.4x, latency 2.00 ms',
    );
  });
});
