// Decoding and resizing against Pillow and torchvision, where there is a Python that has them.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Picture, prepare } from 'mamba-prune/preparation';
import { afterAll, describe, expect, it } from 'vitest';
import { withPicture } from '../packages/mamba-prune/src/data/decode-picture.js';
import { pythonWith, unlessPython as unless } from './support/python.js';

const withPillow = pythonWith('numpy, PIL');
const withTorchvision = pythonWith('numpy, PIL, torchvision');

const folder = mkdtempSync(join(tmpdir(), 'pillow-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const run = (python: string, script: string): unknown =>
  JSON.parse(
    execFileSync(python, ['-c', script, folder], { encoding: 'utf8', maxBuffer: 2 ** 26 }),
  );

interface ResizeCase {
  readonly index: number;
  readonly width: number;
  readonly height: number;
  readonly given: 1 | 3;
  readonly channels: number;
  readonly size: number;
  readonly cropShare: number;
  readonly interpolation: 'bilinear' | 'bicubic';
}

const resizing = `
import json, math, sys
import numpy as np, PIL
from PIL import Image
import torchvision.transforms as T
from torchvision.transforms import InterpolationMode
rng, cases = np.random.default_rng(3), []
for n in range(150):
    width, height = (int(v) for v in rng.integers(1, 400 if n % 3 else 40, 2))
    size = int(rng.integers(1, 64))
    share = float(rng.choice([1, 0.875, 0.9, 0.95, 0.96, 0.7]))
    interpolation = ["bilinear", "bicubic"][n % 2]
    given, wanted = (1 if n % 5 == 0 else 3), (1 if n % 7 == 0 else 3)
    pixels = rng.integers(0, 256, (height, width, 3) if given == 3 else (height, width), dtype="uint8")
    if n % 6 == 1: pixels = ((pixels > 128) * 255).astype("uint8")
    image = Image.fromarray(pixels).convert("RGB" if wanted == 3 else "L")
    if image.size != (size, size):
        image = T.CenterCrop(size)(T.Resize(math.floor(size / share), InterpolationMode(interpolation))(image))
    out = np.asarray(image)
    out = out[None] if out.ndim == 2 else out.transpose(2, 0, 1)
    open(f"{sys.argv[1]}/{n}.in", "wb").write(pixels.tobytes())
    open(f"{sys.argv[1]}/{n}.out", "wb").write(np.ascontiguousarray(out).tobytes())
    cases.append(dict(index=n, width=width, height=height, given=given, channels=wanted, size=size, cropShare=share, interpolation=interpolation))
print(json.dumps({"version": int(PIL.__version__.split(".")[0]), "cases": cases}))
`;

const formats = `
import json, sys
import numpy as np, PIL
from PIL import Image, ImageOps
rng = np.random.default_rng(1)
y, x = np.mgrid[:90, :130]
a = np.stack([128 + 100 * np.sin(x / 7 + y / 11), 128 + 90 * np.cos(x / 5), 128 + 100 * np.sin(x * y / 300)], -1)
image = Image.fromarray((a + rng.normal(0, 12, a.shape)).clip(0, 255).astype("uint8"))
files = []
def save(name, picture, **options):
    path = f"{sys.argv[1]}/{name}"
    picture.save(path, **options)
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    open(path + ".raw", "wb").write(np.asarray(upright).tobytes())
    files.append([name, *upright.size])
save("q75.jpg", image, quality=75)
save("q95-444.jpg", image, quality=95, subsampling=0)
save("q85-422.jpg", image, quality=85, subsampling=1)
save("progressive.jpg", image, progressive=True)
save("grey.jpg", image.convert("L"))
save("cmyk.jpg", image.convert("CMYK"))
save("cmyk.tif", image.convert("CMYK"))
save("rgb.png", image); save("grey.png", image.convert("L")); save("bits.png", image.convert("1"))
save("palette.png", image.quantize(32)); save("palette.bmp", image.quantize(32)); save("palette.gif", image.quantize(32))
save("see-through.png", image.quantize(16), transparency=3)
alpha = image.convert("RGBA"); alpha.putalpha(Image.fromarray(((x + y) % 256).astype("uint8")))
save("alpha.png", alpha); save("alpha.tif", alpha); save("alpha.webp", alpha, lossless=True, exact=True); save("la.png", alpha.convert("LA"))
save("rgb.bmp", image); save("grey.bmp", image.convert("L")); save("bits.bmp", image.convert("1"))
save("lzw.tif", image, compression="tiff_lzw"); save("jpeg.tif", image, compression="jpeg")
save("lossy.webp", image, quality=80); save("lossless.webp", image, lossless=True)
save("rgb.ppm", image); save("grey.pgm", image.convert("L")); save("bits.pbm", image.convert("1"))
for o in range(1, 9):
    exif = Image.Exif(); exif[0x112] = o
    save(f"turned-{o}.jpg", image, exif=exif); save(f"turned-{o}.png", image, exif=exif); save(f"turned-{o}.webp", image, exif=exif, lossless=True)
print(json.dumps(files))
`;

describe('a resized and cut picture', () => {
  it.skipIf(withTorchvision === undefined)(
    `has the bytes of torchvision on PIL images${unless(withTorchvision, 'torchvision, numpy and Pillow')}`,
    () => {
      const { version, cases } = run(withTorchvision ?? '', resizing) as {
        version: number;
        cases: ResizeCase[];
      };
      expect(cases).toHaveLength(150);
      for (const { index, width, height, given, ...way } of cases) {
        const data = readFileSync(join(folder, `${index}.in`));
        const got = prepare({ data, width, height, channels: given }, way, way);
        const want = readFileSync(join(folder, `${index}.out`));
        expect(got.length).toBe(want.length);
        const most = got.reduce((max, v, i) => Math.max(max, Math.abs(v - (want[i] ?? NaN))), 0);
        // Pillow before 13 takes the passes in one order always: of high pictures that rounds otherwise.
        const allowed = version < 13 && height > width ? 1 : 0;
        expect(most, JSON.stringify({ index, width, height, ...way })).toBeLessThanOrEqual(allowed);
      }
    },
  );
});

describe('a decoded picture', () => {
  it.skipIf(withPillow === undefined)(
    `has the pixels of Pillow${unless(withPillow, 'numpy and Pillow')}`,
    async () => {
      const files = run(withPillow ?? '', formats) as [
        name: string,
        width: number,
        height: number,
      ][];
      const off: string[] = [];
      for (const [name, width, height] of files) {
        const want = readFileSync(join(folder, `${name}.raw`));
        const bytes = readFileSync(join(folder, name));
        const { sum, ...size } = await withPicture(bytes, (picture) => ({
          ...{ width: picture.width, height: picture.height },
          sum: distance(picture, want),
        }));
        expect(size, name).toEqual({ width, height });
        // Bytes of lossless files are the same. JPEG and WebP are allowed to be decoded with other roundings;
        // libjpeg-turbo 2.1 to 3.2 and libwebp 1.3 to 1.6 do not.
        const isLossy = /\.jpg$|jpeg\.tif|lossy/.test(name);
        if (sum / want.length > (isLossy ? 0.5 : 0)) off.push(`${name}: ${sum / want.length}`);
      }
      expect(off).toEqual([]);
      expect(files.length).toBeGreaterThan(50);
    },
  );
});

/** Sum of what the channels differ by. */
function distance({ data, width, height, channels }: Picture, want: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) {
      const value = data[i * channels + (channels >= 3 ? c : 0)] ?? NaN;
      sum += Math.abs(value - (want[3 * i + c] ?? NaN));
    }
  }
  return sum;
}
