import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import type { Picture } from '../preparation/prepare.js';
import { exifOf } from '../preparation/testing/exif.js';
import { withPicture } from './decode-picture.js';
import {
  type Framing,
  type ImageHeader,
  checkImage,
  decodeInto,
  imageEnding,
} from './image-decode.js';

const dir = mkdtempSync(join(tmpdir(), 'mp-decode-'));
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

const fixture = (name: string): string =>
  fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
const write = (name: string, bytes: Uint8Array | string): string => {
  writeFileSync(join(dir, name), bytes);
  return join(dir, name);
};
const check = (path: string) => checkImage(path, readFileSync(path).length);
const decoded = (bytes: Buffer): Promise<Picture> => withPicture(bytes, (picture) => picture);

/** 8x6 pixels, all different; rows of RGB. */
const [width, height] = [8, 6];
const rgb = Buffer.from(
  Array.from({ length: width * height }, (_, i) => [5 * i, 255 - 3 * i, (37 * i) % 256]).flat(),
);
const image = () => sharp(rgb, { raw: { width, height, channels: 3 } });

/** @param rows - of pixels, the lowest first */
function bmp(
  depth: number,
  rows: Buffer,
  more: { palette?: Buffer; compression?: number; masks?: Buffer } = {},
): Buffer {
  const { palette = Buffer.alloc(0), compression = 0, masks = Buffer.alloc(0) } = more;
  const head = Buffer.alloc(54);
  const start = 54 + masks.length + palette.length;
  head.write('BM', 'latin1');
  head.writeUInt32LE(start + rows.length, 2);
  head.writeUInt32LE(start, 10);
  head.writeUInt32LE(40, 14);
  head.writeInt32LE(width, 18);
  head.writeInt32LE(height, 22);
  head.writeUInt16LE(1, 26);
  head.writeUInt16LE(depth, 28);
  head.writeUInt32LE(compression, 30);
  head.writeUInt32LE(palette.length / 4, 46);
  return Buffer.concat([head, masks, palette, rows]);
}

const bmp24 = bmp(
  24,
  Buffer.concat(
    Array.from({ length: height }, (_, row) => {
      const line = rgb.subarray(3 * width * (height - 1 - row), 3 * width * (height - row));
      return Buffer.from(line.map((_, i) => line[i - (i % 3) + 2 - (i % 3)] as number));
    }),
  ),
);

describe('a picture of any format that is read', () => {
  const formats: readonly (readonly [string, () => Promise<Buffer> | Buffer])[] = [
    ['png', () => image().png().toBuffer()],
    ['webp', () => image().webp({ lossless: true }).toBuffer()],
    ['tiff', () => image().tiff({ compression: 'lzw' }).toBuffer()],
    ['gif', () => image().gif().toBuffer()],
    ['bmp', () => bmp24],
    ['ppm', () => Buffer.concat([Buffer.from(`P6\n# by hand\n${width} ${height}\n255\n`), rgb])],
    ['ppm as text', () => Buffer.from(`P3 ${width} ${height} 255\n${[...rgb].join(' ')}\n`)],
  ];

  it.each(formats)('has its own pixels: %s, under a wrong name too', async (name, make) => {
    const bytes = await make();
    const { data, ...size } = await decoded(bytes);
    expect(size).toEqual({ width, height, channels: 3 });
    expect([...data]).toEqual([...rgb]);
    const path = write(`${name.replaceAll(' ', '-')}.jpg`, bytes);
    expect(await check(path)).toMatchObject({ width, height });
    const box = { left: 2, top: 1, width: 4, height: 4 };
    for (const resize of ['pillow', 'libvips'] as const) {
      const out = new Uint8Array(3 * 4 * 4);
      const framing = { kind: 'box', box, interpolation: 'bilinear', resize } as const;
      await decodeInto(out, path, undefined, { channels: 3, size: 4 }, framing);
      expect(out[0]).toBe(rgb[3 * (width + 2)]);
    }
  });

  it.each([
    [1, 'P1 8 1 0110 1001', [255, 0, 0, 255, 0, 255, 255, 0]],
    [2, 'P2 8 1 6 0 1 2 3 4 5 6 6', [0, 42, 85, 128, 170, 212, 255, 255]],
  ])('is grey where it has one channel: P%i', async (_kind, text, expected) => {
    // Pillow 13: round(1 / 6 * 255) is 42, as 42.5 goes to the even number.
    expect([...(await decoded(Buffer.from(text))).data]).toEqual(expected);
  });

  it('is read of BMP with palettes, 16 bits and run lengths', async () => {
    const palette = Buffer.from([10, 20, 30, 0, 40, 50, 60, 0, 70, 80, 90, 0]);
    const colours = [
      [30, 20, 10],
      [60, 50, 40],
      [90, 80, 70],
    ] as const;
    const rows = Buffer.from(Array.from({ length: width * height }, (_, i) => i % 3));
    const eight = await decoded(bmp(8, rows, { palette }));
    // The lowest row comes first in the file.
    expect([...eight.data.subarray(0, 3)]).toEqual(colours[(width * (height - 1)) % 3]);
    // Two nibbles a byte, rows of a multiple of four bytes.
    const four = await decoded(bmp(4, Buffer.alloc(4 * height, 0x12), { palette }));
    expect([...four.data.subarray(0, 6)]).toEqual([...colours[1], ...colours[2]]);
    // Each row: three of colour 2, then 0, 1, 2 as they are (padded), two of 1.
    const row = [3, 2, 0, 3, 0, 1, 2, 0, 2, 1, 0, 0];
    const packed = Buffer.from([...Array.from({ length: height }, () => row).flat(), 0, 1]);
    const runs = await decoded(bmp(8, packed, { palette, compression: 1 }));
    const indices = [2, 2, 2, 0, 1, 2, 1, 1];
    expect([...runs.data.subarray(0, 24)]).toEqual(indices.flatMap((i) => colours[i] ?? []));
    // 5, 6 and 5 bits: 31, 63 and 31 are white; 16 * 255 / 31 rounded down.
    const sixteen = Buffer.alloc(2 * width * height);
    sixteen.writeUInt16LE(0xffff, 0);
    sixteen.writeUInt16LE(16 << 11, 2);
    const masks = Buffer.from(Uint32Array.of(0xf800, 0x7e0, 0x1f).buffer);
    const wide = await decoded(bmp(16, sixteen, { compression: 3, masks }));
    expect([...wide.data.subarray(3 * width * (height - 1)).subarray(0, 6)]).toEqual([
      255, 255, 255, 131, 0, 0,
    ]);
  });

  it('counts by the name that folders search for', () => {
    const names = [
      'a.jpg',
      'b.JPEG',
      'c.png',
      'd.webp',
      'e.gif',
      'f.bmp',
      'g.tif',
      'h.tiff',
      'i.ppm',
      'j.pgm',
    ];
    expect(names.filter((name) => !imageEnding.test(name))).toEqual([]);
    expect(imageEnding.test('a.txt') || imageEnding.test('jpg')).toBe(false);
  });
});

describe('a picture as it is decoded', () => {
  it('is upright', async () => {
    const {
      width: across,
      height: down,
      data,
    } = await decoded(readFileSync(fixture('turned.jpg')));
    expect([across, down]).toEqual([48, 64]);
    // Stored: blue on the left, green on the right; a quarter turn clockwise puts blue on top.
    const at = (x: number, y: number) => [...data.subarray(3 * (y * across + x)).subarray(0, 3)];
    const [top, bottom] = [at(24, 5), at(24, 60)];
    expect(top[2]).toBeGreaterThan(180);
    expect(bottom[1]).toBeGreaterThan(120);
    expect(await check(fixture('turned.jpg'))).toMatchObject({ width: 48, height: 64 });
  });

  it.each([true, false])(
    'is not turned by an orientation in a BYTE, as it is not by Pillow (little-endian: %s)',
    async (isLittle) => {
      const jpeg = await image().jpeg().toBuffer();
      const withExif = (type: number, value: readonly number[]): Buffer => {
        const exif = exifOf(type, value, isLittle);
        const head = Buffer.from([0xff, 0xe1, 0, exif.length + 2]);
        return Buffer.concat([jpeg.subarray(0, 2), head, exif, jpeg.subarray(2)]);
      };
      const { data } = await decoded(jpeg);
      const byByte = write('byte.jpg', withExif(1, [6, 0, 0, 0]));
      expect(await check(byByte)).toMatchObject({ width, height });
      expect(await decoded(readFileSync(byByte))).toMatchObject({ width, height, data });
      const byShort = write('short.jpg', withExif(3, [6, 0]));
      expect(await check(byShort)).toMatchObject({ width: height, height: width });

      // Whoever decodes: the header as it was checked, or none.
      const framing: Framing = {
        kind: 'centre',
        preprocessing: { interpolation: 'bilinear', cropShare: 1 },
      };
      const square = async (path: string, header?: ImageHeader): Promise<Uint8Array> => {
        const out = new Uint8Array(3 * 8 * 8);
        await decodeInto(out, path, header, { channels: 3, size: 8 }, framing);
        return out;
      };
      const expected = await square(write('none.jpg', jpeg));
      expect(await square(byByte, await check(byByte))).toEqual(expected);
      expect(await square(byByte)).toEqual(expected);
    },
  );

  it('is upright where a box is cut out of it', async () => {
    const box = { left: 0, top: 0, width: 48, height: 16 };
    const header = { width: 48, height: 64, isPlain: true };
    for (const resize of ['pillow', 'libvips'] as const) {
      const out = new Uint8Array(3 * 8 * 8);
      const framing = { kind: 'box', box, interpolation: 'bilinear', resize } as const;
      await decodeInto(out, fixture('turned.jpg'), header, { channels: 3, size: 8 }, framing);
      // The blue upper part alone.
      expect(Math.min(...out.subarray(128))).toBeGreaterThan(180);
      expect(Math.max(...out.subarray(64, 128))).toBeLessThan(40);
    }
  });

  it('keeps its own values where it has a colour profile', async () => {
    const plain = await image().png().toBuffer();
    // Tagged, with the pixels converted; read with the profile they would come out as they were.
    const tagged = await sharp(plain).withIccProfile('p3').png().toBuffer();
    const { data } = await decoded(tagged);
    expect([...data]).not.toEqual([...rgb]);
    const stored = await sharp(tagged, { ignoreIcc: true }).raw().toBuffer();
    expect([...data]).toEqual([...stored]);
  });

  it('keeps the colour of transparent pixels', async () => {
    const rgba = Buffer.from(
      Array.from({ length: 48 }, (_, i) => [...rgb.subarray(3 * i, 3 * i + 3), 5 * i]).flat(),
    );
    const png = await sharp(rgba, { raw: { width, height, channels: 4 } })
      .png()
      .toBuffer();
    expect([...(await decoded(png)).data]).toEqual([...rgb]);
  });

  it('of CMYK is as Pillow’s', async () => {
    const jpeg = await sharp({
      create: { width: 16, height: 16, channels: 3, background: 'white' },
    })
      .toColourspace('cmyk')
      .jpeg({ quality: 100 })
      .toBuffer();
    const { data, channels } = await decoded(jpeg);
    expect(channels).toBe(3);
    // No ink. The profile that sharp wrote with is not applied, so that this says that nothing is inverted.
    expect(Math.min(...data)).toBeGreaterThan(245);
  });
});

/** A PNG of noise, which is hard to pack, so that its parts are long. */
const noisy = async (): Promise<Buffer> =>
  sharp(Buffer.from(Array.from({ length: 3 * 64 * 64 }, (_, i) => ((i * i * 31) >> 3) & 255)), {
    raw: { width: 64, height: 64, channels: 3 },
  })
    .png()
    .toBuffer();

describe('damage', () => {
  it('of a wrong checksum is found before anything is trained', async () => {
    await expect(check(fixture('wrong-crc.png'))).rejects.toThrow(
      'it is damaged: the checksum (CRC) of its IDAT chunk at byte 33 is wrong',
    );
    const bytes = await noisy();
    for (const at of [20, Math.floor(bytes.length / 2), bytes.length - 20]) {
      const bad = Buffer.from(bytes);
      bad[at] = (bad[at] as number) ^ 1;
      await expect(check(write('flipped.png', bad))).rejects.toThrow(
        /checksum \(CRC\) of its (IHDR|IDAT)/,
      );
    }
  });

  it('of a chunk that no decoder needs is none', async () => {
    const bytes = await noisy();
    const text = Buffer.concat([
      Buffer.from([0, 0, 0, 3]),
      Buffer.from('tEXta\0b'),
      Buffer.from([1, 2, 3, 4]),
    ]);
    const path = write(
      'text.png',
      Buffer.concat([bytes.subarray(0, 33), text, bytes.subarray(33)]),
    );
    expect(await check(path)).toMatchObject({ width: 64, height: 64 });
    await decoded(readFileSync(path));
  });

  it('behind an end mark of the thumbnail is found', async () => {
    await expect(check(fixture('cut-behind-thumbnail.jpg'))).rejects.toThrow(
      'the file is cut off: premature end, without all of its pixels',
    );
  });

  it('is none if only the end mark is missing, and none of the pixels', async () => {
    const path = fixture('without-end-mark.jpg');
    expect(await check(path)).toMatchObject({ width: 64, height: 48 });
    const [own, whole] = await Promise.all([
      decoded(readFileSync(path)),
      decoded(Buffer.concat([readFileSync(path), Buffer.from([0xff, 0xd9])])),
    ]);
    expect(own).toEqual(whole);
  });

  it('of files cut off anywhere is found', async () => {
    const jpeg = await sharp(await noisy())
      .jpeg()
      .toBuffer();
    const files = [
      ['jpg', jpeg],
      ['png', await noisy()],
      [
        'webp',
        await sharp(await noisy())
          .webp()
          .toBuffer(),
      ],
      ['bmp', bmp24],
      ['ppm', Buffer.concat([Buffer.from(`P6 ${width} ${height} 255 `), rgb])],
    ] as const;
    for (const [ending, bytes] of files) {
      for (const share of [0.1, 0.5, 0.9, 0.99]) {
        const path = write(`cut.${ending}`, bytes.subarray(0, Math.floor(share * bytes.length)));
        await expect(check(path), `${ending} ${share}`).rejects.toThrow(
          /cut off|damaged|unsupported image format/,
        );
      }
    }
  });

  it('of a WebP file is found that has all its bytes, but not those that were written', async () => {
    const garbled = Buffer.from(
      await sharp(await noisy())
        .webp({ lossless: true })
        .toBuffer(),
    );
    garbled.fill(0xaa, 40, 180);
    await expect(check(write('garbled.webp', garbled))).rejects.toThrow(/damaged|VP8|webp/i);
  });

  it('is told in a reason of the file’s own, whatever else fails at the time', async () => {
    const cut = (
      await sharp(await noisy())
        .jpeg()
        .toBuffer()
    ).subarray(0, 900);
    // Its parts are whole and their checksums right; what they hold is no packed pixels.
    const good = await noisy();
    const idat = Buffer.concat([Buffer.from('IDAT'), deflateSync(Buffer.alloc(10))]);
    const { crc32 } = await import('node:zlib');
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(idat.length - 4);
    sum.writeUInt32BE(crc32(idat));
    const empty = Buffer.concat([good.subarray(0, 33), length, idat, sum, good.subarray(-12)]);
    const reasons = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        try {
          await decoded(i % 2 === 0 ? cut : empty);
          return 'none';
        } catch (error) {
          return (error as Error).message;
        }
      }),
    );
    expect(new Set(reasons.filter((_, i) => i % 2 === 0))).toEqual(
      new Set(['the file is cut off: premature end, without all of its pixels']),
    );
    const others = new Set(reasons.filter((_, i) => i % 2 === 1));
    expect(others.size).toBe(1);
    expect([...others][0]).toMatch(/png/i);
    expect([...others][0]).not.toMatch(/jpe?g|Unknown/i);
  });

  it('is not, but an error, where the colours of a TIFF would be taken for others', async () => {
    /** Without compression. @param photometric - 2: RGB, 6: YCbCr */
    const tiff = (photometric: number, isLittle: boolean): Buffer => {
      const tags = [
        [256, width],
        [257, height],
        [258, 8],
        [259, 1],
        [262, photometric],
        [273, 8],
        [277, 3],
        [278, height],
        [279, rgb.length],
      ] as const;
      const directory = Buffer.alloc(2 + 12 * tags.length + 4);
      const short = (value: number, at: number) =>
        isLittle ? directory.writeUInt16LE(value, at) : directory.writeUInt16BE(value, at);
      short(tags.length, 0);
      tags.forEach(([tag, value], i) => {
        const at = 2 + 12 * i;
        short(tag, at);
        short(3, at + 2);
        short(1, isLittle ? at + 4 : at + 6);
        short(value, at + 8);
      });
      const head = Buffer.from(isLittle ? 'II*\0\0\0\0\0' : 'MM\0*\0\0\0\0', 'latin1');
      if (isLittle) head.writeUInt32LE(8 + rgb.length, 4);
      else head.writeUInt32BE(8 + rgb.length, 4);
      return Buffer.concat([head, rgb, directory]);
    };
    for (const isLittle of [true, false]) {
      expect([...(await decoded(tiff(2, isLittle))).data]).toEqual([...rgb]);
      await expect(check(write('ycbcr.tif', tiff(6, isLittle)))).rejects.toThrow(
        'it is a TIFF in YCbCr that is not compressed as JPEG, which is not read. Save it in RGB',
      );
    }
    // libtiff makes RGB of JPEG.
    const packed = write('packed.tif', await image().tiff({ compression: 'jpeg' }).toBuffer());
    expect(await check(packed)).toMatchObject({ width, height });
  });

  it.each([
    ['nothing', '', 'the file is empty'],
    [
      'text',
      'this is no image',
      'unsupported image format, expected JPEG, PNG, WebP, GIF, BMP, TIFF or PPM',
    ],
    ['zeros', Buffer.alloc(100), 'unsupported image format: it begins with zeros'],
    ['HEIC', '\0\0\0\x18ftypheic\0\0\0\0', 'got a HEIC image, expected JPEG, PNG'],
    ['HTML', '<!DOCTYPE html><html>', 'got an HTML page, expected JPEG'],
    [
      'a BMP of 4 billion pixels',
      bmp24.with(19, 200).with(20, 120).with(23, 200).with(24, 120),
      /cut off|expected at most/,
    ],
  ])('is %s', async (_what, bytes, reason) => {
    await expect(check(write('other.jpg', bytes))).rejects.toThrow(reason);
  });

  it('is a picture larger than can be decoded', async () => {
    const header = `P6 60000 60000 255\n`;
    await expect(check(write('large.ppm', header))).rejects.toThrow(
      /^it has 60000x60000 pixels, 3,600 million, expected at most \d+ million$/,
    );
  });
});
