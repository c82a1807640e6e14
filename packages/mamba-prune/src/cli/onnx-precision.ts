// --precision beside ONNX files, which say themselves what they compute in.
import type { OnnxPrecision } from '../export/onnx-model.js';
import type { InferencePrecision, ResolvedInferencePrecision } from '../precision.js';
import type { Context } from './context.js';
import { type ModelFacts, sayAssumptions } from './open-model.js';
import type { CommonOptions } from './options/common.js';

/** An ONNX file may have been written in another format than models compute in here. */
export type ComputedIn = ResolvedInferencePrecision | OnnxPrecision;

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

/** What there is to say of an ONNX file, which is said too: that it computes in something else than was asked for. */
export function onnxFacts(
  context: Context<CommonOptions & { readonly precision?: InferencePrecision }>,
  path: string,
  computed: OnnxPrecision,
): ModelFacts {
  const note = onnxPrecisionNote(context.options.precision, computed);
  const facts = { model: path, assumed: [], notes: note === undefined ? [] : [note] };
  sayAssumptions(context, facts);
  return facts;
}
