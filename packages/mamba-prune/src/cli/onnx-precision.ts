// --precision beside ONNX files, which say themselves what they compute in.
import type { OnnxPrecision } from '../export/onnx-model.js';
import type { InferencePrecision } from '../precision.js';

/** How to come to a file that computes in what was asked for, or in something near. */
const advice = {
  fp32: 'For float32 export it without --dtype and --quantize.',
  bf16: 'No ONNX file that export writes computes in bf16; for 16 bits export it with --dtype float16.',
  int8: 'For 8-bit products export it with --quantize int8-dynamic.',
} as const;

/** What is said of an ONNX file that computes in something else than was asked for; undefined where it does not. */
export function onnxPrecisionNote(
  asked: InferencePrecision | undefined,
  computed: OnnxPrecision,
): string | undefined {
  if (asked === undefined || asked === 'auto' || asked === computed) return undefined;
  return `onnxruntime computes in what the file says, which is ${computed}, whatever --precision is. ${advice[asked]}`;
}
