// What a file says beside its tensors, as data without Python's kinds of it.
import type { SafetensorsDType } from '../safetensors/dtype.js';
import { NumpyArray } from './numpy-array.js';
import { numberReader } from './number-readers.js';
import { contentOf } from './plain-objects.js';
import { tensorOf } from './tensor-of.js';
import type { TorchTensor } from './torch-tensor.js';
import { type PickleValue, PythonObject } from './values.js';

/** Texts, numbers, truth values and None, and lists and dicts of them. */
export type PlainValue =
  null | boolean | number | string | readonly PlainValue[] | ReadonlyMap<string, PlainValue>;

/** Dicts in dicts, as settings have them; deeper is something else, or a cycle. */
const maxDepth = 8;
/** The names of 21,000 classes twice, and more settings than any script has. */
const maxValues = 200_000;
/** Values of a tensor that is no weight, such as the mean of each channel. */
const maxElements = 64;
/** Of a batch of images. */
const maxDimensions = 4;

/**
 * A value as plain data: tensors and arrays of up to 64 numbers in one dimension (others may be of size 1) as lists, arrays of texts too; objects as dicts of
 * their attributes, or as what they stand for (members of enumerations, containers of OmegaConf). Entries of dicts that are
 * nothing of the kind are left out.
 * @returns undefined for what is nothing of the kind, such as a list with a large tensor in it
 * @throws FormatError if the bytes of a small tensor are damaged
 */
export function plainValue(value: PickleValue | undefined): PlainValue | undefined {
  return plain(value, 0, { left: maxValues });
}

function plain(
  value: PickleValue | undefined,
  depth: number,
  budget: { left: number },
): PlainValue | undefined {
  budget.left -= 1;
  if (value === undefined || depth > maxDepth || budget.left < 0) return undefined;
  if (value === null || ['boolean', 'number', 'string'].includes(typeof value)) {
    return value as PlainValue;
  }
  const tensor = tensorOf(value);
  if (tensor !== undefined) return numbersOf(tensor);
  if (value instanceof NumpyArray) return plain(value.values, depth, budget);
  if (Array.isArray(value)) {
    // One by one: a short pickle has lists of millions.
    const items: PlainValue[] = [];
    for (const item of value) {
      const found = plain(item, depth + 1, budget);
      if (found === undefined) return undefined;
      items.push(found);
    }
    return items;
  }
  if (value instanceof PythonObject) {
    const content = contentOf(value);
    if ('maps' in content) return dict(content.maps, depth, budget);
    // An object may stand for itself.
    const { value: held } = content;
    return held instanceof Map ? dict([held], depth, budget) : plain(held, depth + 1, budget);
  }
  return value instanceof Map ? dict([value], depth, budget) : undefined;
}

function dict(
  maps: readonly ReadonlyMap<PickleValue, PickleValue>[],
  depth: number,
  budget: { left: number },
): PlainValue {
  const result = new Map<string, PlainValue>();
  for (const map of maps) {
    for (const [key, item] of map) {
      if (budget.left < 0) return result;
      if (typeof key !== 'string' && typeof key !== 'number') continue;
      const entry = plain(item, depth + 1, budget);
      if (entry !== undefined) result.set(String(key), entry);
    }
  }
  return result;
}

function numbersOf(tensor: TorchTensor): PlainValue | undefined {
  const { dtype, shape } = tensor;
  // The mean of each channel may be [1, 3, 1, 1].
  const sizes = shape.filter((size) => size !== 1);
  const count = sizes[0] ?? 1;
  if (sizes.length > 1 || shape.length > maxDimensions || count > maxElements) return undefined;
  const read = numberReader(codes[dtype] ?? '');
  if (read === undefined) return undefined;
  const bytes = tensor.read();
  const view = new DataView(bytes.buffer);
  const numbers = Array.from({ length: count }, (_, i) => {
    const value = read(view, (i * bytes.length) / count, true);
    return typeof value === 'bigint' ? Number(value) : value;
  });
  return shape.length === 0 ? numbers[0] : numbers;
}

/** Of the element types that settings are kept in, by numpy's names; files are little-endian. */
const codes: Readonly<Partial<Record<SafetensorsDType, string>>> = {
  F64: 'f8',
  F32: 'f4',
  F16: 'f2',
  BF16: 'bf2',
  I64: 'i8',
  I32: 'i4',
  I16: 'i2',
  I8: 'i1',
  U8: 'u1',
  BOOL: 'b1',
};
