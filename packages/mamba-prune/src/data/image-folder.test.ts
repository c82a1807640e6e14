import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { symlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { folderSpec } from './datasets/folder.js';
import { imagenetSpec } from './datasets/imagenet.js';
import { tinyImagenetSpec } from './datasets/tiny-imagenet.js';
import { openImageFolder, verifyImageFolder } from './image-folder.js';
import { readImage } from './read-image.js';
import type { RandomCrop } from './types.js';

let dir: string;
let cacheDir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'mp-folder-'));
  cacheDir = join(dir, '.cache');
});
afterEach(() => {
  rmSync(dir, { recursive: true, force: true });
});

type Rgb = [number, number, number];

/** An image of one colour; the ending decides the format. */
async function flat(path: string, [r, g, b]: Rgb, width = 24, height = 16): Promise<string> {
  const full = join(dir, path);
  mkdirSync(dirname(full), { recursive: true });
  const image = sharp({ create: { width, height, channels: 3, background: { r, g, b } } });
  const bytes = path.endsWith('.png')
    ? await image.png().toBuffer()
    : path.endsWith('.webp')
      ? await image.webp({ lossless: true }).toBuffer()
      : await image.jpeg({ quality: 100, chromaSubsampling: '4:4:4' }).toBuffer();
  writeFileSync(full, bytes);
  return full;
}

/** 64x32, lossless; pixel (x, y) is (4 x, 8 y, 7). */
async function gradient(path: string): Promise<void> {
  const raw = Buffer.alloc(64 * 32 * 3);
  for (let i = 0; i < 64 * 32; i++) raw.set([4 * (i % 64), 8 * Math.floor(i / 64), 7], 3 * i);
  mkdirSync(dirname(join(dir, path)), { recursive: true });
  const png = sharp(raw, { raw: { width: 64, height: 32, channels: 3 } }).png();
  writeFileSync(join(dir, path), await png.toBuffer());
}

async function twoClasses(): Promise<void> {
  await flat('train/cat/a.jpg', [200, 0, 0]);
  await flat('train/cat/b.jpeg', [0, 200, 0]);
  await flat('train/dog/a.png', [0, 0, 200]);
  await flat('train/dog/c.webp', [10, 20, 30]);
  await flat('val/dog/x.JPG', [90, 91, 92]);
}

const first = (pixels: Uint8Array, image: number, size: number) =>
  [0, 1, 2].map((c) => pixels[(image * 3 + c) * size * size] as number);

describe('openImageFolder', () => {
  it('reads JPEG, PNG and WebP; labels follow the sorted class folders', async () => {
    await twoClasses();
    const { info, train, test } = await openImageFolder(folderSpec, {
      dir,
      cacheDir,
      imageSize: 8,
    });
    expect(info).toMatchObject({ classes: ['cat', 'dog'], channels: 3, height: 8, width: 8 });
    expect(Array.from({ length: train.length }, (_, i) => train.label(i))).toEqual([0, 0, 1, 1]);
    expect([test.length, test.label(0)]).toEqual([1, 1]);
    const pixels = await train.read([3, 2, 0]);
    expect(pixels).toHaveLength(3 * 3 * 64);
    expect(first(pixels, 0, 8)).toEqual([10, 20, 30]); // lossless
    expect(first(pixels, 1, 8)).toEqual([0, 0, 200]);
    // JPEG at quality 100 may be off by a rounding of each conversion.
    first(pixels, 2, 8).forEach((v, c) => {
      expect(Math.abs(v - ([200, 0, 0][c] as number))).toBeLessThanOrEqual(2);
    });
    expect(() => train.label(4)).toThrow('got sample index 4, expected 0 to 3');
    await expect(async () => train.read([4])).rejects.toThrow('got sample index 4');
  });

  it('resizes the shorter side and takes the centre', async () => {
    await gradient('train/a/x.png');
    await flat('train/b/x.png', [0, 0, 0]);
    await flat('val/a/x.png', [0, 0, 0]);
    // Size 28 of 32 is the usual 87.5 %: no resize, columns 18 to 45, rows 2 to 29.
    const { train } = await openImageFolder(folderSpec, { dir, cacheDir, imageSize: 28 });
    const pixels = await train.read([0]);
    expect(first(pixels, 0, 28)).toEqual([72, 16, 7]);
    expect(pixels[27]).toBe(180);
    expect(pixels[28 * 28 + 27 * 28]).toBe(232);
  });

  it('draws random resized crops from seed, epoch and sample', async () => {
    await gradient('train/a/x.png');
    await flat('train/b/x.png', [50, 60, 70]);
    await flat('val/a/x.png', [0, 0, 0]);
    const { train } = await openImageFolder(folderSpec, { dir, cacheDir, imageSize: 16 });
    const read = async (crop: Partial<RandomCrop>, indices = [0]) =>
      train.readCropped?.(indices, {
        seed: 1,
        epoch: 0,
        scale: [0.1, 0.5],
        ratio: [0.75, 1.33],
        ...crop,
      });
    const pixels = await read({});
    expect(await read({})).toEqual(pixels);
    expect((await read({}, [1, 0]))?.subarray(768)).toEqual(pixels); // its place does not matter
    expect(await read({ epoch: 1 })).not.toEqual(pixels);
    expect(await read({ seed: 2 })).not.toEqual(pixels);
    // At most half of the area: the red ramp covers less than the whole 0..252.
    const red = [...(pixels as Uint8Array).subarray(0, 16)];
    expect((red[15] as number) - (red[0] as number)).toBeLessThan(220);
    expect(red).toEqual([...red].sort((a, b) => a - b)); // and is not mirrored
  });

  it('makes RGB out of grey, transparent and 16-bit images', async () => {
    const raw = (channels: 1 | 4, pixel: number[]) =>
      sharp(Buffer.from(Array.from({ length: 64 }, () => pixel).flat()), {
        raw: { width: 8, height: 8, channels },
      });
    await flat('train/b/x.png', [0, 0, 0], 8, 8);
    await flat('val/b/x.png', [0, 0, 0], 8, 8);
    mkdirSync(join(dir, 'train/a'));
    writeFileSync(
      join(dir, 'train/a/grey.jpg'),
      await raw(1, [120]).toColourspace('b-w').jpeg({ quality: 100 }).toBuffer(),
    );
    writeFileSync(join(dir, 'train/a/see.png'), await raw(4, [1, 2, 3, 0]).png().toBuffer());
    writeFileSync(
      join(dir, 'train/a/wide.png'),
      await raw(1, [77]).toColourspace('grey16').png().toBuffer(),
    );
    const { train } = await openImageFolder(tinyImagenetSpec, { dir, cacheDir, imageSize: 8 });
    const pixels = await train.read([0, 1, 2]);
    expect(first(pixels, 0, 8)).toEqual([120, 120, 120]);
    expect(first(pixels, 1, 8)).toEqual([1, 2, 3]);
    expect(first(pixels, 2, 8)).toEqual([77, 77, 77]);
  });

  it('understands ImageNet with class names', async () => {
    for (const part of ['train', 'val']) {
      await flat(`${part}/n01440764/${part}_1.JPEG`, [1, 1, 1]);
      await flat(`${part}/n01443537/${part}_2.JPEG`, [2, 2, 2]);
    }
    writeFileSync(
      join(dir, 'LOC_synset_mapping.txt'),
      'n01440764 tench, Tinca tinca\nn01443537 goldfish\n',
    );
    const { info, test } = await openImageFolder(imagenetSpec, { dir, cacheDir });
    expect(info.classes).toEqual(['tench', 'goldfish']);
    expect(info).toMatchObject({ name: 'imagenet', height: 224, mean: [0.485, 0.456, 0.406] });
    expect((await test.read([1])).length).toBe(3 * 224 * 224);
    expect(test.label(1)).toBe(1);
  });

  describe('with the Tiny-ImageNet layout', () => {
    const annotations = () => join(dir, 'val', 'val_annotations.txt');
    beforeEach(async () => {
      await flat('train/n02/images/n02_0.JPEG', [255, 0, 0], 64, 64);
      await flat('train/n01/images/n01_0.JPEG', [0, 255, 0], 64, 64);
      writeFileSync(join(dir, 'train/n01/n01_boxes.txt'), 'n01_0.JPEG\t0\t0\t1\t1\n');
      await flat('val/images/val_0.JPEG', [0, 0, 255], 64, 64);
      writeFileSync(annotations(), 'val_0.JPEG\tn02\t0\t0\t62\t62\n');
      writeFileSync(
        join(dir, 'words.txt'),
        'n00\tentity\nn01\tgoldfish, Carassius auratus\nn02\tnewt\n',
      );
      writeFileSync(join(dir, 'wnids.txt'), 'n02\nn01\n');
    });

    it('reads names, labels and pixels', async () => {
      const notes: string[] = [];
      const onNote = (note: string) => notes.push(note);
      const { info, train, test } = await openImageFolder(tinyImagenetSpec, {
        dir,
        cacheDir,
        onNote,
      });
      expect(info).toMatchObject({ classes: ['goldfish', 'newt'], height: 64 });
      expect([train.length, train.label(0), test.length, test.label(0)]).toEqual([2, 0, 1, 1]);
      const [red, green, blue] = first(await test.read([0]), 0, 64) as Rgb;
      expect(red < 3 && green < 3 && blue > 252).toBe(true);
      // Where libjpeg-turbo is not installed, one more says so.
      expect(notes.filter((note) => !note.includes('libjpeg-turbo'))).toEqual([
        'tiny-imagenet: val has no images of the class n01, so that its accuracy is not measured.',
      ]);
    });

    it.each<[string, (text: string) => Buffer]>([
      ['UTF-8 with a mark', (text) => Buffer.from(`\ufeff${text}`)],
      ['UTF-16', (text) => Buffer.from(`\ufeff${text}`, 'utf16le')],
      ['UTF-16, high bytes first', (text) => Buffer.from(`\ufeff${text}`, 'utf16le').swap16()],
    ])('reads lists as Windows writes them: %s', async (_, written) => {
      writeFileSync(annotations(), written('val_0.JPEG\tn02\t0\t0\t62\t62\r\n'));
      writeFileSync(join(dir, 'words.txt'), written('n01\tgoldfish\r\nn02\tn\u00e9wt\r\n'));
      const { info, test } = await openImageFolder(tinyImagenetSpec, { dir, cacheDir });
      expect(info.classes).toEqual(['goldfish', 'n\u00e9wt']);
      expect([test.length, test.label(0)]).toEqual([1, 1]);
    });

    it('refuses annotations of unknown classes and of files elsewhere', async () => {
      writeFileSync(annotations(), 'val_0.JPEG\tn09\t0\t0\t62\t62\n');
      const open = () => openImageFolder(tinyImagenetSpec, { dir, cacheDir });
      await expect(open()).rejects.toThrow(
        `${annotations()} line 1: got class "n09", expected one of the 2 folders in train.`,
      );
      writeFileSync(annotations(), 'val_0.JPEG\tn01\n../secret.jpg\tn01\n');
      await expect(open()).rejects.toThrow('line 2: got "../secret.jpg", expected an image name.');
      writeFileSync(annotations(), '\n');
      await expect(open()).rejects.toThrow('is empty, expected one line per image');
      writeFileSync(annotations(), 'val_7.JPEG\tn01\n');
      await expect(open()).rejects.toThrow(/1 of 3 images cannot be used: .*val_7\.JPEG \(ENOENT/);
    });
  });

  it('names corrupt images before anything is trained', async () => {
    await twoClasses();
    const cut = join(dir, 'train/cat/a.jpg');
    truncateSync(cut, statSync(cut).size - 20); // the header is still fine
    writeFileSync(join(dir, 'train/cat/none.jpg'), '');
    writeFileSync(join(dir, 'train/dog/text.png'), 'this is no image');
    writeFileSync(
      join(dir, 'train/dog/pic.jpg'),
      '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    );
    const failure = await openImageFolder(folderSpec, { dir, cacheDir }).catch((e: unknown) => e);
    const { message } = failure as Error;
    expect(message).toContain('openDataset "folder": 4 of 8 images cannot be used: ');
    expect(message).toMatch(/cat\/a\.jpg \(.*premature end/i);
    expect(message).toContain('none.jpg (the file is empty)');
    expect(message).toMatch(/text\.png \(.*unsupported image format/);
    expect(message).toContain(
      'pic.jpg (got a svg image, expected JPEG, PNG, WebP, GIF, BMP, TIFF or PPM)',
    );
    expect(message).toContain('Replace or delete them.');
  });

  it('tells images that are not there from those that are broken', async () => {
    await twoClasses();
    symlinkSync('/nowhere/x.jpg', join(dir, 'train/cat/l.jpg'));
    const open = () => openImageFolder(folderSpec, { dir, cacheDir, imageSize: 8 });
    const look = 'Look whether the disk is there, and whether you may read what is on it.';
    await expect(open()).rejects.toThrow(
      `1 of 6 images cannot be used: ${join(dir, 'train/cat/l.jpg')} (it is a link to /nowhere/x.jpg, where nothing is). ${look}`,
    );
    writeFileSync(join(dir, 'train/cat/none.jpg'), '');
    await expect(open()).rejects.toThrow(`(the file is empty). ${look} Replace or delete them.`);
    for (const name of ['l.jpg', 'none.jpg']) rmSync(join(dir, 'train/cat', name));
    const { train } = await open();
    const gone = join(dir, 'train/dog/a.png');
    rmSync(gone);
    await expect(train.read([2])).rejects.toThrow(
      `${gone}: cannot be read (ENOENT: there is no such file). Look whether its disk is still there, and whether you may read it.`,
    );
  });

  it('checks a file again only if it has changed', async () => {
    await twoClasses();
    const open = () => openImageFolder(folderSpec, { dir, cacheDir, imageSize: 8 });
    const file = join(dir, 'train/dog/a.png');
    const time = new Date(1_700_000_000_000); // whole seconds: every file system can keep them
    utimesSync(file, time, time);
    await open();
    const [cache] = readdirSync(cacheDir);
    const written = statSync(join(cacheDir, cache as string)).mtimeMs;
    // Same size and time, other bytes: trusted, so reading it is what finds the fault.
    writeFileSync(file, Buffer.alloc(statSync(file).size));
    utimesSync(file, time, time);
    const { train } = await open();
    expect(statSync(join(cacheDir, cache as string)).mtimeMs).toBe(written);
    await expect(train.read([2])).rejects.toThrow(
      /dog\/a\.png: cannot be decoded \(.*Replace or delete/,
    );
    utimesSync(file, time, new Date(0));
    await expect(open()).rejects.toThrow('1 of 5 images cannot be used');
  });

  it('survives a damaged and an unwritable cache', async () => {
    await twoClasses();
    await openImageFolder(folderSpec, { dir, cacheDir });
    const path = join(cacheDir, readdirSync(cacheDir)[0] as string);
    writeFileSync(path, readFileSync(path).subarray(0, 50));
    const { train } = await openImageFolder(folderSpec, { dir, cacheDir });
    expect(train.length).toBe(4);
    writeFileSync(join(dir, 'blocked'), '');
    const notes: string[] = [];
    const onNote = (note: string) => notes.push(note);
    await openImageFolder(folderSpec, { dir, cacheDir: join(dir, 'blocked', 'x'), onNote });
    expect(notes.at(-1)).toMatch(
      /the cache .* cannot be written, so that the images are checked again on the next start: .* \(E[A-Z]+\)\./,
    );
  });

  it('says what is missing in a folder', async () => {
    const open = (options: object = {}) =>
      openImageFolder(folderSpec, { dir, cacheDir, ...options });
    await expect(openImageFolder(folderSpec, {})).rejects.toThrow(
      'openDataset "folder": got no folder',
    );
    await expect(open()).rejects.toThrow(/found no train in .*Give the folder that holds train/);
    await flat('train/cat/a.png', [1, 2, 3]);
    await expect(open()).rejects.toThrow('got 1 class folder (cat) in');
    mkdirSync(join(dir, 'train/dog'));
    await expect(open()).rejects.toThrow(/found no images in .*dog, expected files such as \.jpg/);
    await flat('train/dog/a.png', [1, 2, 3]);
    await expect(open()).rejects.toThrow(`found neither val nor test in ${dir}`);
    await flat('test/loose.png', [1, 2, 3]);
    await expect(open()).rejects.toThrow(/found no images in class folders of .*test/);
    await flat('test/bird/a.png', [1, 2, 3]);
    await expect(open()).rejects.toThrow(/test\/bird is a class that train does not have/);
    rmSync(join(dir, 'test/bird'), { recursive: true });
    await flat('test/dog/a.png', [1, 2, 3]);
    await expect(open({ imageSize: 0 })).rejects.toThrow(
      'imageSize: got 0, expected an integer from 1 to 4096',
    );
    expect((await open()).test.length).toBe(1);
  });

  it('ignores other files and says so', async () => {
    await twoClasses();
    writeFileSync(join(dir, 'train/cat/notes.txt'), '');
    writeFileSync(join(dir, 'train/cat/.DS_Store'), '');
    const notes: string[] = [];
    await openImageFolder(folderSpec, { dir, cacheDir, onNote: (note) => notes.push(note) });
    const expected = [
      'folder: val has no images of the class cat, so that its accuracy is not measured.',
      `folder: ignored 1 file that is no image, ${join(dir, 'train/cat/notes.txt')}.`,
    ];
    expect(notes).toEqual(expected);
    expect((await verifyImageFolder(folderSpec, { dir, cacheDir })).notes).toEqual(expected);
  });
});

describe('verifyImageFolder', () => {
  it('decodes all, counts classes and names every fault', async () => {
    await twoClasses();
    const seen: number[] = [];
    const onProgress = (done: number) => seen.push(done);
    const good = await verifyImageFolder(folderSpec, { dir, cacheDir, onProgress });
    expect(good).toMatchObject({ ok: true, classes: ['cat', 'dog'], problems: [] });
    expect(good.counts).toEqual({ train: [2, 2], test: [0, 1] });
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    // Zeros in the middle of the compressed pixels: header and end are fine.
    const file = join(dir, 'train/dog/a.png');
    const bytes = readFileSync(file);
    bytes.fill(0, bytes.indexOf('IDAT') + 6, bytes.indexOf('IEND') - 8);
    writeFileSync(file, bytes);
    const bad = await verifyImageFolder(folderSpec, { dir, cacheDir });
    expect(bad.ok).toBe(false);
    expect(bad.problems).toHaveLength(1);
    expect(bad.problems[0]).toContain(file);
  });

  it('notes JPEG files that lack bytes within, which a training reads as far as they go', async () => {
    await twoClasses();
    const file = join(dir, 'train/cat/a.jpg');
    const noise = Buffer.from(Array.from({ length: 3 * 64 * 64 }, (_, i) => (i * i * 31) & 255));
    const image = sharp(noise, { raw: { width: 64, height: 64, channels: 3 } });
    const bytes = await image.jpeg().toBuffer();
    const middle = Math.floor(bytes.length / 2);
    writeFileSync(file, Buffer.concat([bytes.subarray(0, middle), bytes.subarray(-2)]));
    const report = await verifyImageFolder(folderSpec, { dir, cacheDir });
    expect(report).toMatchObject({ ok: true, problems: [] });
    expect(report.notes.at(-1)).toBe(
      `folder: 1 image is garbled in part, and read as far as the decoder makes sense of it: ${file} ` +
        '(Corrupt JPEG data: premature end of data segment). Look at it.',
    );
    const { train } = await openImageFolder(folderSpec, { dir, cacheDir });
    await expect(train.read([0])).resolves.toHaveLength(3 * 224 * 224);
  });
});

describe('readImage', () => {
  const info = { height: 8, width: 8, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
  it('gives what a model expects, grey for one channel', async () => {
    const path = await flat('x.png', [255, 0, 102]);
    const pixels = await readImage(path, { ...info, channels: 3 });
    // float32 of exact quotients
    expect([pixels[0], pixels[64], pixels[128]]).toEqual([2, -2, Math.fround((0.4 - 0.5) / 0.25)]);
    const grey = await readImage(path, { ...info, channels: 1, mean: [0], std: [1] });
    expect(grey).toHaveLength(64);
    // 0.299 * 255 + 0.114 * 102 is 87.9: grey is rounded to a byte, as Pillow's is.
    expect(grey[5]).toBe(Math.fround(88 / 255));
  });
  it('names a file that is no image or not there', async () => {
    await expect(readImage(join(dir, 'no.png'), { ...info, channels: 3 })).rejects.toThrow(
      /no\.png does not exist, expected a JPEG, PNG, WebP, GIF, BMP, TIFF or PPM file/,
    );
    writeFileSync(join(dir, 'bad.png'), 'abcdefghijklmnop');
    await expect(readImage(join(dir, 'bad.png'), { ...info, channels: 3 })).rejects.toThrow(
      /readImage: .*bad\.png cannot be used \(unsupported image format, .* expected a JPEG, PNG, WebP/,
    );
  });
});
