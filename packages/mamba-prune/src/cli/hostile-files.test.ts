// Every command that reads a file, given one that nobody should trust.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Tensor, saveSafetensors } from '@mamba-prune/libtorch';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildOnnxModel } from '../export/build-model.js';
import { encodeModel } from '../onnx/proto.js';
import { type ModelInfo, modelMetadata, saveModel } from '../models/model-file.js';
import { createModel } from '../models/registry.js';
import { type Outcome, runCli } from './testing/run-cli.js';

const folder = mkdtempSync(join(tmpdir(), 'mp-hostile-'));
const at = (name: string): string => join(folder, name);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const escape = '\u001b]0;owned\u0007\u001b[31m\u009b2J';
const info: ModelInfo = {
  dataset: `set${escape}`,
  classes: [`dark${escape}`, 'light\n\nmamba-prune: all is well'],
  mean: [0.5],
  std: [0.5],
  history: [],
};
const sizes = { depth: 1, dModel: 8, dState: 2, imageSize: 8, channels: 1, numClasses: 2 };

function writeModel(name: string, change: (tensors: Map<string, Tensor>, model: object) => string) {
  const model = createModel('mamba_nano', sizes);
  const tensors = model.stateDict();
  const metadata = JSON.parse(modelMetadata(model, { ...info, dataset: 'folder' })) as {
    model: object;
  };
  const changes = JSON.parse(change(tensors, metadata.model)) as object;
  const text = JSON.stringify({
    ...metadata,
    model: { ...metadata.model, ...changes },
  });
  saveSafetensors(at(name), tensors, { mamba_prune: text });
  model.dispose();
}

/** Two files of a model of whole weights, with which the first layer is beyond float32 for every image. */
function writeOverflowing(name: string): void {
  const coloured = createModel('mamba_nano', { ...sizes, channels: 3 });
  const patches = coloured.stateDict().get('patch_embed.weight');
  patches?.setValues(new Float32Array(patches.numel).fill(3e38));
  const classes = ['dark', 'light'];
  const [mean, std] = [
    [0.5, 0.5, 0.5],
    [0.5, 0.5, 0.5],
  ];
  const three = { dataset: 'folder', classes, mean, std, history: [] };
  saveModel(at(`${name}.safetensors`), coloured, three);
  writeFileSync(at(`${name}.onnx`), encodeModel(buildOnnxModel(coloured, three)));
  coloured.dispose();
}

beforeAll(async () => {
  const model = createModel('mamba_nano', sizes);
  saveModel(at('escapes.safetensors'), model, info);
  writeModel('nan.safetensors', (tensors) => {
    tensors.get('head.bias')?.setValues(new Float32Array(2).fill(NaN));
    return '{}';
  });
  writeModel('huge.safetensors', () => '{"imageSize":1048576}');
  writeOverflowing('overflow');
  model.stateDict().get('head.bias')?.setValues(new Float32Array(2).fill(NaN));
  writeFileSync(at('nan.onnx'), encodeModel(buildOnnxModel(model, { ...info, dataset: 'folder' })));
  model.dispose();
  execFileSync('mkfifo', [at('pipe'), at('pipe.safetensors'), at('pipe.onnx'), at('pipe.png')]);
  symlinkSync('/dev/zero', at('device.safetensors'));
  for (const part of ['train', 'val']) {
    for (const label of ['dark', 'light']) {
      mkdirSync(join(folder, 'images', part, label), { recursive: true });
      const image = sharp({
        create: {
          width: 8,
          height: 8,
          channels: 3,
          background: label === 'dark' ? '#000' : '#fff',
        },
      });
      await image.png().toFile(join(folder, 'images', part, label, '1.png'));
    }
  }
  mkdirSync(at('run'));
  execFileSync('mkfifo', [join(at('run'), 'model.safetensors')]);
  mkdirSync(at('pipes/a'), { recursive: true });
  execFileSync('mkfifo', [
    join(at('pipes/a'), 'config.json'),
    join(at('pipes/a'), 'metrics.jsonl'),
  ]);
});

const image = (): string => join(folder, 'images', 'val', 'dark', '1.png');
const data = (): string[] => ['--dataset', 'folder', '--data', at('images'), '--image-size', '8'];
const out = (): string => at(`out-${Math.random().toString(36).slice(2)}`);

/** Commands by what they do with a model. */
const commands: [string, (model: string) => string[]][] = [
  ['predict', (model) => ['predict', model, image()]],
  ['eval', (model) => ['eval', model, '--dataset', 'folder', '--data', at('images')]],
  ['prune', (model) => ['prune', model, '--rate', '0.5', '--out', out()]],
  ['export', (model) => ['export', model, '--out', `${out()}.onnx`]],
  ['bench', (model) => ['bench', model]],
  [
    'train --from',
    (model) => ['train', ...data(), '--epochs', '1', '--from', model, '--out', out()],
  ],
];

/** What every refusal is like: one message, no trace, nothing that a terminal obeys. */
function expectRefusal({ status, stdout, stderr }: Outcome, ...parts: string[]): void {
  expect([1, 2]).toContain(status);
  for (const part of parts) expect(stderr).toContain(part);
  expect(stderr).not.toMatch(/^ {4}at /m);
  // eslint-disable-next-line no-control-regex -- these are what must not be there
  expect(stdout + stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
}

describe.each(commands)('%s', (_, command) => {
  it('refuses weights that are NaN, and names the tensor', async () => {
    const outcome = await runCli(command(at('nan.safetensors')));
    expectRefusal(outcome, at('nan.safetensors'), 'head.bias (2 of 2 values)');
    expect(outcome.status).toBe(1);
  });

  it('refuses sizes that the tensors do not have', async () => {
    const outcome = await runCli(command(at('huge.safetensors')));
    expectRefusal(outcome, at('huge.safetensors'), 'pos_embed is [1, 4, 8], expected [1,');
    expect(outcome.status).toBe(1);
  });

  it.each(['pipe.safetensors', 'device.safetensors', 'run'])(
    'does not wait for %s',
    async (name) => {
      expectRefusal(await runCli(command(at(name))), at(name), 'expected');
    },
  );
});

describe('inspect', () => {
  it('shows a model whose weights are NaN, and says so', async () => {
    const { status, stdout, stderr } = await runCli(['inspect', at('nan.safetensors')]);
    expect(status).toBe(0);
    expect(stdout).toContain('mamba_nano');
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain('NaN or infinite: head.bias (2 of 2 values)');
    const json = await runCli(['inspect', at('nan.safetensors'), '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      notFinite: [{ name: 'head.bias', count: 2, values: 2 }],
    });
  });

  it('shows control characters of a file, and sends none, with colours and without', async () => {
    for (const env of [{}, { FORCE_COLOR: '1' }]) {
      const shown = await runCli(['inspect', at('escapes.safetensors')], { env });
      expect(shown.stdout).toContain(String.raw`set\u001b]0;owned\u0007\u001b[31m\u009b2J`);
      const told = await runCli(['predict', at('escapes.safetensors'), image()], { env });
      expect(told.stdout).toContain(String.raw`dark\u001b]0;owned`);
      expect(told.stdout).toContain(String.raw`light\n\nmamba-prune`);
      for (const { status, stdout, stderr } of [shown, told]) {
        expect(status).toBe(0);
        for (const raw of ['\u001b]', '\u001b[31m', '\u009b', '\u0007']) {
          expect(stdout + stderr).not.toContain(raw);
        }
      }
    }
    const json = await runCli(['predict', at('escapes.safetensors'), image(), '--json']);
    expect(json.stdout).not.toContain('\u009b');
    expect(json.stdout).toContain(String.raw`\u009b`);
    expect(JSON.stringify(JSON.parse(json.stdout))).toContain(JSON.stringify(info.classes[0]));
  });
});

describe('a model that gives NaN with whole weights', () => {
  it.each(['overflow.safetensors', 'overflow.onnx'])(
    '%s: no image gets an answer',
    async (name) => {
      const predicted = await runCli(['predict', at(name), image(), '--json']);
      expectRefusal(predicted, image(), 'gives probabilities that are NaN, expected numbers');
      expect(predicted.status).toBe(1);
      expect(Object.keys(JSON.parse(predicted.stdout) as object)).toEqual(['error', 'exitStatus']);
      const measured = await runCli([
        'eval',
        at(name),
        '--dataset',
        'folder',
        '--data',
        at('images'),
        '--json',
      ]);
      expectRefusal(measured, at(name), 'got a loss of NaN on the test images of');
      expect(measured.status).toBe(1);
      expect(Object.keys(JSON.parse(measured.stdout) as object)).toEqual(['error', 'exitStatus']);
    },
  );

  it('is not exported, and the export says why', async () => {
    const to = at('overflow-exported.onnx');
    const outcome = await runCli(['export', at('overflow.safetensors'), '--out', to]);
    expectRefusal(outcome, 'the model itself gives logits that are NaN or infinite');
    expect(outcome.status).toBe(1);
    expect(existsSync(to)).toBe(false);
  });
});

describe('other files', () => {
  it('ONNX: NaN and a named pipe are refused', async () => {
    for (const command of [
      ['predict', at('nan.onnx'), image()],
      ['eval', at('nan.onnx'), '--dataset', 'folder', '--data', at('images')],
    ]) {
      expectRefusal(await runCli(command), at('nan.onnx'), '(2 of 2 values)');
    }
    expectRefusal(await runCli(['predict', at('pipe.onnx'), image()]), 'got a named pipe');
  });

  it('images: a named pipe is refused, alone and in a data set', async () => {
    expectRefusal(
      await runCli(['predict', at('escapes.safetensors'), at('pipe.png')]),
      at('pipe.png'),
    );
    const pipe = join(folder, 'images', 'val', 'dark', 'pipe.png');
    execFileSync('mkfifo', [pipe]);
    expectRefusal(await runCli(['data', 'verify', 'folder', '--data', at('images')]));
    const train = ['train', ...data(), '--arch', 'mamba_nano', '--epochs', '1', '--out', out()];
    expectRefusal(await runCli(train), pipe, 'no regular file');
    rmSync(pipe);
  });

  it('runs: named pipes are refused by report and --resume', async () => {
    expectRefusal(await runCli(['report', at('pipes')]), 'is damaged');
    expectRefusal(await runCli(['train', '--resume', '--out', at('pipes/a')]), 'config.json');
    expectRefusal(await runCli(['prune', '--resume', '--out', at('pipes/a')]), 'config.json');
  });

  it('names of files and their content in errors are shown as escapes', async () => {
    const name = at(`a${escape}.safetensors`);
    writeFileSync(name, `{"${escape}`);
    expectRefusal(await runCli(['inspect', name]), String.raw`a\u001b]0;owned`);
    expectRefusal(await runCli(['inspect', `${name}.not`]), String.raw`a\u001b]0;owned`);
  });
});
