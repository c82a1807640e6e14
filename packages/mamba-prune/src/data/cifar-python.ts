/**
 * CIFAR's "python version": pickled dicts with `data`, an array of bytes [records, 3072] (1,024 red, 1,024
 * green, 1,024 blue, row by row), and a list of labels. Python 2 wrote them; some people pickle them again.
 */
import { PickledArray, readArrayPickle, type PickleValue } from '@mamba-prune/libtorch/files';
import { imagePixels } from './cifar-files.js';
import { DataError } from './errors.js';

/** Images and labels of one file, as the file has them. */
export interface PythonBatch {
  /** [records, 3072]; a view of the file where it can be. */
  readonly images: Uint8Array;
  readonly labels: readonly number[];
}

/**
 * @param bytes - a file
 * @param labelsKey - `labels` or `fine_labels`
 * @throws DataError with the reason, without the file's name; FormatError for what is no such pickle
 */
export function readPythonBatch(
  bytes: Uint8Array,
  labelsKey: string,
  records: number,
  classes: number,
): PythonBatch {
  const content = dictOf(readArrayPickle(bytes));
  const data = valueOf(content, 'data');
  if (!(data instanceof PickledArray)) throw new DataError('it holds no array called "data"');
  const { shape, dtype, fortran, bytes: pixels } = data;
  if (dtype !== 'u1')
    throw new DataError(`"data" has elements of type ${dtype}, expected uint8 (u1)`);
  const [count = 0, ...image] = shape;
  const isFlat = image.length === 1 && image[0] === imagePixels;
  if (count !== records || !(isFlat || image.join() === '3,32,32')) {
    throw new DataError(
      `"data" has the shape [${shape.join(', ')}], expected [${records}, ${imagePixels}]`,
    );
  }
  if (pixels.length !== records * imagePixels) {
    throw new DataError(`"data" has ${pixels.length} bytes, expected ${records * imagePixels}`);
  }
  if (fortran && !isFlat) throw new DataError('"data" is not in row order, expected it to be');
  const labels = labelsOf(valueOf(content, labelsKey), labelsKey);
  if (labels.length !== records) {
    throw new DataError(`"${labelsKey}" has ${labels.length} entries, expected ${records}`);
  }
  const wrong = labels.findIndex(
    (label) => !(Number.isInteger(label) && label >= 0 && label < classes),
  );
  if (wrong >= 0) {
    throw new DataError(
      `record ${wrong}: got label ${labels[wrong] ?? ''}, expected 0 to ${classes - 1}`,
    );
  }
  return { images: fortran ? transposed(pixels, records) : pixels, labels };
}

/** @throws as readPythonBatch */
export function readPythonNames(bytes: Uint8Array, key: string): string[] {
  const names = valueOf(dictOf(readArrayPickle(bytes)), key);
  const texts = Array.isArray(names) ? names.map(textOf) : [];
  if (texts.length === 0 || !texts.every((text) => text !== undefined)) {
    throw new DataError(`it holds no list of names called "${key}"`);
  }
  return texts;
}

function dictOf(value: PickleValue): ReadonlyMap<PickleValue, PickleValue> {
  if (value instanceof Map) return value;
  throw new DataError('it holds no dict');
}

/** Keys are bytes where Python 2 wrote them and Python 3 read them. */
function valueOf(
  dict: ReadonlyMap<PickleValue, PickleValue>,
  key: string,
): PickleValue | undefined {
  for (const [name, value] of dict) if (textOf(name) === key) return value;
  return undefined;
}

function textOf(value: PickleValue): string | undefined {
  if (typeof value === 'string') return value;
  return value instanceof Uint8Array ? Buffer.from(value).toString('latin1') : undefined;
}

const integers = {
  u1: (view: DataView, at: number) => view.getUint8(at),
  i1: (view: DataView, at: number) => view.getInt8(at),
  u2: (view: DataView, at: number) => view.getUint16(at, true),
  i2: (view: DataView, at: number) => view.getInt16(at, true),
  u4: (view: DataView, at: number) => view.getUint32(at, true),
  i4: (view: DataView, at: number) => view.getInt32(at, true),
  u8: (view: DataView, at: number) => Number(view.getBigUint64(at, true)),
  i8: (view: DataView, at: number) => Number(view.getBigInt64(at, true)),
};

function labelsOf(value: PickleValue | undefined, key: string): number[] {
  if (Array.isArray(value)) return value.map((label) => (typeof label === 'number' ? label : NaN));
  if (value instanceof PickledArray && value.shape.length === 1 && isInteger(value.dtype)) {
    const read = integers[value.dtype];
    const size = Number(value.dtype[1]);
    const { bytes } = value;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return Array.from({ length: Math.floor(bytes.length / size) }, (_, i) => read(view, i * size));
  }
  throw new DataError(`it holds no list of labels called "${key}"`);
}

const isInteger = (dtype: string): dtype is keyof typeof integers => Object.hasOwn(integers, dtype);

/** From the order of the first index to that of the last. */
function transposed(pixels: Uint8Array, records: number): Uint8Array {
  const out = new Uint8Array(pixels.length);
  for (let p = 0, from = 0; p < imagePixels; p++) {
    for (let r = 0; r < records; r++, from++) out[r * imagePixels + p] = pixels[from] as number;
  }
  return out;
}
