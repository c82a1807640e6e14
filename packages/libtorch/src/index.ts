export {
  type DType,
  type MemoryFormat,
  type TypedArray,
  dtypes,
  elementSize,
  isFloat,
} from './dtype.js';
export { DisposedError, FormatError, ShapeError, TorchError } from './errors.js';
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
export { Generator, getRngState, manualSeed, setRngState } from './random.js';
export {
  cudaDeviceCount,
  getNumThreads,
  libtorchConfig,
  libtorchVersion,
  memoryStats,
  setNumThreads,
  synchronize,
} from './runtime.js';
export { callOperator } from './dispatch.js';
export * as ops from './generated/ops.js';
