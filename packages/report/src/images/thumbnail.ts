// Images of a data set as small PNG files in the page.
import type { DatasetInfo, ImageSplit } from 'mamba-prune';

/**
 * @param index - in the split
 * @param side - larger images are shrunk to it, in pixels
 * @returns a data: URI
 */
export async function thumbnail(
  split: ImageSplit,
  index: number,
  { channels, height, width }: Pick<DatasetInfo, 'channels' | 'height' | 'width'>,
  side = 96,
): Promise<string> {
  const planes = await split.read([index]);
  const pixels = interleaved(planes, channels);
  const { default: sharp } = await import('sharp');
  const image = sharp(pixels, { raw: { width, height, channels } });
  const png = await image
    .resize({ width: side, height: side, fit: 'inside', withoutEnlargement: true })
    .png({ compressionLevel: 9, palette: channels === 1 })
    .toBuffer();
  return `data:image/png;base64,${png.toString('base64')}`;
}

/** From [channels, pixels] to [pixels, channels]. */
export function interleaved(planes: Uint8Array, channels: number): Uint8Array {
  const count = planes.length / channels;
  return Uint8Array.from(
    { length: planes.length },
    (_, i) => planes[(i % channels) * count + Math.floor(i / channels)] ?? 0,
  );
}
