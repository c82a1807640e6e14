// What is uploaded under load: small and large pictures in all three formats.
import { randomFillSync } from 'node:crypto';
import sharp from 'sharp';
import type { ImageType } from '../container.js';

export interface LoadImage {
  readonly bytes: Buffer;
  readonly type: ImageType;
}

const sizes = [
  [32, 32],
  [224, 224],
  [640, 480],
  [1280, 720],
] as const;

/** Blurred noise, which compresses about as well as photographs; at most `largest` pixels wide. */
export async function loadImages(largest: number): Promise<LoadImage[]> {
  const images: LoadImage[] = [];
  for (const [width, height] of sizes.filter(([side]) => side <= largest)) {
    const pixels = randomFillSync(Buffer.alloc(width * height * 3));
    for (const format of ['jpeg', 'png', 'webp'] as const) {
      // Large PNGs of noise are no photographs any more: 2.7 MB of them.
      if (format === 'png' && width > 224) continue;
      const bytes = await sharp(pixels, { raw: { width, height, channels: 3 } })
        .blur(3)
        .toFormat(format)
        .toBuffer();
      images.push({ bytes, type: `image/${format}` });
    }
  }
  return images;
}
