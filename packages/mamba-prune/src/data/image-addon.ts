// The addon's threads for images, where they are there: nothing is built for them, and nothing needs them.
import {
  hasImageThreads,
  hasTurboJpeg,
  imageFloats,
  imageThreads,
  jpegSquare,
  pixelsSquare,
} from '@mamba-prune/libtorch/images';
import type { NoteHandler } from './types.js';

export interface ImageAddon {
  /** Whether JPEG files are decoded too. */
  readonly jpegs: boolean;
  readonly jpegSquare: typeof jpegSquare;
  readonly pixelsSquare: typeof pixelsSquare;
  readonly imageFloats: typeof imageFloats;
}

let known: ImageAddon | null = null;
let isBroken = false;

/** @returns null where the addon is not built, or cannot be loaded: then sharp and TypeScript give the same bytes */
export function imageAddon(): ImageAddon | null {
  if (isBroken || !hasImageThreads()) return null;
  try {
    known ??= { jpegs: hasTurboJpeg(), jpegSquare, pixelsSquare, imageFloats };
    imageThreads(); // as many as are computed with, which may have changed
    return known;
  } catch {
    // Whatever computes with the addon says why; a model that another program runs needs none.
    isBroken = true;
    return null;
  }
}

let isSaid = false;

/** Says once in a process why JPEG files take longer than they need to. */
export function noteSlowJpegs(
  onNote: NoteHandler | undefined,
  addon: ImageAddon | null = imageAddon(),
): void {
  if (isSaid || onNote === undefined || addon === null || addon.jpegs) return;
  isSaid = true;
  onNote(
    'JPEG files are decoded by sharp, because libjpeg-turbo (libturbojpeg.so.0) is not on this system. The pixels are the ' +
      'same, and an image takes about four times as long. Debian and Ubuntu have it as the package libturbojpeg0 or libturbojpeg.',
  );
}
