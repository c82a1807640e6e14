// What the addon's threads give is what sharp and preparation/resample.ts give, byte for byte.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasTurboJpeg, pixelsSquare, setImageThreads } from '@mamba-prune/libtorch/images';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import { frameOf } from '../preparation/geometry.js';
import { type ImageAddon, imageAddon, noteSlowJpegs } from './image-addon.js';
import { checkImage, decodeInto, type Framing } from './image-decode.js';

const dir = mkdtempSync(join(tmpdir(), 'mp-image-addon-'));
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

const here = imageAddon() as ImageAddon;
const withoutJpegs: ImageAddon = { ...here, jpegs: false };
const why = hasTurboJpeg() ? '' : ' (libjpeg-turbo is not on this system)';

const [width, height] = [230, 171];
/** Smooth ground with hard edges and some noise: every frequency, and overshoots to clip. */
const pixels = Buffer.from(
  Array.from({ length: width * height }, (_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    const edge = (x >> 4) % 2 === (y >> 3) % 2 ? 255 : 0;
    return [edge, (x * 3 + y * 2) % 256, ((x * x + 7 * y) * 2654435) % 256];
  }).flat(),
);
const image = () => sharp(pixels, { raw: { width, height, channels: 3 } });

const kinds = {
  '4:2:0': () => image().jpeg({ quality: 90 }).toBuffer(),
  '4:4:4': () => image().jpeg({ quality: 97, chromaSubsampling: '4:4:4' }).toBuffer(),
  progressive: () => image().jpeg({ quality: 60, progressive: true }).toBuffer(),
  grey: () => image().greyscale().jpeg({ quality: 80 }).toBuffer(),
  cmyk: () => image().toColourspace('cmyk').jpeg().toBuffer(),
  turned: () => image().withMetadata({ orientation: 6 }).jpeg().toBuffer(),
  // sharp writes neither; Pillow 13 made these, of 56x40 pixels.
  '4:2:2': () => readFileSync(new URL('fixtures/chroma-422.jpg', import.meta.url)),
  '4:1:1': () => readFileSync(new URL('fixtures/chroma-411.jpg', import.meta.url)),
} as const;

const framings: readonly Framing[] = (['bilinear', 'bicubic'] as const).flatMap((interpolation) => [
  { kind: 'centre', preprocessing: { interpolation, cropShare: 0.875 } },
  { kind: 'centre', preprocessing: { interpolation, cropShare: 1 } },
  ...[
    { left: 0, top: 0, width: 64, height: 64 },
    { left: 3, top: 9, width: 100, height: 77 },
    // Much higher than wide: Pillow begins with the columns.
    { left: 31, top: 1, width: 20, height: 150 },
    { left: 10, top: 20, width: 7, height: 5 },
  ].map((box): Framing => ({ kind: 'box', box, interpolation, resize: 'pillow' })),
]);

const input = { channels: 3, size: 64 };

async function squares(path: string, addon: ImageAddon | null): Promise<Buffer> {
  const header = await checkImage(path, readFileSync(path).length);
  const inside = framings.filter(
    (framing) =>
      framing.kind === 'centre' ||
      (framing.box.left + framing.box.width <= header.width &&
        framing.box.top + framing.box.height <= header.height),
  );
  const made = inside.map(async (framing) => {
    const out = new Uint8Array(3 * 64 * 64);
    await decodeInto(out, path, header, input, framing, addon);
    return out;
  });
  return Buffer.concat(await Promise.all(made));
}

async function write(name: string, bytes: Promise<Buffer> | Buffer): Promise<string> {
  const path = join(dir, name);
  writeFileSync(path, await bytes);
  return path;
}

describe('the threads for images', () => {
  it.each(Object.keys(kinds) as (keyof typeof kinds)[])(
    'give the bytes of sharp and TypeScript: %s',
    async (kind) => {
      const path = await write(`${kind.replaceAll(':', '')}.jpg`, kinds[kind]());
      const expected = await squares(path, null);
      // Not all the same: otherwise any fault would be equal to any other.
      expect(new Set(expected).size).toBeGreaterThan(50);
      expect((await squares(path, withoutJpegs)).equals(expected)).toBe(true);
      expect((await squares(path, here)).equals(expected)).toBe(true);
    },
  );

  it('say of a file that has another size than when it was checked that it has changed', async () => {
    const path = await write('changed.jpg', kinds.progressive());
    const header = { width: 400, height: 300, isPlain: true };
    const box = { left: 200, top: 100, width: 150, height: 150 };
    const framing: Framing = { kind: 'box', box, interpolation: 'bilinear', resize: 'pillow' };
    for (const addon of [here, withoutJpegs, null]) {
      const out = new Uint8Array(3 * 64 * 64);
      await expect(decodeInto(out, path, header, input, framing, addon)).rejects.toThrow(
        'the file has changed: it has 230x171 pixels, and had 400x300 when it was checked',
      );
    }
  });

  it('take pictures whose longer side becomes millions of pixels', async () => {
    const long = { width: 300_000, height: 1, channels: 3 } as const;
    const raw = Buffer.from(Array.from({ length: 900_000 }, (_, i) => (i * 2654435) % 251));
    const path = await write('long.png', sharp(raw, { raw: long }).png().toBuffer());
    const expected = await squares(path, null);
    expect(new Set(expected).size).toBeGreaterThan(3);
    expect((await squares(path, here)).equals(expected)).toBe(true);
  });

  it.skipIf(why !== '').each([
    ['cmyk', false],
    ['turned', false],
    ['grey', true],
    ['4:2:0', true],
  ] as const)(`decode only what needs no closer look: %s${why}`, async (kind, expected) => {
    const path = await write(`look-${kind.replaceAll(':', '')}.jpg`, kinds[kind]());
    const box = { left: 0, top: 0, width: 10, height: 10 };
    const frame = { left: 0, top: 0, width: 8, height: 8 };
    const square = { width, height, part: box, frame, size: 8, channels: 3 };
    const out = new Uint8Array(3 * 64);
    const whole = { ...square, interpolation: 'bilinear' } as const;
    expect(await here.jpegSquare(path, whole, out)).toBe(expected);
    // A file that has changed since it was checked.
    const other = { ...whole, width: width + 1 };
    expect(await here.jpegSquare(path, other, out)).toBe(false);
    expect(await here.jpegSquare(join(dir, 'nothing.jpg'), whole, out)).toBe(false);
  });

  it('give the same bytes whatever their number', async () => {
    const path = await write('threads.jpg', kinds['4:2:0']());
    const results: Buffer[] = [];
    for (const count of [1, 5, 2]) {
      setImageThreads(count);
      results.push(...(await Promise.all([1, 2, 3, 4].map(() => squares(path, here)))));
    }
    expect(new Set(results.map((bytes) => bytes.toString('base64'))).size).toBe(1);
  });

  it('name a damaged file as sharp does', async () => {
    const bytes = await kinds['4:2:0']();
    const middle = Math.floor(bytes.length / 2);
    const garbled = Buffer.from(bytes);
    garbled.fill(0xff, middle, middle + 200);
    const cut = bytes.subarray(0, middle);
    const header = { width, height, isPlain: true };
    const framing = framings[0] as Framing;
    const faults = [['garbled.jpg', garbled] as const, ['cut.jpg', cut] as const];
    for (const [name, content] of [...faults, ['empty.jpg', Buffer.alloc(0)] as const]) {
      const path = await write(name, content);
      const messageOf = (addon: ImageAddon | null): Promise<string> =>
        decodeInto(new Uint8Array(3 * 64 * 64), path, header, input, framing, addon).then(
          () => 'decoded',
          (error: unknown) => (error as Error).message,
        );
      const [expected, got] = [await messageOf(null), await messageOf(here)];
      expect(got).toBe(expected);
      if (name !== 'garbled.jpg') {
        expect(got).toContain(`${path}: cannot be decoded (`);
        expect(got).toContain('Replace or delete it.');
      }
    }
  });

  it('refuse what lies outside', () => {
    const frame = frameOf(4, 4, 2, 1);
    const square = {
      width: 4,
      height: 4,
      size: 2,
      channels: 3,
      frame,
      interpolation: 'bilinear' as const,
      part: { left: 0, top: 0, width: 4, height: 4 },
    };
    const [from, to] = [new Uint8Array(48), new Uint8Array(12)];
    const attempt =
      (change: object, source = from, out = to) =>
      () =>
        pixelsSquare(source, 3, { ...square, ...change }, out);
    expect(attempt({ part: { left: 1, top: 0, width: 4, height: 4 } })).toThrow(RangeError);
    expect(attempt({ frame: { ...frame, left: frame.width } })).toThrow(/lies outside/);
    expect(attempt({ channels: 1 }, from, new Uint8Array(4))).toThrow(/a channel for each colour/);
    expect(attempt({}, new Uint8Array(47))).toThrow(/got 47 bytes for 3 channels, expected 48/);
    expect(attempt({}, from, new Uint8Array(11))).toThrow(/memory of another size/);
    expect(attempt({ width: 0.5 })).toThrow(/width: got .*0\.5.*expected an integer from 1/);
  });

  /**
   * Writes a program with a worker: `one()` makes a square of `size` of a picture of `side` on three threads of the addon.
   * @returns its path
   */
  function writeProgram(
    name: string,
    { side, size }: { readonly side: number; readonly size: number },
    { main, worker }: { readonly main: string; readonly worker: string },
  ): string {
    const images = new URL('../../../libtorch/dist/images/index.js', import.meta.url).href;
    const path = join(dir, name);
    writeFileSync(
      path,
      `
      import { Worker, isMainThread, parentPort } from 'node:worker_threads';
      import { pixelsSquare, setImageThreads } from ${JSON.stringify(images)};
      const square = { width: ${side}, height: ${side}, size: ${size}, channels: 3, interpolation: 'bicubic',
        part: { left: 0, top: 0, width: ${side}, height: ${side} },
        frame: { left: 0, top: 0, width: ${size}, height: ${size} } };
      const pixels = new Uint8Array(${side} * ${side} * 3);
      const one = () => pixelsSquare(pixels, 3, square, new Uint8Array(3 * ${size} * ${size}));
      setImageThreads(3);
      const begunWorker = async () => {
        const worker = new Worker(new URL(import.meta.url));
        await new Promise((done) => worker.once('message', done));
        return worker;
      };
      if (isMainThread) {
        ${main}
      } else {
        ${worker}
      }`,
    );
    return path;
  }

  it('let a process and its workers end while pictures are under way', () => {
    // A worker is stopped in the middle of its pictures, and the process ends in the middle of others.
    const main = `
        const worker = await begunWorker();
        await worker.terminate();
        await one();
        console.log('still here');
        for (let i = 0; i < 40; i++) one();
        process.exit(7);`;
    const worker = `
        const all = Array.from({ length: 40 }, one);
        parentPort.postMessage('begun');
        await Promise.all(all);`;
    const path = writeProgram('ends.mjs', { side: 1500, size: 224 }, { main, worker });
    const ended = ((): { status: number | null; stdout: string; stderr: string } => {
      try {
        const stdout = execFileSync(process.execPath, [path], { encoding: 'utf8', stdio: 'pipe' });
        return { status: 0, stdout, stderr: '' };
      } catch (error) {
        return error as { status: number | null; stdout: string; stderr: string };
      }
    })();
    expect(ended).toMatchObject({ status: 7, stdout: 'still here\n', stderr: '' });
  });

  it('let workers end while answers come in', () => {
    const main = `
        for (let k = 0; k < 20; k++) {
          const worker = await begunWorker();
          await new Promise((done) => setTimeout(done, k % 10));
          await worker.terminate();
        }
        console.log('still here');`;
    const worker = `
        parentPort.postMessage('begun');
        for (;;) await Promise.all(Array.from({ length: 300 }, one));`;
    const path = writeProgram('workers-end.mjs', { side: 60, size: 24 }, { main, worker });
    expect(execFileSync(process.execPath, [path], { encoding: 'utf8' })).toBe('still here\n');
  });

  it('are not missed in silence: a note says once what decodes JPEG files instead', () => {
    const notes: string[] = [];
    const note = (text: string) => notes.push(text);
    noteSlowJpegs(note, here.jpegs ? here : null);
    expect(notes).toEqual([]);
    noteSlowJpegs(note, withoutJpegs);
    noteSlowJpegs(note, withoutJpegs);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toContain('libturbojpeg0');
  });
});
