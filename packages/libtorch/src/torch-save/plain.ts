// What a file says beside its tensors, as data without Python's kinds of it.
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

/**
 * A value as plain data: tensors and arrays of up to 64 numbers in one dimension as lists, objects as dicts of their attributes. Entries of dicts
 * that are nothing of the kind are left out.
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
  if (Array.isArray(value)) {
    const items = value.map((item) => plain(item, depth + 1, budget));
    return items.every((item) => item !== undefined) ? items : undefined;
  }
  // A dict of a class of its own has entries, another object has attributes.
  const maps = value instanceof PythonObject ? [value.state, value.entries] : [value];
  const dicts = maps.filter((map) => map instanceof Map);
  if (dicts.length === 0) return undefined;
  const result = new Map<string, PlainValue>();
  for (const [key, item] of dicts.flatMap((dict) => [...dict])) {
    if (typeof key !== 'string' && typeof key !== 'number') continue;
    const entry = plain(item, depth + 1, budget);
    if (entry !== undefined) result.set(String(key), entry);
  }
  return result;
}

function numbersOf(tensor: TorchTensor): PlainValue | undefined {
  const { dtype, shape } = tensor;
  if (shape.length > 1 || (shape[0] ?? 1) > maxElements) return undefined;
  const read = readers[dtype];
  if (read === undefined) return undefined;
  const numbers = read(tensor.read().buffer);
  return shape.length === 0 ? numbers[0] : numbers;
}

/** Of the element types that settings are kept in; files are little-endian, as every machine that runs this is. */
const readers: Readonly<Partial<Record<string, (bytes: ArrayBuffer) => number[]>>> = {
  F32: (bytes) => [...new Float32Array(bytes)],
  F64: (bytes) => [...new Float64Array(bytes)],
  I32: (bytes) => [...new Int32Array(bytes)],
  I64: (bytes) => Array.from(new BigInt64Array(bytes), Number),
};
