/**
 * libtorch for Node.js: tensors, automatic differentiation, layers, optimizers, and files of weights.
 *
 * Native memory is freed by `scope`, by `dispose`, and at last by V8.
 *
 * @module @mamba-prune/libtorch
 */
export {
  type DType,
  type MemoryFormat,
  type TypedArray,
  dtypes,
  elementSize,
  isFloat,
} from './dtype.js';
export {
  AddonError,
  DisposedError,
  FormatError,
  ShapeError,
  SingleValueError,
  StateDictError,
  TorchError,
} from './errors.js';
export { type NestedNumbers, type Operand, Tensor } from './tensor.js';
export {
  type RandomOptions,
  type TensorOptions,
  arange,
  cat,
  empty,
  eye,
  fromTypedArray,
  full,
  linspace,
  ones,
  onesLike,
  rand,
  randint,
  randn,
  randperm,
  stack,
  tensor,
  where,
  zeros,
  zerosLike,
} from './factories.js';
export { scope } from './scope.js';
export { type GradOptions, enableGrad, grad, isGradEnabled, noGrad } from './autograd.js';
export { CudaGraph, type GraphBackend } from './cuda-graph.js';
export { DerivedWeights } from './derived-weights.js';
export { LentWeights, type ReversibleForm } from './lent-weights.js';
export { FiledWeights } from './filed-weights.js';
export {
  type CopyPart,
  type LowPrecision,
  WeightCopies,
  copyOf,
  isLowPrecision,
} from './weight-copies.js';
export { Generator, getRngState, manualSeed, setRngState } from './random.js';
export {
  type CudaMemory,
  cudaDeviceCount,
  cudaHasBfloat16,
  cudaMemory,
  emptyCudaCache,
  getNumThreads,
  libtorchConfig,
  libtorchVersion,
  memoryStats,
  setAllowTf32,
  setNumThreads,
  synchronize,
} from './runtime.js';
export { type OptionKind, type OptionKinds, checkOptions } from './check-options.js';
export { callOperator, hasOperator } from './dispatch.js';
export { type OperatorProfile, type OperatorTime, profileOperators } from './profile.js';
export * as ops from './generated/ops.js';
export * as nn from './nn/index.js';
export * as F from './nn/functional.js';
export * as optim from './optim/index.js';
export * as distributed from './distributed/index.js';
export {
  type LoadSafetensorsOptions,
  type LoadTorchSaveOptions,
  loadSafetensors,
  loadTorchSave,
  saveSafetensors,
} from './state-dict.js';
