// Globals of torch that checkpoints contain: element types, storages, and how tensors are put together.
import {
  maxDimensions,
  safetensorsItemSize,
  type SafetensorsDType,
  safetensorsDTypes,
} from '../safetensors/dtype.js';
import { FormatError } from '../errors.js';
import { quoted } from '../safetensors/header.js';
import { otherStorages } from './other-tensor.js';
import type { Call } from './python-globals.js';
import type { StorageBytes } from './storage.js';
import { TorchTensor } from './torch-tensor.js';
import { describe, type Unpickler } from './unpickler.js';
import { type PickleValue, PythonGlobal, PythonObject } from './values.js';

/** torch's names of the element types that we read. */
const dtypesOfTorch: Readonly<Record<string, SafetensorsDType>> = safetensorsDTypes;

/** The same as text, for messages. */
export const dtypesHere = Object.keys(dtypesOfTorch).join(', ');

/** Storage classes with their element type; null is bytes without a type (torch >= 2.1). */
export const storageTypes: ReadonlyMap<string, SafetensorsDType | null> = new Map([
  ['torch.DoubleStorage', 'F64'],
  ['torch.FloatStorage', 'F32'],
  ['torch.HalfStorage', 'F16'],
  ['torch.BFloat16Storage', 'BF16'],
  ['torch.LongStorage', 'I64'],
  ['torch.IntStorage', 'I32'],
  ['torch.ShortStorage', 'I16'],
  ['torch.CharStorage', 'I8'],
  ['torch.ByteStorage', 'U8'],
  ['torch.BoolStorage', 'BOOL'],
  ['torch.UntypedStorage', null],
  ['torch.storage.UntypedStorage', null],
  ['torch.storage._UntypedStorage', null], // torch 1.12
]);

/** Element types are only named, so they become their name: `torch.float32`. */
export const dtypeNames: ReadonlySet<string> = new Set(
  [
    ...Object.keys(dtypesOfTorch),
    'complex32',
    'complex64',
    'complex128',
    'uint16',
    'uint32',
    'uint64',
    'qint8',
    'quint8',
    'qint32',
    'float8_e4m3fn',
    'float8_e4m3fnuz',
    'float8_e5m2',
    'float8_e5m2fnuz',
    'float8_e8m0fnu',
    'float4_e2m1fn_x2',
  ].map((name) => `torch.${name}`),
);

/** A storage on its way into a tensor. One that is saved by itself stays, as a plain object. */
export class StorageReference extends PythonObject {
  readonly storage: StorageBytes;
  readonly dtype: SafetensorsDType | null;
  readonly device: string;
  /** Where it begins in the storage, in elements: before torch 0.4 a storage could be a part of another. */
  readonly offset: number;

  constructor(
    typeName: string,
    storage: StorageBytes,
    dtype: SafetensorsDType | null,
    device: string,
    offset: number,
  ) {
    super(typeName, [storage.key]);
    this.storage = storage;
    this.dtype = dtype;
    this.device = device;
    this.offset = offset;
  }
}

/** The functions and classes of torch that make a tensor of a storage, or wrap one. */
const tensorBuilders: ReadonlyMap<string, Call> = new Map<string, Call>([
  // (storage, offset, shape, strides, requires_grad, backward_hooks, metadata); the first has no flags yet.
  ['torch._utils._rebuild_tensor', (args, m) => rebuild(args, m, undefined, args[6])],
  ['torch._utils._rebuild_tensor_v2', (args, m) => rebuild(args, m, undefined, args[6])],
  // For element types without a storage class: (..., dtype, metadata).
  ['torch._utils._rebuild_tensor_v3', (args, m) => rebuild(args, m, args[6] ?? null, args[7])],
  ['torch._utils._rebuild_parameter', rebuildParameter],
  ['torch._utils._rebuild_parameter_with_state', rebuildParameter],
  // torch < 0.4 (torchvision's first weights): the class with the data, and flags as its state.
  ['torch.nn.parameter.Parameter', rebuildParameter],
  ['torch.autograd.variable.Variable', rebuildParameter],
]);

export const torchGlobals: ReadonlyMap<string, Call | null> = new Map<string, Call | null>([
  ...tensorBuilders,
  ['torch._tensor._rebuild_from_type_v2', rebuildFromType],
  ['torch.Size', makeSize],
  ['torch.device', makeDevice],
  ['torch.torch_version.TorchVersion', (args) => (typeof args[0] === 'string' ? args[0] : null)],
  ['torch.Tensor', null],
  ['torch.storage.TypedStorage', null],
  ['torch.storage._TypedStorage', null],
  ...[...storageTypes.keys()].map((name): [string, null] => [name, null]),
]);

function rebuild(
  args: readonly PickleValue[],
  m: Unpickler,
  dtypeName: PickleValue | undefined,
  metadata: PickleValue | undefined,
): TorchTensor {
  const [storage, offset, shape, strides, requiresGrad] = args;
  if (!(storage instanceof StorageReference)) {
    m.fail(`a tensor of ${describe(storage ?? null)}, expected a storage`);
  }
  // Lazily conjugated or negated views: their bytes alone would have the wrong sign.
  if (metadata instanceof Map && [...metadata.values()].some((flag) => flag !== false)) {
    m.fail(
      'a tensor that is a lazy view (conj, neg), expected plain values: call resolve_neg() before saving',
    );
  }
  const dtype = dtypeName === undefined ? storage.dtype : dtypeOf(dtypeName, m);
  if (dtype === null) m.fail('a tensor of untyped bytes');
  return new TorchTensor(
    storage.storage,
    {
      dtype,
      shape: naturals(shape, 'a shape', m),
      strides: naturals(strides, 'strides', m),
      storageOffset: storage.offset + natural(offset, 'a storage offset', m),
    },
    requiresGrad === true,
    storage.device,
    m.where,
  );
}

function rebuildParameter(args: readonly PickleValue[], m: Unpickler): TorchTensor {
  const [data, requiresGrad] = args;
  if (!(data instanceof TorchTensor)) m.fail(`a parameter of ${describe(data ?? null)}`);
  return data.withRequiresGrad(requiresGrad === true);
}

/** _rebuild_from_type_v2(function, type, args, state): a tensor with Python attributes, which we drop. */
function rebuildFromType(args: readonly PickleValue[], m: Unpickler): PickleValue {
  const [builder, , inner] = args;
  // Only functions that make tensors: the function itself would open the door to endless recursion.
  const build = builder instanceof PythonGlobal ? tensorBuilders.get(builder.name) : undefined;
  if (build === undefined || !Array.isArray(inner)) {
    m.fail(`a tensor made by ${describe(builder ?? null)}`);
  }
  return build(inner, m);
}

function dtypeOf(name: PickleValue, m: Unpickler): SafetensorsDType {
  const dtype = known(name);
  if (dtype === undefined) {
    const tensor = m.key === undefined ? 'a tensor' : `tensor ${quoted(m.key)}`;
    throw new FormatError(
      `${m.where}: ${tensor}: got ${describe(name)} as its dtype, expected one of ${dtypesHere}. ` +
        'Convert the tensor before saving it.',
    );
  }
  return dtype;
}

function known(name: PickleValue): SafetensorsDType | undefined {
  const short = typeof name === 'string' ? name.replace(/^torch\./, '') : '';
  return Object.hasOwn(dtypesOfTorch, short) ? dtypesOfTorch[short] : undefined;
}

function makeSize(args: readonly PickleValue[], m: Unpickler): PickleValue {
  return naturals(args[0] ?? [], 'a torch.Size', m);
}

function makeDevice(args: readonly PickleValue[], m: Unpickler): PickleValue {
  const [type, index] = args;
  if (typeof type !== 'string') m.fail('a torch.device without a type');
  m.charge(type.length);
  return typeof index === 'number' ? `${type}:${index}` : type;
}

function natural(value: PickleValue | undefined, what: string, m: Unpickler): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    m.fail(`${describe(value ?? null)} in ${what}, expected an integer of at least 0`);
  }
  return value;
}

function naturals(value: PickleValue | undefined, what: string, m: Unpickler): number[] {
  if (!Array.isArray(value) || value.length > maxDimensions) {
    m.fail(`${describe(value ?? null)} as ${what}, expected at most ${maxDimensions} integers`);
  }
  m.charge(value.length);
  return value.map((item) => natural(item, what, m));
}

/**
 * Bytes of an element of a class of storages.
 * @returns undefined for a class that is not known
 */
export function storageItemSize(name: string): number | undefined {
  const dtype = storageTypes.get(name);
  if (dtype === null) return 1;
  if (dtype !== undefined) return safetensorsItemSize[dtype];
  return otherStorages.get(name)?.bytes;
}

/**
 * Whether a call would make a tensor of what is only a placeholder, or of an element type that no tensor
 * here has: then the tensor becomes a placeholder too.
 */
export function isOpaque(name: string, args: readonly PickleValue[]): boolean {
  if (name === 'torch._tensor._rebuild_from_type_v2') {
    const [builder, , inner] = args;
    return (
      builder instanceof PythonGlobal &&
      (!tensorBuilders.has(builder.name) || (Array.isArray(inner) && isOpaque(builder.name, inner)))
    );
  }
  if (!tensorBuilders.has(name)) return false;
  const [first] = args;
  if (first instanceof PythonObject && !(first instanceof StorageReference)) return true;
  const type = name === 'torch._utils._rebuild_tensor_v3' ? args[6] : undefined;
  return type !== undefined && known(type) === undefined;
}
