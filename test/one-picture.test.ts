// One picture, one answer: whatever way a file takes to a model, the model sees the same pixels.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { manualSeed, noGrad, randn } from '@mamba-prune/libtorch';
import {
  type ImageModel,
  type ModelInfo,
  type Prediction,
  createModel,
  exportOnnx,
  predictImages,
  saveModel,
} from 'mamba-prune';
import { evaluate } from 'mamba-prune/training';
import { BatchLoader, readImage } from 'mamba-prune/data';
import { OnnxModel } from 'mamba-prune/onnx';
import { predictImagesOnnx } from 'mamba-prune/workflows';
import { openDataFor, withModelInfo } from 'mamba-prune/internal';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noBrowser, openBrowser } from '../packages/report/src/testing/browser.js';
import { pagePixels } from '../packages/report/src/testing/page-pixels.js';
import { pythonWith, unlessPython } from './support/python.js';

const example = dirname(
  fileURLToPath(new URL('../examples/python/load_model.py', import.meta.url)),
);
const python = pythonWith('torch, numpy, PIL');
const noPython = unlessPython(python, 'torch, numpy and Pillow');
const withoutPage = noBrowser === undefined ? '' : ` (skipped: ${noBrowser})`;

const folder = mkdtempSync(join(tmpdir(), 'one-picture-'));
const at = (...parts: string[]): string => join(folder, ...parts);
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const [width, height, side] = [3000, 2000, 48];
const names = ['photo.jpg', 'turned.jpg', 'photo.png', 'progressive.jpg', 'grey.jpg'];
const labels = ['a', 'b', 'c', 'd', 'e'];
/** Not the defaults, so that whoever does not read the record is found out. */
const preprocessing = { interpolation: 'bicubic', cropShare: 0.9 } as const;
const input = { channels: 3, height: side, width: side, preprocessing } as const;

let model: ImageModel;
let info: ModelInfo;
/** Log-probabilities of each picture by `predict`. */
let expected: number[][] = [];

/** Slopes, edges, fine stripes and noise, and no symmetry. */
function photo(): Buffer {
  const data = Buffer.alloc(3 * width * height);
  let noise = 1;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      noise = (Math.imul(noise, 1103515245) + 12345) & 0x7fffffff;
      const grain = (noise >> 16) % 24;
      const edge = (x - 900) ** 2 + (y - 700) ** 2 < 400_000 ? 90 : 0;
      data[i++] = Math.min(255, (x * 160) / width + grain + edge);
      data[i++] = Math.min(255, (y * 170) / height + grain + (x % 7 < 3 ? 40 : 0));
      data[i++] = Math.min(255, 60 + 50 * Math.sin(x / 90 + y / 60) + grain + edge);
    }
  }
  return data;
}

const byClass = (predictions: readonly Prediction[]): number[][] =>
  predictions.map(({ top }) =>
    top.toSorted((a, b) => a.index - b.index).map(({ probability }) => Math.log(probability)),
  );

function logSoftmax(logits: ArrayLike<number>): number[] {
  const values = Array.from(logits);
  const sum = Math.log(values.reduce((total, value) => total + Math.exp(value), 0));
  return values.map((value) => value - sum);
}

/** Programs add in other orders; a pixel that is one level off in ten makes more. */
function expectSame(got: readonly number[][], want: readonly number[][] = expected): void {
  expect(got.length).toBe(want.length);
  const differences = got.map((row, i) =>
    Math.max(...row.map((value, k) => Math.abs(value - (want[i]?.[k] ?? NaN)))),
  );
  expect(Math.max(...differences), JSON.stringify(differences)).toBeLessThan(1e-3);
}

beforeAll(async () => {
  manualSeed(5);
  model = createModel('resnet20', {
    imageSize: side,
    channels: 3,
    numClasses: 5,
    baseWidth: 8,
    blocks: [1, 1],
  });
  noGrad(() => {
    for (const tensor of model.parameters()) tensor.add_(randn(tensor.shape).mul(0.1));
  });
  info = {
    dataset: 'folder',
    classes: labels,
    mean: [0.48, 0.45, 0.4],
    std: [0.23, 0.22, 0.21],
    preprocessing,
    history: [],
  };
  saveModel(at('model.safetensors'), model, info);
  await exportOnnx(at('model.onnx'), model, info, { verify: false });
  const picture = sharp(photo(), { raw: { width, height, channels: 3 } });
  const files: Record<string, Buffer> = {
    'photo.jpg': await picture.clone().jpeg({ quality: 88 }).toBuffer(),
    'turned.jpg': await picture
      .clone()
      .withMetadata({ orientation: 6 })
      .jpeg({ quality: 88 })
      .toBuffer(),
    'photo.png': await picture.clone().png({ compressionLevel: 1 }).toBuffer(),
    'progressive.jpg': await picture.clone().jpeg({ progressive: true }).toBuffer(),
    'grey.jpg': await picture.clone().toColourspace('b-w').jpeg().toBuffer(),
  };
  names.forEach((name, i) => {
    writeFileSync(at(name), files[name] ?? '');
    for (const part of ['train', 'val']) {
      mkdirSync(at('data', part, labels[i] ?? ''), { recursive: true });
      writeFileSync(at('data', part, labels[i] ?? '', name), files[name] ?? '');
    }
  });
  expected = byClass(
    await predictImages(
      model,
      info,
      names.map((name) => at(name)),
    ),
  );
});

describe('a large picture gives the same logits', () => {
  it('in predict, for each its own', () => {
    expect(expected.map((row) => row.length)).toEqual([5, 5, 5, 5, 5]);
    // Else every comparison below would be of nothing.
    const spread = expected.map((row) => Math.abs((row[0] ?? 0) - (expected[0]?.[0] ?? 0)));
    expect(Math.min(spread[1] ?? 0, spread[4] ?? 0)).toBeGreaterThan(1e-2);
  });

  it('in eval of a folder', async () => {
    const settings = { dataset: 'folder', data: at('data') };
    const dataset = withModelInfo(await openDataFor(model, settings), info);
    const rows: number[][] = [];
    await evaluate(
      model,
      new BatchLoader(dataset.test, dataset.info, { batchSize: 5 }),
      dataset.info,
      {
        onBatch: (logits) => {
          rows.push(...(logits.toArray() as number[][]).map(logSoftmax));
        },
      },
    );
    expectSame(rows);
  });

  it('in the exported file', async () => {
    const onnx = await OnnxModel.open(at('model.onnx'));
    expect(onnx.description.preprocessing).toEqual(preprocessing);
    expectSame(
      byClass(
        await predictImagesOnnx(
          onnx,
          names.map((name) => at(name)),
        ),
      ),
    );
    await onnx.release();
  });

  it.skipIf(python === undefined)(`in Python, with the example's code${noPython}`, () => {
    const script = `
import json, sys, torch
sys.path.insert(0, sys.argv[1])
from load_model import load_model
from prepare import read_image
model, info = load_model(sys.argv[2])
for path in sys.argv[3:]:
    pixels = torch.tensor(read_image(path, info).copy()).float()[None]
    with torch.no_grad():
        logits = model((pixels / 255 - info["mean"]) / info["std"])
    print(json.dumps([torch.log_softmax(logits, -1)[0].tolist(), pixels.int().flatten().tolist()]))
`;
    const output = execFileSync(
      python ?? '',
      ['-c', script, example, at('model.safetensors'), ...names.map((name) => at(name))],
      {
        encoding: 'utf8',
        maxBuffer: 2 ** 26,
        env: { ...process.env, OMP_NUM_THREADS: '1', PYTHONDONTWRITEBYTECODE: '1' },
      },
    );
    const rows = output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as [number[], number[]]);
    expectSame(rows.map(([logits]) => logits));
  });

  it.skipIf(noBrowser !== undefined)(`in the studio's page${withoutPage}`, async () => {
    const browser = await openBrowser();
    try {
      const wanted = { channels: 3, side, preprocessing };
      const got = await pagePixels(
        browser,
        names.map((name) => [readFileSync(at(name)), wanted] as const),
      );
      for (const [i, name] of names.entries()) {
        const own = await pixelsOf(name);
        const page = got[i];
        if (typeof page === 'string' || !page) throw new Error(`${name}: ${page}`);
        const off = own.reduce((sum, value, k) => sum + Math.abs(value - (page[k] ?? NaN)), 0);
        // The same resize; another libjpeg may decode a few pixels otherwise. The one in Debian's Chromium does not.
        expect(off / own.length, name).toBeLessThan(name.endsWith('.png') ? 1e-9 : 0.1);
      }
    } finally {
      await browser.close();
    }
  });

  // Last: the example leaves libvips no way to read files, in this whole process.
  it('in the server', async () => {
    const { decodeImage } = await import('../examples/serve/src/decode.js');
    const { openClassifier } = await import('../examples/serve/src/classifier.js');
    const classifier = await openClassifier(at('model.onnx'), 1);
    const limits = { maxPixels: 1e8, maxSide: 8192, timeoutMs: 3_600_000 };
    const images = await Promise.all(
      names.map((name) =>
        decodeImage(
          readFileSync(at(name)),
          `image/${name.endsWith('png') ? 'png' : 'jpeg'}`,
          classifier,
          limits,
        ),
      ),
    );
    const rows = await classifier.run(images);
    expectSame(rows.map((row) => Array.from(row, Math.log)));
    await classifier.release();
  });
});

/** uint8 [channels, side, side] */
async function pixelsOf(name: string): Promise<Uint8Array> {
  const asTheyAre = { mean: [0, 0, 0], std: [1 / 255, 1 / 255, 1 / 255] };
  return Uint8Array.from(await readImage(at(name), { ...input, ...asTheyAre }), Math.round);
}
