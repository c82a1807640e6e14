/** Size of one image and what stands outside it. Images are uint8 planar, [channels, height, width]. */
export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Per channel: the data set's mean colour, which is zero once normalised. */
  readonly fill: Uint8Array;
}

export function imageShape(info: {
  channels: number;
  height: number;
  width: number;
  mean: readonly number[];
}): ImageShape {
  const fill = Uint8Array.from({ length: info.channels }, (_, c) =>
    Math.round((info.mean[c] ?? 0.5) * 255),
  );
  return { channels: info.channels, height: info.height, width: info.width, fill };
}
