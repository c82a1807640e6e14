// --precision beside ONNX files, which say themselves what they compute in.
import { isOnnx } from './model-argument.js';

/** Says of the ONNX files among `paths` that a precision that was asked for does not reach them. */
export function noteOnnxPrecision(
  context: { note(text: string): void },
  paths: readonly string[],
  precision: string | undefined,
): void {
  if (precision === undefined || precision === 'auto' || precision === 'fp32') return;
  for (const path of paths.filter(isOnnx)) {
    context.note(
      `${path}: onnxruntime computes in what the file says, whatever --precision is. ` +
        'For 8-bit products export it with --quantize int8-dynamic.',
    );
  }
}
