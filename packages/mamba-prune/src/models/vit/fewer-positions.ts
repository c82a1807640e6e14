// Published ViTs that have positions for fewer tokens than there are. No shape tells their images from others that are not
// square, so what is not among these is asked for.
import type { FewerPositions } from '../import/positions.js';

/** Sizes of images by the patch's, in pixels. */
type Sides = Readonly<Record<number, readonly number[]>>;

/** timm's `no_embed_class` without registers: DeiT III. */
const deit3: Sides = { 14: [224], 16: [224, 384] };

/** The same with registers, as in timm's `reg4_gap` models and its DINOv2. */
const timmRegisters: Sides = { 14: [518], 16: [256, 384] };

/** DINOv2 with registers of Hugging Face, where the class token has a position and they have none. */
const dinov2Registers: Sides = { 14: [518] };

export function fewerPositions(
  tokens: {
    readonly classToken: boolean;
    readonly distilled: boolean;
    readonly registers: number;
    /** Whether the blocks had LayerScale. */
    readonly isScaled: boolean;
  },
  patchSize: number,
): FewerPositions[] {
  const { classToken, distilled, registers, isScaled } = tokens;
  // DeiT III is told by its LayerScale too, at any size.
  const isDeit3 = isScaled && !distilled && registers === 0;
  const published = (rows: number, sides: Sides): FewerPositions => ({
    rows,
    // A distillation token has a position in every published model.
    isPublished: (imageSize) =>
      isDeit3 || (!distilled && sides[patchSize]?.includes(imageSize) === true),
  });
  return [
    published(0, registers > 0 ? timmRegisters : deit3),
    ...(classToken && (distilled || registers > 0) ? [published(1, dinov2Registers)] : []),
  ];
}
