// What a call of torch that makes a tensor of another kind than those here would have made, for messages.
import { maxDimensions } from '../safetensors/dtype.js';
import { OtherTensor, type PickleValue, PythonGlobal, PythonObject } from './values.js';

/** Classes of storages whose element types no tensor here has, with the type and the bytes of an element. */
export const otherStorages: ReadonlyMap<
  string,
  { readonly dtype: string; readonly bytes: number }
> = new Map([
  ['torch.ComplexDoubleStorage', { dtype: 'complex128', bytes: 16 }],
  ['torch.ComplexFloatStorage', { dtype: 'complex64', bytes: 8 }],
  ['torch.QInt32Storage', { dtype: 'qint32', bytes: 4 }],
  ['torch.QInt8Storage', { dtype: 'qint8', bytes: 1 }],
  ['torch.QUInt8Storage', { dtype: 'quint8', bytes: 1 }],
]);

const converted = (call: string): string => `Convert it where it was saved, with ${call}.`;

/** By the functions of torch that make them: what they are, what to do, and where their shape stands. */
const otherForms: Readonly<
  Record<
    string,
    {
      readonly what: string;
      readonly advice: string;
      readonly shape: (args: readonly PickleValue[]) => PickleValue | undefined;
    }
  >
> = {
  // (storage, offset, shape, strides, quantizer, ...)
  _rebuild_qtensor: {
    what: 'a quantised tensor',
    advice: converted('.dequantize()'),
    shape: (args) => args[2],
  },
  // (layout, (indices, values, shape, ...)), or with the two lists of indices of compressed layouts.
  _rebuild_sparse_tensor: {
    what: 'a sparse tensor',
    advice: converted('.to_dense()'),
    shape: shapeOfSparse,
  },
  _rebuild_sparse_csr_tensor: {
    what: 'a sparse tensor',
    advice: converted('.to_dense()'),
    shape: shapeOfSparse,
  },
  // (dtype, shape, strides, ...)
  _rebuild_meta_tensor_no_storage: {
    what: 'a tensor without values (device meta)',
    advice: 'Is the file complete? Save the model anew where it was trained.',
    shape: (args) => args[1],
  },
};

function shapeOfSparse([, data]: readonly PickleValue[]): PickleValue | undefined {
  // Indices and values are tensors; the first list is the shape.
  return Array.isArray(data) ? data.find((part) => Array.isArray(part)) : undefined;
}

/** Functions that make tensors of a storage, and where their arguments have the element type. */
const ofStorage: ReadonlyMap<string, number | undefined> = new Map([
  ['_rebuild_tensor', undefined],
  ['_rebuild_tensor_v2', undefined],
  ['_rebuild_tensor_v3', 6],
]);

/**
 * @param name - of the function that is called, with its module
 * @returns undefined where the call makes no tensor, or it is not known of what it makes one
 */
export function otherTensor(name: string, args: readonly PickleValue[]): OtherTensor | undefined {
  if (name === 'torch._tensor._rebuild_from_type_v2') {
    const [builder, , inner] = args;
    return builder instanceof PythonGlobal && Array.isArray(inner)
      ? otherTensor(builder.name, inner)
      : undefined;
  }
  const [first] = args;
  // A parameter of such a tensor.
  if (first instanceof OtherTensor) return first;
  const short = name.replace(/^torch\._utils\./, '');
  if (short === name) return undefined;
  const all = [...args];
  if (Object.hasOwn(otherForms, short)) {
    const { what, advice, shape } = otherForms[short] as (typeof otherForms)[string];
    return new OtherTensor(name, all, { what, advice, shape: sizes(shape(args)) });
  }
  if (!ofStorage.has(short)) return undefined;
  const place = ofStorage.get(short);
  const dtype = place === undefined ? storageDtype(first) : nameOf(args[place]);
  return dtype === undefined
    ? undefined
    : new OtherTensor(name, all, {
        what: `a tensor of ${dtype}`,
        advice: dtype.startsWith('complex')
          ? 'Only real numbers can be read.'
          : // Eight bits and fewer mostly have a scale in a tensor of their own.
            converted('.float(), times its scale if it has one'),
        shape: sizes(args[2]),
      });
}

const storageDtype = (storage: PickleValue | undefined): string | undefined =>
  storage instanceof PythonObject ? otherStorages.get(storage.global)?.dtype : undefined;

/** An element type is a text where its name is known, and else a global. */
function nameOf(dtype: PickleValue | undefined): string | undefined {
  const name = dtype instanceof PythonGlobal ? dtype.name : dtype;
  return typeof name === 'string' && /^torch\.\w{1,40}$/.test(name)
    ? name.slice('torch.'.length)
    : undefined;
}

function sizes(value: PickleValue | undefined): readonly number[] | undefined {
  if (!Array.isArray(value) || value.length > maxDimensions) return undefined;
  const natural = value.filter((size) => Number.isSafeInteger(size) && Number(size) >= 0);
  return natural.length === value.length ? (natural as number[]) : undefined;
}
