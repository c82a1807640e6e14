import { deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodeImage } from './decode.js';
import { forgedPng, noise, picture, pngChunk, resizedHeader } from './testing/images.js';

const limits = { maxPixels: 25_000_000, maxSide: 8192, timeoutMs: 3_600_000 };
/** What a model takes: the whole shorter side. */
const target = (shape: readonly [number, number, number]) => ({
  shape,
  preprocessing: { interpolation: 'bilinear', cropShare: 1 } as const,
});
const colour = target([3, 32, 32]);
const any = 'application/octet-stream';

const mebi = 2 ** 20;
const zeros = Buffer.alloc(100 * mebi);

describe('an image', () => {
  it.each(['jpeg', 'png', 'webp'] as const)('as %s becomes planar bytes', async (format) => {
    const pixels = await decodeImage(await picture(format), `image/${format}`, colour, limits);
    expect(pixels).toHaveLength(3 * 32 * 32);
    const mean = pixels.reduce((sum, value) => sum + value, 0) / pixels.length;
    // Noise of 8 levels about 128; lossy formats keep the mean.
    expect(Math.abs(mean - 128)).toBeLessThan(2);
  });

  it('keeps its colours apart', async () => {
    const background = { r: 200, g: 100, b: 50 };
    const png = await sharp({ create: { width: 9, height: 5, channels: 3, background } })
      .png()
      .toBuffer();
    const pixels = await decodeImage(png, 'image/png', target([3, 2, 2]), limits);
    expect([...pixels]).toEqual([200, 200, 200, 200, 100, 100, 100, 100, 50, 50, 50, 50]);
    // 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    expect([...(await decodeImage(png, 'image/png', target([1, 2, 2]), limits))]).toEqual([
      124, 124, 124, 124,
    ]);
  });

  it('is turned upright', async () => {
    // Left half black; orientation 6: shown after a quarter turn clockwise, so black is on top.
    const pixels = Buffer.alloc(32 * 32, 255);
    for (let row = 0; row < 32; row++) pixels.fill(0, row * 32, row * 32 + 16);
    const jpeg = await sharp(pixels, { raw: { width: 32, height: 32, channels: 1 } })
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    const turned = await decodeImage(jpeg, 'image/jpeg', target([1, 32, 32]), limits);
    expect(turned[5 * 32 + 16]).toBeLessThan(10);
    expect(turned[27 * 32 + 16]).toBeGreaterThan(245);
  });

  it('of a single pixel is as good as any', async () => {
    const png = await picture('png', { width: 1, height: 1 });
    expect(await decodeImage(png, any, colour, limits)).toHaveLength(3 * 32 * 32);
  });
});

describe('an upload is refused', () => {
  const refused: readonly (readonly [
    string,
    number,
    string,
    () => Buffer | Promise<Buffer>,
    string?,
  ])[] = [
    ['without bytes', 422, 'empty', () => Buffer.alloc(0)],
    ['of noise', 415, 'unsupported_type', () => noise(5000)],
    ['of text', 415, 'unsupported_type', () => Buffer.from('<html>hello</html>')],
    [
      'as SVG',
      415,
      'unsupported_type',
      () => Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'),
    ],
    [
      'as GIF',
      415,
      'unsupported_type',
      () =>
        sharp(zeros.subarray(0, 300), { raw: { width: 10, height: 10, channels: 3 } })
          .gif()
          .toBuffer(),
    ],
    ['as PNG under the name of JPEG', 415, 'unsupported_type', () => picture('png'), 'image/jpeg'],
    ['with nothing but a signature', 422, 'truncated', () => Buffer.from([0xff, 0xd8, 0xff])],
    [
      'of a JPEG that was cut off',
      422,
      'truncated',
      async () => (await picture('jpeg')).subarray(0, -40),
    ],
    [
      'of a PNG that was cut off',
      422,
      'truncated',
      async () => (await picture('png')).subarray(0, -40),
    ],
    [
      'of a WebP that was cut off',
      422,
      'truncated',
      async () => (await picture('webp')).subarray(0, -40),
    ],
    [
      'of a JPEG and an archive',
      422,
      'trailing_data',
      async () => Buffer.concat([await picture('jpeg'), Buffer.from('PK\u0003\u0004')]),
    ],
    [
      'of a PNG and a page',
      422,
      'trailing_data',
      async () => Buffer.concat([await picture('png'), Buffer.from('<script>alert(1)</script>')]),
    ],
    [
      'of a WebP and a script',
      422,
      'trailing_data',
      async () => Buffer.concat([await picture('webp'), Buffer.from('#!/bin/sh')]),
    ],
    [
      'of 1x100000 pixels',
      422,
      'too_many_pixels',
      () => forgedPng(1, 100_000, { data: Buffer.alloc(200_000) }),
    ],
    [
      'of 1x8000 pixels',
      422,
      'too_narrow',
      () => forgedPng(1, 8000, { data: Buffer.alloc(16_000) }),
    ],
    [
      'of 100 million pixels in 100 KB',
      422,
      'too_many_pixels',
      () => forgedPng(10_000, 10_000, { data: zeros }),
    ],
    [
      'of 65500x65500 pixels in a JPEG of 64x48',
      422,
      'too_many_pixels',
      async () => resizedHeader(await picture('jpeg'), 65_500, 65_500),
    ],
    ['of no pixels', 422, 'damaged', () => forgedPng(0, 0)],
    ['of a PNG without its pixels', 422, 'damaged', () => forgedPng(64, 64)],
    [
      'of a PNG with a wrong checksum',
      422,
      'damaged',
      async () => {
        const png = Buffer.from(await picture('png'));
        png.writeUInt8(png.readUInt8(60) ^ 0xff, 60);
        return png;
      },
    ],
    [
      'of an animation',
      422,
      'animated',
      () =>
        sharp(noise(300 * 4), { raw: { width: 10, height: 40, channels: 3, pageHeight: 10 } })
          .webp({ loop: 0 })
          .toBuffer(),
    ],
  ];

  const cases = refused.map(([what, statusCode, code, make, declared = any]) => {
    return { what, statusCode, code, make, declared };
  });
  it.each(cases)('$what', async ({ statusCode, code, make, declared }) => {
    await expect(decodeImage(await make(), declared, colour, limits)).rejects.toMatchObject({
      statusCode,
      code,
    });
  });

  it('with a reason that names what was found and what was expected', async () => {
    const bomb = forgedPng(10_000, 10_000, { data: Buffer.alloc(1) });
    await expect(decodeImage(bomb, any, colour, limits)).rejects.toThrow(
      'The image has 10000x10000 pixels, expected at most 25000000 pixels and 8192 on a side.',
    );
  });

  it('without using memory for what it claims', async () => {
    const bombs = [
      // Says 64x64, and holds 100 MiB.
      forgedPng(64, 64, { data: zeros }),
      // A comment of 100 MiB.
      forgedPng(64, 64, {
        data: Buffer.alloc(65 * 64),
        extra: [pngChunk('zTXt', Buffer.concat([Buffer.from('a\0\0'), deflateSync(zeros)]))],
      }),
      forgedPng(10_000, 10_000, { data: zeros }),
      forgedPng(1, 100_000, { data: zeros }),
      resizedHeader(await picture('jpeg'), 65_500, 65_500),
      noise(mebi),
    ];
    const all = async (): Promise<void> => {
      await Promise.allSettled(bombs.map((bytes) => decodeImage(bytes, any, colour, limits)));
    };
    await all();
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 10; i++) await all();
    // 30 pictures of 100 MiB would be 3 GiB, one alone 100 MiB; what remains is the allocators' own.
    expect((process.memoryUsage.rss() - before) / mebi).toBeLessThan(50);
  });
});
