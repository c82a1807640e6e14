// Flags for what no tensor of another program's file tells, as a person types them after the message that asks for them.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, saveSafetensors } from '@mamba-prune/libtorch';
import { afterAll, describe, expect, it } from 'vitest';
import { createModel } from '../models/registry.js';
import { asHuggingFace } from '../models/testing/other-names.js';
import { runCli } from './testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'reading-flags-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('inspect', () => {
  it('takes --shortcut-padding where shortcuts have no parameters, and asks for it', async () => {
    manualSeed(1);
    const sizes = ['--arch', 'resnet20', '--blocks', '1,1,1', '--base-width', '4'];
    const model = createModel('resnet20', { blocks: [1, 1, 1], baseWidth: 4 });
    const tensors = model.stateDict();
    for (const name of [...tensors.keys()]) if (name.includes('downsample')) tensors.delete(name);
    const path = join(folder, 'option-a.safetensors');
    saveSafetensors(path, tensors, {});
    const asked = await runCli(['inspect', path, ...sizes]);
    expect(asked.status).toBe(2);
    expect(asked.stderr).toContain("Say which with --shortcut-padding: 'both' or 'end'.");
    const { status, stderr } = await runCli([
      'inspect',
      path,
      ...sizes,
      '--shortcut-padding',
      'end',
    ]);
    expect(status).toBe(0);
    expect(stderr.replace(/\s+/g, ' ')).toContain('with the channels of zeros at the end');
  });

  it('names --eps where it is assumed, and takes it', async () => {
    manualSeed(1);
    const sizes = { dModel: 24, heads: 3, depth: 1, imageSize: 16, patchSize: 8 };
    const flags = ['--arch', 'vit_tiny', '--d-model', '24', '--depth', '1', '--heads', '3'];
    const path = join(folder, 'vit.safetensors');
    const tensors = asHuggingFace(createModel('vit_tiny', sizes).stateDict(), 'vit.', 5);
    saveSafetensors(path, tensors, {});
    const assumed = await runCli(['inspect', path, ...flags]);
    expect(assumed.stderr.replace(/\s+/g, ' ')).toContain('Assumed: --eps 1e-12');
    const said = await runCli(['inspect', path, ...flags, '--eps', '1e-5']);
    expect(said.status).toBe(0);
    expect(said.stderr).not.toContain('1e-12');
  });

  it('has in its help how images of each family are resized where nobody says it', async () => {
    const { stdout } = await runCli(['inspect', '--help']);
    const help = /--interpolation.*?\(default: ([^)]*)\)/s.exec(stdout)?.[1]?.replace(/\s+/g, ' ');
    expect(help).toBe('bilinear; Vim and VMamba bicubic');
    const path = join(import.meta.dirname, '../models/vmamba/fixtures/checkpoint.pth');
    const { stderr } = await runCli(['inspect', path, '--image-size', '64']);
    expect(stderr).toContain('--interpolation bicubic');
  });

  it('names one range of --eps for every value that is outside of it', async () => {
    const path = join(folder, 'none.safetensors');
    for (const value of ['-1', '0', '1.5', 'nan']) {
      const { status, stderr } = await runCli(['inspect', path, '--eps', value]);
      expect(status).toBe(2);
      expect(stderr).toContain(`'${value}' is invalid. Expected a number above 0 and at most 1.`);
    }
  });
});
