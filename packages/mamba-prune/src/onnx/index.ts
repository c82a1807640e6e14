/**
 * ONNX files: a model is written as one, compared with the file and run by onnxruntime; and the toolkit with which a
 * family of architectures describes its graph.
 *
 * @module mamba-prune/onnx
 */
export { type BuildOptions, buildOnnxModel } from '../export/build-model.js';
export { type OnnxExport, type OnnxExportOptions, exportOnnx } from '../export/export-onnx.js';
export { OnnxModel, type OnnxPrecision, type OnnxResult } from '../export/onnx-model.js';
export type { Provider, SessionOptions } from '../export/runtime.js';
export type { NumberArray } from './elements.js';
export { type Verification, VerificationError, verifyOnnx } from '../export/verify.js';
export type { FloatType, InputType, Quantization, ScanOp } from './choices.js';
export {
  type Attribute,
  type Attributes,
  type Dim,
  GraphBuilder,
  type NodeOptions,
  type Shape,
  type Value,
} from './graph-builder.js';
export { Layers, type Weight, type WeightFormat } from './layers.js';
export { Layout } from './layout.js';
export { type GraphDescription, modelOf } from './model.js';
export {
  type Binary,
  type ConvSettings,
  type Named,
  type Unary,
  add,
  binary,
  cast,
  concat,
  conv,
  gather,
  gelu,
  ints,
  matMul,
  maxPool,
  mul,
  reduceMean,
  reshape,
  reversed,
  select,
  silu,
  softmax,
  softplus,
  split,
  squeeze,
  transpose,
  unary,
  unsqueeze,
} from './operators.js';
export {
  type AttributeProto,
  type ElementType,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from './messages.js';
export { decodeModel, encodeModel } from './proto.js';
export { type ScanInputs, selectiveScan } from './selective-scan.js';
