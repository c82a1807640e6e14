import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, saveSafetensors } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { runCli } from '../cli/testing/run-cli.js';
import { createModel } from '../models/registry.js';
import { checkClassNames } from './class-names.js';
import { side, writeTinyImages } from './testing/tiny.js';

let folder = '';
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mamba-prune-class-names-'));
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  manualSeed(2);
  const model = createModel('mamba_nano', { channels: 3, imageSize: side, numClasses: 2 });
  saveSafetensors(at('model.safetensors'), model.stateDict());
  model.dispose();
  writeFileSync(at('config.json'), JSON.stringify({ id2label: { 0: 'links', 1: 'rechts' } }));
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

describe('names of classes that a file beside a checkpoint has, and the images have others', () => {
  const common = () => [
    at('model.safetensors'),
    '--dataset',
    'folder',
    '--data',
    at('images'),
    '--scan',
    'uni',
  ];
  const commands: [string, () => string[]][] = [
    ['eval', () => []],
    ['sensitivity', () => ['--out', at('sensitivity.json')]],
    ['prune', () => ['--rate', '0.5', '--epochs', '0', '--out', at('run')]],
    ['export', () => ['--out', at('model.onnx')]],
  ];

  it.each(commands)('can be given to %s, which says so', async (command, more) => {
    const argv = [command, ...common(), '--threads', '1', ...more()];
    const { status, stderr } = await runCli(argv);
    expect(stderr).toContain(
      "the model does not fit folder: got class 0 'left', expected 'links'; class 1 'right', expected 'rechts'. If these are the " +
        'same classes in the same order with other names, give those of the data: --classes left,right. Otherwise use the ' +
        'data set that the model was trained on.',
    );
    expect(status).toBe(2);
  });

  it('are right once they were given', async () => {
    const argv = ['eval', ...common(), '--threads', '1', '--classes', 'left,right'];
    const { status, stderr } = await runCli(argv);
    expect(stderr).not.toContain('does not fit');
    expect(status).toBe(0);
  });
});

describe('checkClassNames', () => {
  const check =
    (own: readonly string[], known: readonly string[], takesClasses = true) =>
    () => {
      checkClassNames({ name: 'folder', classes: own }, known, takesClasses);
    };
  const numbered = (prefix: string) => Array.from({ length: 12 }, (_, i) => `${prefix}${i}`);

  it('shows the first names that differ, and says how many others do', () => {
    expect(check(numbered('a'), numbered('b'))).toThrow(
      "got class 0 'a0', expected 'b0'; class 1 'a1', expected 'b1'; class 2 'a2', expected 'b2'; and 9 more.",
    );
    expect(check(numbered('a'), numbered('b'))).toThrow('`classes`, which takes a file');
    expect(check(['a b', 'c'], ['a_b', 'd'])).toThrow('`classes`, which takes a file');
  });

  it('advises no other names where a file describes itself', () => {
    expect(check(['a', 'b'], ['c', 'd'], false)).toThrow(
      /'d'\. Use the data set that the model was trained on\.$/,
    );
  });

  it('knows the same classes in another order', () => {
    expect(check(['b', 'A'], ['a', 'b'])).toThrow(/'b'\. These are the same classes in another/);
    expect(check(['b', 'A'], ['a', 'b'])).not.toThrow('`classes`');
    expect(check(['sea lion', 'B'], ['sea_lion', 'b'])).not.toThrow('another order');
  });

  it('lets a model pass that has no names', () => {
    expect(check(['a', 'b'], [])).not.toThrow();
  });
});
