// What no tensor of a file tells is said to commands that train by the flags that all others have.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { manualSeed, saveSafetensors } from '@mamba-prune/libtorch';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ImageModel } from '../models/image-model.js';
import { loadModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { RunFolder } from '../training/run-folder.js';
import { side, writeTinyImages } from '../workflows/testing/tiny.js';
import { runCli } from './testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-train-reading-'));
const at = (...path: string[]): string => join(folder, ...path);
const words = (text: string): string[] => text.split(' ');
const flat = (text: string): string => text.replaceAll(/\s+/g, ' ');
const data = (): string[] => ['--dataset', 'folder', '--data', at('images')];
const short = words(`--epochs 1 --batch-size 16 --image-size ${side}`);
const train = (file: string, out: string, flags: readonly string[]) =>
  runCli(['train', '--from', at(file), ...data(), ...short, ...flags, '--out', at(out)]);

function write(file: string, model: ImageModel, without = /^$/): void {
  const tensors = [...model.stateDict()].filter(([name]) => !without.test(name));
  saveSafetensors(at(file), new Map(tensors), {});
  model.dispose();
}

beforeAll(async () => {
  vi.stubEnv('XDG_CACHE_HOME', at('cache'));
  await writeTinyImages(at('images'));
  manualSeed(1);
  const sizes = { dModel: 12, depth: 1, heads: 3, imageSize: side, patchSize: 4, numClasses: 2 };
  write('vit.safetensors', createModel('vit_tiny', sizes));
  const resnet = { blocks: [1, 1, 1], baseWidth: 4, numClasses: 2, imageSize: side };
  write('option-a.safetensors', createModel('resnet20', resnet), /downsample/);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const flagsIn = (help: string): string[] =>
  Array.from(help.matchAll(/^ {2}(--[\w-]+)/gm), ([, flag = '']) => flag);

describe('train --from', () => {
  it('has every flag that prune has for a file of another program, but for the pixels, which are those of the data', async () => {
    const [, about = ''] = (await runCli(['prune', '--help'])).stdout.split(
      'Files of other programs, where they do not say it themselves:\n',
    );
    const expected = flagsIn(about.split('\n\n')[0] ?? '').filter(
      (flag) => !['--mean', '--std'].includes(flag),
    );
    expect(expected).toEqual(expect.arrayContaining(['--pooling', '--head-dim', '--classes']));
    expect(flagsIn((await runCli(['train', '--help'])).stdout)).toEqual(
      expect.arrayContaining(expected),
    );
    const imp = (await runCli(['imp', '--help'])).stdout;
    // Shapes tell the stem, and imp prepares images as the dense model had them.
    const inScript = expected.filter((flag) => !/--(stem|interpolation|crop-share)$/.test(flag));
    expect(flagsIn(imp).map((flag) => flag.replaceAll('_', '-'))).toEqual(
      expect.arrayContaining(inScript),
    );
  });

  it('takes pooling, width of the heads and eps, and goes on without being told again', async () => {
    const said = words('--pooling mean --head-dim 6 --eps 1e-5');
    const { status, stderr } = await train('vit.safetensors', 'pooled', said);
    expect(status, stderr).toBe(0);
    const own = { pooling: 'mean', headDim: 6, eps: 1e-5 };
    expect(RunFolder.open(at('pooled')).config['settings']).toMatchObject({ import: own });
    const { model } = loadModel(at('pooled', 'model.safetensors'));
    expect(model.config).toMatchObject(own);
    model.dispose();
    const again = await runCli(['train', '--resume', '--epochs', '2', '--out', at('pooled')]);
    expect(again.status, again.stderr).toBe(0);
  });

  it('takes the shortcuts without parameters of a ResNet, which it asks for', async () => {
    const asked = await train('option-a.safetensors', 'padded', []);
    expect(asked.status).toBe(2);
    expect(asked.stderr).toContain("Say which with --shortcut-padding: 'both' or 'end'.");
    expect(asked.stderr).not.toContain('export');
    const { status, stderr } = await train('option-a.safetensors', 'padded', [
      '--shortcut-padding',
      'end',
    ]);
    expect(status, stderr).toBe(0);
  });

  it('takes the size of the images of the data where the positions of a Vim may be for two', async () => {
    const vim = { dModel: 16, depth: 1, dState: 2, imageSize: side, patchSize: 4, stride: 2 };
    write('vim.safetensors', createModel('vim_tiny', { ...vim, numClasses: 2 }));
    const said = words('--arch vim_tiny --d-model 16 --depth 1 --d-state 2');
    const { status, stderr } = await train('vim.safetensors', 'vim', said);
    expect(status, stderr).toBe(0);
    const { model } = loadModel(at('vim', 'model.safetensors'));
    expect(model.config).toMatchObject({ imageSize: side, stride: 2 });
    model.dispose();
  });

  it('takes the names of the classes, and puts the rows of the classifier into the order of the data', async () => {
    const heads = ['--heads', '3'];
    for (const [names, moved] of [
      ['right,left', true],
      ['left,right', false],
    ] as const) {
      const out = `ordered-${names}`;
      const { status, stderr } = await train('vit.safetensors', out, [
        ...heads,
        '--classes',
        names,
      ]);
      expect(status, stderr).toBe(0);
      expect(flat(stderr).includes('the rows of the classifier were put into that')).toBe(moved);
    }
    const wrong = await train('vit.safetensors', 'never', [...heads, '--classes', 'a,b,c']);
    expect(wrong.stderr).toContain('got 3 values for --classes (a, b, c), expected 2');
    expect(wrong.status).toBe(2);
  });

  it.each([
    [['--pooling', 'mean'], "--pooling: got 'mean', but there is no --from. Leave it out."],
    [['--classes', 'a,b'], "--classes: got 'a,b', but there is no --from. Leave it out."],
    [
      ['--resample-positions'],
      '--resample-positions: there is no --from, of which it could be. Leave it out.',
    ],
    [['--mean', '0,0,0'], "unknown option '--mean': a training shows the model images that are"],
  ])('is what %o belong to', async (flags, message) => {
    const { status, stderr } = await runCli(['train', ...data(), ...flags, '--out', at('never')]);
    expect(stderr).toContain(message);
    expect(status).toBe(2);
  });
});

describe('imp', () => {
  it.each(['--pretrained', '--init'])('takes pooling and width of the heads of %s', async (of) => {
    const said = words('--d_model 12 --depth 1 --pooling mean --head_dim 6');
    const cut = words('--pruning_times 1 --rate 0.4 --epochs 1 --warmup 0 --batch_size 16');
    const { status, stderr } = await runCli([
      ...words('imp --arch vit_tiny --vit_structured'),
      of,
      at('vit.safetensors'),
      ...said,
      ...cut,
      ...data(),
      ...words(`--image_size ${side} --save_dir`),
      at(`imp${of}`),
    ]);
    expect(status, stderr).toBe(0);
    const { model } = loadModel(at(`imp${of}`, 'model.safetensors'));
    expect(model.config).toMatchObject({ pooling: 'mean', headDim: 6 });
    model.dispose();
  });

  it('refuses them without a file', async () => {
    const { status, stderr } = await runCli(words('imp --exp_name never --head_dim 6'));
    expect(stderr).toContain("got --head_dim '6' without --pretrained or --init");
    expect(status).toBe(2);
  });
});
