// The examples in Python compute what the models do; each is skipped where Python lacks what it needs.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Tensor,
  fromTypedArray,
  manualSeed,
  noGrad,
  ops,
  randint,
  randn,
  saveSafetensors,
} from '@mamba-prune/libtorch';
import { type ModelOptions, createModel, exportOnnx, pruneOneShot, saveModel } from 'mamba-prune';
import { createModelFromConfig } from 'mamba-prune/models';
import { preprocessingOf } from 'mamba-prune/preparation';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pythonWith, unlessPython as unless } from './support/python.js';

const example = (file: string): string =>
  fileURLToPath(new URL(`../examples/python/${file}`, import.meta.url));

const needs = {
  torch: 'torch',
  onnxruntime: 'onnxruntime, numpy, PIL',
  checker: 'onnx',
  pillow: 'numpy, PIL',
};
const torchPython = pythonWith(needs.torch);
const onnxPython = pythonWith(needs.onnxruntime);
const checkerPython = pythonWith(needs.checker);
const pillowPython = pythonWith(needs.pillow);

const folder = mkdtempSync(join(tmpdir(), 'python-example-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const info = {
  classes: ['ant', 'bee', 'cat', 'dog', 'eel'],
  mean: [0.5, 0.45, 0.4],
  std: [0.2, 0.25, 0.3],
  history: [],
};
const size = { numClasses: 5, imageSize: 16 };

/** A pruned model whose weights are none of the initial zeros and ones. */
async function pruned(arch: string, { form, ...options }: Case) {
  manualSeed(1);
  const plain = createModel(arch, { ...size, ...options });
  const dense = form ? createModelFromConfig({ ...plain.config, ...form }) : plain;
  noGrad(() => {
    for (const tensor of dense.parameters()) tensor.add_(randn(tensor.shape).mul(0.1));
    for (const [name, tensor] of dense.stateDict()) {
      if (name.endsWith('running_mean')) tensor.add_(randn(tensor.shape));
      if (name.endsWith('running_var')) ops.uniform_(tensor, 0.5, 2);
    }
  });
  const kinds = new Set(dense.pruningGroups().map(({ kind }) => kind));
  const rates = Object.fromEntries(Array.from(kinds, (kind) => [kind, 0.4]));
  const { model } = await pruneOneShot(dense, { rates, importance: 'l2', ranking: 'global' });
  model.eval();
  return model;
}

const perChannel = (values: readonly number[]): Tensor => {
  return fromTypedArray(Float32Array.from(values), [1, values.length, 1, 1]);
};

interface Case extends ModelOptions {
  /** What the configuration of a model from another program says too. */
  readonly form?: Readonly<Record<string, unknown>>;
}

const smallVit = { dModel: 24, heads: 3, depth: 2 };

const cases: readonly (readonly [string, Case])[] = [
  ['mamba_nano', { dModel: 16, depth: 2, dState: 4 }],
  ['mamba_nano', { dModel: 16, depth: 2, dState: 4, scan: 'bi' }],
  ['mamba_nano', { dModel: 16, depth: 6, dState: 4, scan: 'cross' }],
  ['vit_tiny', smallVit],
  ['vit_tiny', { ...smallVit, form: { distilled: true } }],
  ['vit_tiny', { ...smallVit, form: { registers: 2, eps: 0.5 } }],
  ['vit_tiny', { ...smallVit, form: { pooling: 'mean', headDims: { 'blocks.1.attn': 5 } } }],
  ['vit_tiny', { ...smallVit, form: { pooling: 'token-and-mean', registers: 2 } }],
  ['vit_tiny', { ...smallVit, form: { pooling: 'mean', poolsBeforeNorm: true } }],
  ['vit_tiny', { ...smallVit, form: { pooling: 'mean', classToken: false } }],
  ['resnet20', { baseWidth: 8, blocks: [1, 2] }],
  ['vim_nano', { dModel: 16, depth: 2 }],
  ['vim_tiny', { dModel: 16, depth: 2, imageSize: 32, patchSize: 8, stride: 4 }],
  ['vmamba_nano', { baseWidth: 8, blocks: [1, 2] }],
  ['vmamba_small', { baseWidth: 8, blocks: [1, 1], dState: 2 }],
  ['resnet50', { baseWidth: 8, blocks: [1, 1], stem: 'imagenet', imageSize: 32 }],
];

/** Runs load_model.py as one would on the command line, for all cases in one process: torch loads slowly. */
const runAll = `
import json, sys
sys.path.insert(0, sys.argv[1])
import load_model
for model, images in json.loads(sys.argv[2]):
    sys.argv = ["load_model.py", model, "--images", images]
    load_model.main()
`;

describe.skipIf(torchPython === undefined)('load_model.py', () => {
  const expected: number[][] = [];
  let printed: number[][] = [];

  beforeAll(async () => {
    const files: [string, string][] = [];
    for (const [index, [arch, options]] of cases.entries()) {
      const model = await pruned(arch, options);
      const paths = [`model-${index}`, `images-${index}`].map((name) =>
        join(folder, `${name}.safetensors`),
      ) as [string, string];
      files.push(paths);
      saveModel(paths[0], model, info);
      const { imageSize } = model.config;
      const images = randint(0, 256, [3, 3, imageSize, imageSize]);
      saveSafetensors(paths[1], new Map([['images', images]]), {});
      const normalised = images
        .to('float32')
        .div(255)
        .sub(perChannel(info.mean))
        .div(perChannel(info.std));
      expected.push(noGrad(() => model.forward(normalised)).toNumbers());
    }
    const output = execFileSync(
      torchPython ?? '',
      ['-c', runAll, dirname(example('load_model.py')), JSON.stringify(files)],
      { encoding: 'utf8', env: { ...process.env, OMP_NUM_THREADS: '1' } },
    );
    const lines = output.trimEnd().split('\n');
    printed = lines.map((line) => (JSON.parse(line) as number[][]).flat());
  });

  it.each(cases.map(([arch, options], index) => [arch, options, index] as const))(
    `gives the same logits for a pruned %s %j${unless(torchPython, needs.torch)}`,
    (_arch, _options, index) => {
      const [got = [], want = []] = [printed[index], expected[index]];
      expect(got.length).toBe(15);
      // Two correct programs round float32 sums differently, by some 1e-6 of the largest.
      const difference = Math.max(...got.map((value, i) => Math.abs(value - (want[i] ?? NaN))));
      expect(difference / Math.max(...want.map(Math.abs))).toBeLessThan(2e-5);
    },
  );

  it(`says how many classes a model has whose file names none${unless(torchPython, needs.torch)}`, async () => {
    const path = join(folder, 'nameless.safetensors');
    saveModel(path, await pruned('resnet20', { baseWidth: 8, blocks: [1, 1] }), {
      ...info,
      classes: [],
    });
    const printed = execFileSync(torchPython ?? '', [example('load_model.py'), path], {
      encoding: 'utf8',
    });
    expect(printed).toMatch(/^resnet20: [\d,]+ parameters, 16 px, 5 classes\n/);
  });
});

describe('a file that is not there', () => {
  const said = (python: string | undefined, file: string, ...args: readonly string[]) => {
    const { status, stderr } = spawnSync(python ?? '', [example(file), ...args], {
      encoding: 'utf8',
    });
    return { status, stderr };
  };

  it.skipIf(torchPython === undefined)(
    `is named in a sentence by load_model.py${unless(torchPython, needs.torch)}`,
    () => {
      const { status, stderr } = said(torchPython, 'load_model.py', join(folder, 'none'));
      expect(stderr).toMatch(/^usage: .*\nload_model\.py: error: .*No such file.*none'\n$/s);
      expect(stderr).not.toContain('Traceback');
      expect(status).toBe(2);
    },
  );

  it.skipIf(onnxPython === undefined)(
    `is named in a sentence by run_onnx.py${unless(onnxPython, needs.onnxruntime)}`,
    () => {
      const { status, stderr } = said(onnxPython, 'run_onnx.py', join(folder, 'none'), 'a.png');
      expect(stderr).toContain('none does not exist, expected a model and images');
      expect(stderr).not.toContain('Traceback');
      expect(status).toBe(2);
    },
  );
});

describe('an exported file', () => {
  it.skipIf(pillowPython === undefined)(
    `opens pictures in prepare.py as the model was given them${unless(pillowPython, needs.pillow)}`,
    async () => {
      const grey16 = join(folder, '16.pgm');
      writeFileSync(grey16, Buffer.from('P5 2 1 65535\n\x12\x34\xff\x00', 'latin1'));
      // A screen of 4 x 2 whose picture is the last two columns.
      const gif = await sharp({ create: { width: 2, height: 2, channels: 3, background: 'white' } })
        .gif()
        .toBuffer();
      const place = gif.indexOf(Buffer.from(',\0\0\0\0\x02\0\x02\0', 'latin1'));
      gif.writeUInt16LE(4, 6);
      gif.writeUInt16LE(2, place + 1);
      const small = join(folder, 'small.gif');
      writeFileSync(small, gif);
      const turned = join(folder, 'xmp.png');
      const xmp =
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' +
        '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>';
      await sharp({ create: { width: 3, height: 1, channels: 3, background: 'white' } })
        .png()
        .withXmp(xmp)
        .toFile(turned);
      const script =
        'import json, sys; sys.path.insert(0, sys.argv[1]); import prepare; ' +
        'print(json.dumps([[i.size, list(i.tobytes())] for i in (prepare.open_image(p, 1) for p in sys.argv[2:])])); ' +
        'print(json.dumps(prepare.preprocessing_of({"dataset": "mnist", "model": {"imageSize": 28}})))';
      const printed = execFileSync(
        pillowPython ?? '',
        ['-c', script, dirname(example('prepare.py')), grey16, small, turned],
        { encoding: 'utf8' },
      );
      const [pictures, preparation] = printed
        .trim()
        .split('\n')
        .map((line): unknown => JSON.parse(line));
      expect(pictures).toEqual([
        [
          [2, 1],
          [0x12, 0xff],
        ],
        [
          [4, 2],
          [0, 0, 255, 255, 0, 0, 255, 255],
        ],
        [
          [3, 1],
          [255, 255, 255],
        ],
      ]);
      expect(preparation).toEqual(preprocessingOf({ dataset: 'mnist' }, 28));
    },
  );

  it.skipIf(onnxPython === undefined)(
    `classifies images in run_onnx.py${unless(onnxPython, needs.onnxruntime)}`,
    async () => {
      const path = join(folder, 'model.onnx');
      await exportOnnx(path, await pruned('mamba_nano', { dModel: 16, depth: 2 }), info);
      const image = join(folder, 'image.png');
      await sharp({ create: { width: 20, height: 30, channels: 3, background: 'teal' } })
        .png()
        .toFile(image);
      const printed = execFileSync(onnxPython ?? '', [example('run_onnx.py'), path, image], {
        encoding: 'utf8',
      });
      expect(printed).toMatch(/image\.png: (ant|bee|cat|dog|eel) \d+\.\d%\n$/);
    },
  );

  it.skipIf(onnxPython === undefined)(
    `classifies in run_onnx.py where classes have no names${unless(onnxPython, needs.onnxruntime)}`,
    async () => {
      const path = join(folder, 'nameless.onnx');
      const model = await pruned('resnet20', { baseWidth: 8, blocks: [1, 1] });
      await exportOnnx(path, model, { ...info, classes: [] });
      const image = join(folder, 'plain.png');
      await sharp({ create: { width: 20, height: 30, channels: 3, background: 'teal' } })
        .png()
        .toFile(image);
      const printed = execFileSync(onnxPython ?? '', [example('run_onnx.py'), path, image], {
        encoding: 'utf8',
      });
      expect(printed).toMatch(/plain\.png: class [0-4] \d+\.\d%\n$/);
    },
  );

  it.skipIf(checkerPython === undefined)(
    `passes the checker of ONNX${unless(checkerPython, needs.checker)}`,
    async () => {
      const script =
        'import onnx, sys\nfor path in sys.argv[1:]: onnx.checker.check_model(path, full_check=True)';
      const mamba = await pruned('mamba_nano', { dModel: 16, depth: 1, scan: 'bi' });
      const resnet = await pruned('resnet20', { baseWidth: 8, blocks: [1, 1] });
      const vit = await pruned('vit_tiny', { dModel: 24, heads: 3, depth: 1 });
      const grey = await pruned('mamba_nano', { dModel: 16, depth: 1, channels: 1 });
      const files: string[] = [];
      for (const [model, options] of [
        [mamba, {}],
        [mamba, { dtype: 'float16', input: 'float32' }],
        [resnet, { quantize: 'int8' }],
        [vit, { input: 'pixel-values' }],
        [grey, { input: 'pixel-values', dtype: 'float16' }],
        [vit, { quantize: 'int8-dynamic' }],
      ] as const) {
        files.push(join(folder, `checked-${files.length}.onnx`));
        const { channels } = model.config;
        const own = {
          ...info,
          mean: info.mean.slice(0, channels),
          std: info.std.slice(0, channels),
        };
        await exportOnnx(files.at(-1) ?? '', model, own, options);
      }
      execFileSync(checkerPython ?? '', ['-c', script, ...files], { stdio: 'pipe' });
    },
  );
});
