// ViTs that have positions for fewer tokens than there are. No shape tells their images from others that are not square, so
// what is not published, nor told by LayerScale, is asked for.
import type { FewerPositions } from '../import/positions.js';

/** Sizes of images by the patch's, in pixels. */
type Sides = Readonly<Record<number, readonly number[]>>;

/** timm's `no_embed_class` without registers: FlexiViT (240), and DeiT III where its LayerScale was multiplied into the layers. */
const plain: Sides = { 14: [224], 16: [224, 240, 384] };

/** The same with registers: timm's `vit_base_patch16_reg4_gap_256`, the only one there without LayerScale. */
const registered: Sides = { 16: [256] };

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
  const sides = registers > 0 ? registered : plain;
  // Where models with LayerScale have registers, none has a position: timm's `reg1_gap` and `reg4_gap`, TIPSv2 and DINOv2, whose
  // class token has one in Hugging Face's form. Without registers it is DeiT III, unless the patches have 14 px as those of
  // DINOv2, where all tokens have positions.
  const isTold = isScaled && (registers > 0 || patchSize !== 14);
  const form = (rows: number): FewerPositions => ({
    rows,
    // A distillation token has a position in every published model.
    isPublished: (imageSize) =>
      !distilled && (isTold || (rows === 0 && sides[patchSize]?.includes(imageSize) === true)),
  });
  return [form(0), ...(classToken && (distilled || registers > 0) ? [form(1)] : [])];
}
