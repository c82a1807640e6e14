// Sizes and corners, rounded as torchvision's Resize and CenterCrop round them.

/** A picture's size after the resize, and where the square is cut out of it. */
export interface Frame {
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly top: number;
}

/** Length that the shorter side is resized to. */
export const shorterSide = (size: number, cropShare: number): number =>
  Math.floor(size / cropShare);

/**
 * A picture that has the model's size already is taken as it is: resizing it only to cut its edge off would
 * lose pixels that were made for this size.
 * @param size - side of the square
 */
export function frameOf(width: number, height: number, size: number, cropShare: number): Frame {
  if (width === size && height === size) return { width, height, left: 0, top: 0 };
  const resized = resizedTo(width, height, shorterSide(size, cropShare));
  return {
    ...resized,
    left: halfToEven((resized.width - size) / 2),
    top: halfToEven((resized.height - size) / 2),
  };
}

/** torchvision: `int(size * long / short)`, which rounds down. */
export function resizedTo(
  width: number,
  height: number,
  shorter: number,
): { readonly width: number; readonly height: number } {
  return width <= height
    ? { width: shorter, height: Math.trunc((shorter * height) / width) }
    : { width: Math.trunc((shorter * width) / height), height: shorter };
}

/** Python's `round`, by which torchvision places the crop: 0.5 becomes 0, 1.5 becomes 2. */
export function halfToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1;
  return below % 2 === 0 ? below : below + 1;
}
