import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDataset } from './datasets.js';
import { openFashionMnist, verifyFashionMnist } from './fashion-mnist.js';
import { fashionMnistSpec } from './datasets/fashion-mnist.js';
import { mnistSpec } from './datasets/mnist.js';
import { type IdxSpec, openIdx, verifyIdx } from './idx-dataset.js';
import { channelStatistics } from './memory-split.js';

/** The official layout with 20 and 10 images. */
const small: IdxSpec = { ...fashionMnistSpec, images: { train: 20, t10k: 10 } };
const debian = '/usr/share/datasets/fashion-mnist';

function idx(
  shape: readonly number[],
  elements: Uint8Array,
  magic = 0x0800 + shape.length,
): Buffer {
  const head = Buffer.alloc(4 + 4 * shape.length);
  head.writeUInt32BE(magic);
  shape.forEach((n, i) => head.writeUInt32BE(n, 4 + 4 * i));
  return Buffer.concat([head, elements]);
}

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mp-idx-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

const packedFiles = {
  trainImages: 'train-images-idx3-ubyte',
  trainLabels: 'train-labels-idx1-ubyte',
  testImages: 't10k-images-idx3-ubyte',
  testLabels: 't10k-labels-idx1-ubyte',
};

/** Image r is all r, or 100 + r in the test part; classes in turn. */
function write(folder = dir, name = (file: string) => file, pack = (bytes: Buffer) => bytes): void {
  mkdirSync(folder, { recursive: true });
  const images = (n: number, first: number) =>
    idx(
      [n, 28, 28],
      Buffer.concat(Array.from({ length: n }, (_, r) => Buffer.alloc(784, first + r))),
    );
  const labels = (n: number) =>
    idx(
      [n],
      Uint8Array.from({ length: n }, (_, r) => r % 10),
    );
  writeFileSync(join(folder, name(packedFiles.trainImages)), pack(images(20, 0)));
  writeFileSync(join(folder, name(packedFiles.trainLabels)), pack(labels(20)));
  writeFileSync(join(folder, name(packedFiles.testImages)), pack(images(10, 100)));
  writeFileSync(join(folder, name(packedFiles.testLabels)), pack(labels(10)));
}

function expectAll(given: string): void {
  const { info, train, test } = openIdx(small, { dir: given });
  expect(info).toMatchObject({
    name: 'fashion-mnist',
    classes: fashionMnistSpec.classes,
    channels: 1,
    height: 28,
  });
  expect(info.dir).toBe(given);
  expect(info.note).toBeUndefined();
  expect([train.length, test.length, train.label(13), test.label(7)]).toEqual([20, 10, 3, 7]);
  expect(train.read([13])).toEqual(new Uint8Array(784).fill(13));
  expect(test.read([7])).toEqual(new Uint8Array(784).fill(107));
  const pixels = train.read(Array.from({ length: 20 }, (_, i) => i)) as Uint8Array;
  expect(info).toMatchObject(channelStatistics(pixels, 1, 784));
}

describe('the idx files', () => {
  it('are read plain and in gzip, called so or with a dot, in the folders that torchvision and others make', () => {
    const layouts: [
      folder: string,
      name: (file: string) => string,
      pack?: (bytes: Buffer) => Buffer,
    ][] = [
      ['plain', (file) => file],
      ['gz', (file) => `${file}.gz`, gzipSync],
      ['dotted', (file) => file.replace('-idx', '.idx')],
      ['torchvision/FashionMNIST/raw', (file) => `${file}.gz`, gzipSync],
      ['zalando/data/fashion', (file) => file, gzipSync], // unpacked in name alone
    ];
    for (const [folder, name, pack] of layouts) {
      write(join(dir, folder), name, pack);
      expectAll(join(dir, folder.replace(/\/.*/, '')));
    }
    const nested = join(dir, 'nested');
    write(nested);
    for (const file of Object.values(packedFiles)) {
      const bytes = readFileSync(join(nested, file));
      rmSync(join(nested, file));
      mkdirSync(join(nested, file));
      writeFileSync(join(nested, file, file), bytes);
    }
    expectAll(nested);
  });

  it('are told from those of another data set', () => {
    write();
    const mnist = Uint8Array.from([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    writeFileSync(join(dir, packedFiles.testLabels), idx([10], mnist));
    const path = join(dir, packedFiles.testLabels);
    expect(() => openIdx(small, { dir })).toThrow(
      `openDataset "fashion-mnist": ${path} has the labels of mnist. Take the data set mnist.`,
    );
    expect(openIdx({ ...mnistSpec, images: small.images }, { dir }).info.classes[7]).toBe('7');
  });

  const bad: [what: string, file: string, bytes: Buffer, reason: string][] = [
    [
      'no file of the kind',
      packedFiles.trainLabels,
      Buffer.from('<html>'),
      'it begins with the magic number 0x3c68746d, expected 0x00000801',
    ],
    [
      'labels in place of images',
      packedFiles.trainImages,
      idx([20], new Uint8Array(20)),
      'the magic number 0x00000801, expected 0x00000803 (idx, uint8, 3 dimensions)',
    ],
    [
      'floats',
      packedFiles.testLabels,
      idx([10], new Uint8Array(40), 0x0d01),
      'the magic number 0x00000d01',
    ],
    [
      'another size',
      packedFiles.testImages,
      idx([10, 32, 32], new Uint8Array(10 * 32 * 32)),
      'it has the shape [10, 32, 32], expected [10, 28, 28]',
    ],
    [
      'fewer images',
      packedFiles.trainImages,
      idx([19, 28, 28], new Uint8Array(19 * 784)),
      'it has the shape [19, 28, 28], expected [20, 28, 28]',
    ],
    [
      'a file that breaks off',
      packedFiles.trainImages,
      idx([20, 28, 28], new Uint8Array(700)),
      'it has 716 bytes, expected 15696',
    ],
    [
      'a file that goes on',
      packedFiles.testLabels,
      idx([10], new Uint8Array(11)),
      'it has 19 bytes, expected 18',
    ],
    ['an empty file', packedFiles.testLabels, Buffer.alloc(0), 'it has 0 bytes, expected 18'],
    [
      'half a head',
      packedFiles.trainImages,
      idx([20, 28, 28], new Uint8Array(0)).subarray(0, 9),
      'it has 9 bytes, expected 15696',
    ],
    [
      'a label that is no class',
      packedFiles.trainLabels,
      idx([20], new Uint8Array(20).fill(10, 6)),
      'record 6: got label 10, expected 0 to 9',
    ],
    [
      'gzip that breaks off',
      packedFiles.trainImages,
      gzipSync(idx([20, 28, 28], new Uint8Array(15680))).subarray(0, 30),
      'it cannot be unpacked: unexpected end of file',
    ],
    [
      'gzip that is damaged',
      packedFiles.testLabels,
      damaged(gzipSync(idx([10], new Uint8Array(10)))),
      'it cannot be unpacked: incorrect data check',
    ],
    [
      'gzip that unpacks to far more',
      packedFiles.testLabels,
      gzipSync(Buffer.alloc(1e6)),
      'it cannot be unpacked: more than the 18 bytes that it may have',
    ],
  ];
  it.each(bad)('are refused with a sentence: %s', (_, file, bytes, reason) => {
    write();
    const path = join(dir, file);
    writeFileSync(path, bytes);
    const message = `${path} cannot be used (`;
    expect(() => openIdx(small, { dir })).toThrow(`openDataset "fashion-mnist": ${message}`);
    expect(() => openIdx(small, { dir })).toThrow(reason);
    const report = verifyIdx(small, { dir });
    expect(report.ok).toBe(false);
    expect(report.problems).toEqual([expect.stringContaining(message)]);
  });

  it('are missed one by one, and counted', () => {
    write();
    const report = verifyIdx(small, { dir });
    expect(report).toMatchObject({ ok: true, problems: [], dir });
    expect(report.counts).toEqual({ train: new Array(10).fill(2), test: new Array(10).fill(1) });
    expect(report.files).toHaveLength(4);
    writeFileSync(join(dir, packedFiles.trainLabels), idx([20], new Uint8Array(20)));
    expect(verifyIdx(small, { dir }).problems[0]).toContain(
      'train: got 20 images of class 0 (T-shirt/top), expected 2.',
    );
    rmSync(join(dir, packedFiles.trainImages));
    expect(() => openIdx(small, { dir })).toThrow(
      `${join(dir, packedFiles.trainImages)} is missing, plain or with .gz.`,
    );
    for (const file of readdirSync(dir)) rmSync(join(dir, file));
    expect(() => openIdx(small, { dir })).toThrow(
      `found no idx files in ${dir}, expected ${packedFiles.trainImages}, `,
    );
  });
});

function damaged(bytes: Buffer): Buffer {
  const at = bytes.length - 6; // in the checksum
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes;
}

describe('openDataset "mnist"', () => {
  it('asks for the folder', async () => {
    await expect(openDataset('mnist')).rejects.toThrow(
      'got no folder, expected the one with train-images-idx3-ubyte(.gz)',
    );
  });
});

describe.skipIf(!existsSync(debian))(
  "Debian's dataset-fashion-mnist (skipped where it is not installed)",
  () => {
    it('has the official split', async () => {
      const { info, train, test } = await openFashionMnist({ dir: debian });
      expect([train.length, test.length]).toEqual([60_000, 10_000]);
      // As the authors give them, to four places.
      expect([info.mean[0]?.toFixed(4), info.std[0]?.toFixed(4)]).toEqual(['0.2860', '0.3530']);
      expect(Array.from({ length: 10 }, (_, i) => test.label(i)).join('')).toBe(
        fashionMnistSpec.firstLabels,
      );
      expect(await verifyFashionMnist({ dir: debian })).toMatchObject({ ok: true, problems: [] });
      expect(() => openIdx(mnistSpec, { dir: debian })).toThrow(
        'has the labels of fashion-mnist. Take the data set fashion-mnist.',
      );
    });
  },
);
