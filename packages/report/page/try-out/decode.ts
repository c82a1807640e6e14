// A picture's own pixels in full size: upright, without colour conversion, alpha dropped and not blended, as
// Pillow and `mamba-prune predict` decode it. The browser decodes; it does not resize.
import type { Picture } from 'mamba-prune/preparation';
import { upright, webpOrientation } from './orientation.js';

/** Rows at a time: browsers bound the area of a canvas, some at 16 megapixels. */
const stripPixels = 4_000_000;

/** @throws an Error if the browser cannot read the picture */
export async function decode(source: Blob): Promise<Picture> {
  const turn = webpOrientation(new Uint8Array(await source.arrayBuffer()));
  const picture = await pixelsOf(source, turn === undefined ? 'from-image' : 'none');
  return turn === undefined ? picture : upright(picture, turn);
}

async function pixelsOf(source: Blob, imageOrientation: ImageOrientation): Promise<Picture> {
  const bitmap = await createImageBitmap(source, {
    imageOrientation,
    colorSpaceConversion: 'none',
    premultiplyAlpha: 'none',
  });
  try {
    const { width, height } = bitmap;
    const data = new Uint8Array(3 * width * height);
    const rows = Math.max(1, Math.min(height, Math.floor(stripPixels / width)));
    const canvas = new OffscreenCanvas(width, rows);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    if (!context) throw new Error('try-out: this browser has no canvas');
    for (let top = 0; top < height; top += rows) {
      const count = Math.min(rows, height - top);
      context.clearRect(0, 0, width, rows);
      context.drawImage(bitmap, 0, top, width, count, 0, 0, width, count);
      const strip = context.getImageData(0, 0, width, count).data;
      // A canvas keeps colours multiplied by alpha, so that those of transparent pixels are gone.
      const isOpaque = strip.every((value, i) => i % 4 !== 3 || value === 255);
      const straight = isOpaque ? strip : (straightPixels(bitmap, top, count) ?? strip);
      for (let from = 0, to = 3 * top * width; from < straight.length; from += 4) {
        data[to++] = straight[from] ?? 0;
        data[to++] = straight[from + 1] ?? 0;
        data[to++] = straight[from + 2] ?? 0;
      }
    }
    return { data, width, height, channels: 3 };
  } finally {
    bitmap.close();
  }
}

/**
 * Rows as a texture of WebGL has them, whose colours are not multiplied.
 * @returns RGBA; undefined where the browser has no WebGL, or none for a picture so wide
 */
function straightPixels(bitmap: ImageBitmap, top: number, rows: number): Uint8Array | undefined {
  const gl = new OffscreenCanvas(1, 1).getContext('webgl2');
  if (!gl) return undefined;
  const { width } = bitmap;
  if (Math.max(width, bitmap.height) > Number(gl.getParameter(gl.MAX_TEXTURE_SIZE)))
    return undefined;
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(
    ...([gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D] as const),
    gl.getParameter(gl.TEXTURE_BINDING_2D) as WebGLTexture,
    0,
  );
  const out = new Uint8Array(4 * width * rows);
  gl.readPixels(0, top, width, rows, gl.RGBA, gl.UNSIGNED_BYTE, out);
  const isDone = gl.getError() === gl.NO_ERROR;
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  return isDone ? out : undefined;
}
