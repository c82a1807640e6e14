import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { folderSpec } from './datasets/folder.js';
import { openImageFolder } from './image-folder.js';
import type { RandomCrop } from './types.js';

let dir: string;
let cacheDir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mp-resized-'));
  cacheDir = join(dir, 'cache');
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** Soft ground: what is resized twice stays near to what is resized once. */
async function picture(path: string, width: number, height: number, shade: number): Promise<void> {
  const pixels = Buffer.from(
    Array.from({ length: width * height }, (_, i) => {
      const [x, y] = [(i % width) / width, Math.floor(i / width) / height];
      return [Math.round(200 * x) + shade, Math.round(200 * y), Math.round(100 * (x + y))];
    }).flat(),
  );
  const image = sharp(pixels, { raw: { width, height, channels: 3 } });
  mkdirSync(join(dir, path, '..'), { recursive: true });
  const isPng = path.endsWith('.png');
  writeFileSync(join(dir, path), await (isPng ? image.png() : image.jpeg()).toBuffer());
}

async function images(): Promise<void> {
  await picture('train/a/large.jpg', 320, 240, 0);
  await picture('train/a/high.png', 100, 300, 20);
  await picture('train/b/small.jpg', 60, 40, 40);
  await picture('val/a/x.jpg', 320, 240, 9);
}

const all = [0, 1, 2];
const crop: RandomCrop = { seed: 1, epoch: 0, scale: [0.5, 1], ratio: [1, 1], resize: 'pillow' };

async function opened(cachedSize?: number, notes: string[] = []) {
  const { train } = await openImageFolder(folderSpec, {
    dir,
    imageSize: 32,
    cacheDir,
    ...(cachedSize !== undefined && { cachedSize }),
    onNote: (note) => {
      if (note.includes('large training images')) notes.push(note);
    },
  });
  const crops = async (which = all): Promise<Uint8Array> =>
    (await train.readCropped?.(which, crop)) ?? new Uint8Array();
  return { train, crops };
}

/** Paths of the copies, and of what else lies beside them. */
function copies(): string[] {
  return readdirSync(cacheDir, { recursive: true, encoding: 'utf8' })
    .filter((path) => /^resized-.*\/.*\//.test(path))
    .sort();
}

describe('training images that are kept resized', () => {
  it('are copied once where they are larger, and give the same crops from then on', async () => {
    await images();
    const notes: string[] = [];
    const first = await opened(64, notes);
    const made = await first.crops();
    expect(copies()).toHaveLength(2);
    const sizes = copies().map(async (path) => {
      const { width, height } = await sharp(join(cacheDir, path)).metadata();
      return `${width}x${height}`;
    });
    // As torchvision's Resize rounds: the shorter side 64.
    expect((await Promise.all(sizes)).sort()).toEqual(['64x192', '85x64']);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(/^folder: 0 of 2 large training images are in .*resized-/);
    const again: string[] = [];
    expect(await (await opened(64, again)).crops()).toEqual(made);
    expect(again[0]).toMatch(/^folder: 2 of 2 large/);
    // Close to the crops of the originals. Size and place of a box are rounded to pixels of the copy, which are 200 / 64
    // shades apart: two of them.
    const originals = await (await opened()).crops();
    const differences = Array.from(originals, (value, i) => Math.abs(value - (made[i] as number)));
    const mean = differences.reduce((sum, value) => sum + value, 0) / differences.length;
    expect(mean).toBeLessThan((2 * 200) / 64);
    // What is small is no copy at all.
    const bytes = 3 * 32 * 32;
    expect(made.subarray(2 * bytes)).toEqual(originals.subarray(2 * bytes));
    expect(made.subarray(0, bytes)).not.toEqual(originals.subarray(0, bytes));
  });

  it('leave evaluation as it is', async () => {
    await images();
    const kept = await (await opened(64)).train.read(all);
    expect(kept).toEqual(await (await opened()).train.read(all));
    expect(copies()).toEqual([]);
  });

  it('follow the folder: a changed image is copied anew, and what belongs to none is deleted', async () => {
    await images();
    await (await opened(64)).crops();
    const before = copies();
    await picture('train/a/large.jpg', 320, 240, 50);
    utimesSync(join(dir, 'train/a/large.jpg'), 1e9, 1e9);
    const changed = await (await opened(64)).crops([0, 1]);
    const after = copies();
    expect(after).toHaveLength(2);
    expect(after.filter((path) => before.includes(path))).toHaveLength(1);
    rmSync(join(cacheDir), { recursive: true });
    expect(await (await opened(64)).crops([0, 1])).toEqual(changed);
    // Another size has copies of its own.
    await (await opened(48)).crops();
    expect(copies()).toHaveLength(4);
  });

  it('are made again where a copy is damaged or gone, and half-written ones are nobody’s', async () => {
    await images();
    const made = await (await opened(64)).crops();
    const [one = '', two = ''] = copies();
    const bytes = readFileSync(join(cacheDir, one));
    writeFileSync(join(cacheDir, one), bytes.subarray(0, bytes.length / 2));
    const folder = join(cacheDir, two, '..');
    writeFileSync(join(folder, 'x.jpg.1-abc.tmp'), 'of somebody who writes now');
    writeFileSync(join(folder, 'y.jpg.2-abc.tmp'), 'left behind');
    utimesSync(join(folder, 'y.jpg.2-abc.tmp'), 1e9, 1e9);
    const { crops } = await opened(64);
    rmSync(join(cacheDir, two));
    expect(await crops()).toEqual(made);
    expect(readFileSync(join(cacheDir, one)).length).toBe(bytes.length);
    expect(copies().filter((path) => path.endsWith('.tmp'))).toHaveLength(1);
  });

  it('are used where what belongs to no image cannot be deleted', async () => {
    await images();
    const made = await (await opened(64)).crops();
    // What is no file is not deleted, as little as a file in somebody else's folder.
    mkdirSync(join(cacheDir, copies()[0] ?? '', '..', 'stale.jpg'));
    const notes: string[] = [];
    expect(await (await opened(64, notes)).crops()).toEqual(made);
    expect(notes[0]).toContain('2 of 2 large training images are in');
  });

  it('say what is wrong: the copy that cannot be written, or the image that cannot be read', async () => {
    await images();
    await expect(opened(31)).rejects.toThrow(/cachedSize: got 31, expected an integer from 32/);
    const broken = await opened(64);
    // Of the size that was checked, but no picture any more.
    const path = join(dir, 'train/a/large.jpg');
    const bytes = readFileSync(path);
    writeFileSync(path, bytes.subarray(0, 300));
    await expect(broken.crops([1])).rejects.toThrow(`${path}: cannot be decoded (`);
    writeFileSync(path, bytes);
    const { crops } = await opened(64);
    await crops([0]);
    const [copy = ''] = copies();
    const kept = join(cacheDir, copy.split('/')[0] as string);
    rmSync(kept, { recursive: true });
    writeFileSync(kept, 'a file where a folder is to be');
    await expect(crops([1])).rejects.toThrow(
      /resized-.*: the resized copy of .*large\.jpg cannot be kept \((ENOTDIR|EEXIST)[^]*leave `cachedSize` out/,
    );
  });
});
