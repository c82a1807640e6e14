// How far the logits of an exported model may be from the original's, as a share of the largest.
import type { FloatType, Quantization } from '../onnx/choices.js';

export interface Precision {
  readonly dtype?: FloatType;
  readonly quantize?: Quantization | undefined;
}

/**
 * Two correct programs that add float32 numbers in different orders differ by some 1e-6 of the largest
 * logit after a hundred layers (the most we have seen is 2e-6); a wrong weight, order or constant makes
 * far more than 1e-4.
 */
const float32Tolerance = 1e-4;

/**
 * Fewer bits cost what they cost: these bounds tell a broken file from a rounded one, no more. Seen on
 * trained models: 4e-4 (float16), 5e-3 (int8), 0.5 (int8-dynamic). The graph itself is the same as in
 * float32, where it is checked strictly.
 */
const roundedTolerance = { float16: 0.02, int8: 0.1, 'int8-dynamic': 1 } as const;

export function toleranceOf({ dtype = 'float32', quantize }: Precision): number {
  if (quantize !== undefined) return roundedTolerance[quantize];
  return dtype === 'float16' ? roundedTolerance.float16 : float32Tolerance;
}

/** Whether weights or activations have fewer bits than in the original. */
export const isRounded = ({ dtype = 'float32', quantize }: Precision): boolean =>
  dtype !== 'float32' || quantize !== undefined;

/** `float32`, `float16`, `int8`, `float16, int8 weights` ... */
export function precisionName({ dtype = 'float32', quantize }: Precision): string {
  if (quantize === undefined) return dtype;
  return dtype === 'float32' ? quantize : `${dtype}, ${quantize}`;
}
