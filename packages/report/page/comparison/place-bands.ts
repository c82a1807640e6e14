// Where the bands of the picture of a comparison stand, in pixels: at their sizes, and apart where these are nearly the same.

interface Band {
  /** Where it would stand alone. */
  readonly middle: number;
  readonly width: number;
}

/** Bands side by side that would hide each other where they belong; or one that is free. */
export interface Stand {
  readonly middle: number;
  /** Of its bands, from left to right. */
  readonly middles: readonly number[];
}

/**
 * Moves bands as little as keeps them `gap` apart and between 0 and `width`. Where they have no room all together, each stays
 * where it belongs, on top of its neighbours.
 * @param bands - from left to right
 */
export function placeBands(bands: readonly Band[], gap: number, width: number): Stand[] {
  if (widthOf(bands, gap) > width) {
    return bands.map(({ middle }) => ({ middle, middles: [middle] }));
  }
  const stands: { bands: readonly Band[]; middle: number }[] = [];
  for (const band of bands) {
    let own = stand([band], gap, width);
    for (let before = stands.at(-1); before && touch(before, own, gap); before = stands.at(-1)) {
      stands.pop();
      own = stand([...before.bands, ...own.bands], gap, width);
    }
    stands.push(own);
  }
  return stands.map(({ bands: own, middle }) => ({
    middle,
    middles: offsets(own, gap).map((offset) => middle + offset),
  }));
}

const widthOf = (bands: readonly Band[], gap: number): number =>
  bands.reduce((sum, band) => sum + band.width, gap * (bands.length - 1));

/** From the middle of all to the middle of each, side by side. */
function offsets(bands: readonly Band[], gap: number): number[] {
  let left = -widthOf(bands, gap) / 2;
  return bands.map((band) => {
    const middle = left + band.width / 2;
    left += band.width + gap;
    return middle;
  });
}

/** Where its bands are moved least, in the sum of squares. */
function stand(bands: readonly Band[], gap: number, width: number) {
  const shifts = offsets(bands, gap);
  const wanted = bands.reduce((sum, band, i) => sum + band.middle - (shifts[i] ?? 0), 0);
  const half = widthOf(bands, gap) / 2;
  return { bands, middle: Math.max(half, Math.min(width - half, wanted / bands.length)) };
}

const touch = (
  left: { readonly bands: readonly Band[]; readonly middle: number },
  right: { readonly bands: readonly Band[]; readonly middle: number },
  gap: number,
): boolean =>
  left.middle + widthOf(left.bands, gap) / 2 + gap >
  right.middle - widthOf(right.bands, gap) / 2 + 1e-9;
