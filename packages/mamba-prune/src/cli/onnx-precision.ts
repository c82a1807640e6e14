// --precision beside ONNX files, which say themselves what they compute in.
import { isOnnx } from '../workflows/model-path.js';

/** What is said of an ONNX file that a precision was asked for which does not reach it; undefined where that changes nothing. */
export function onnxPrecisionNote(
  asked: string | undefined,
  computed?: string,
): string | undefined {
  if (asked === undefined || asked === 'auto' || asked === 'fp32' || asked === computed) return;
  const does = computed === undefined ? '' : `, which is ${computed}`;
  return (
    `onnxruntime computes in what the file says${does}, whatever --precision is. ` +
    'For 8-bit products export it with --quantize int8-dynamic.'
  );
}

/** Says so, where `path` is an ONNX file. */
export function noteOnnxPrecision(
  context: { note(text: string): void },
  path: string,
  asked: string | undefined,
): void {
  const note = isOnnx(path) ? onnxPrecisionNote(asked) : undefined;
  if (note !== undefined) context.note(`${path}: ${note}`);
}
