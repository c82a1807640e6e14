import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FormatError, loadTorchSave } from '../index.js';
import { NumpyArray } from './numpy-array.js';
import { setArrayState } from './numpy-globals.js';
import { readTorchSaveFile } from './read.js';
import { Unpickler } from './unpickler.js';
import { type PickleValue, PythonObject } from './values.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

const files = ['numpy-2.pt', 'numpy-5.pt', 'legacy-numpy.pt'];

const asMap = (value: PickleValue | undefined): Map<PickleValue, PickleValue> => {
  if (!(value instanceof Map)) throw new Error('expected a dict');
  return value;
};

describe('arrays of numpy', () => {
  it.each(files)('become tensors, whatever their type, order and layout: %s', async (file) => {
    const tensors = await loadTorchSave(fixture(file));
    const types = Object.fromEntries(Array.from(tensors, ([name, { dtype }]) => [name, dtype]));
    expect(types).toMatchObject({
      f2: 'float16',
      f4: 'float32',
      f8: 'float64',
      b1: 'bool',
      i1: 'int8',
      i2: 'int16',
      i4: 'int32',
      i8: 'int64',
      u1: 'uint8',
      // No tensor here is unsigned but uint8, so these are widened.
      u2: 'int32',
      u4: 'int64',
      u8: 'int64',
    });
    for (const name of ['f2', 'f4', 'f8', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'b1']) {
      expect(tensors.get(name)?.shape, name).toEqual([2, 3]);
      expect(tensors.get(name)?.toNumbers(), name).toEqual([1, 0, 1, 0, 1, 1]);
    }
    for (const name of ['f2', 'f4', 'f8', 'i2', 'i4', 'i8', 'u2', 'u4', 'u8']) {
      expect(tensors.get(`big_${name}`)?.toNumbers(), name).toEqual([1, 2, 100]);
    }
    expect(tensors.get('fortran')?.toArray()).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
    expect(tensors.get('transposed')?.toArray()).toEqual([
      [0, 3],
      [1, 4],
      [2, 5],
    ]);
    expect(tensors.get('strided')?.toArray()).toEqual([
      [0, 2],
      [3, 5],
    ]);
    expect(tensors.get('scalar')?.shape).toEqual([]);
    expect(tensors.get('scalar')?.item()).toBe(2.5);
    expect(tensors.get('empty')?.shape).toEqual([0, 3]);
  });

  it.each(files)('stay plain objects where no tensor has their type: %s', async (file) => {
    const other = asMap(asMap(await readTorchSaveFile(fixture(file))).get('other'));
    expect([...other.keys()]).toEqual(['objects', 'texts', 'complex', 'records']);
    for (const value of other.values()) {
      expect(value).toBeInstanceOf(NumpyArray);
      expect((value as NumpyArray).tensor).toBeUndefined();
    }
  });

  const machine = (): Unpickler =>
    new Unpickler(new Uint8Array(100), {
      where: 'test',
      findGlobal: (name) => name,
      call: () => null,
      persistent: () => null,
      build: () => undefined,
    });
  const f4 = new PythonObject('numpy.dtype', ['f4', false, true]);
  const wrong: [what: string, state: PickleValue, message: string][] = [
    ['no tuple', null, 'as the state of a numpy array'],
    ['a shape that is none', [1, 3, f4, false, new Uint8Array(4)], 'as the shape'],
    ['a negative shape', [1, [-1], f4, false, new Uint8Array(4)], 'in the shape'],
    ['too few bytes', [1, [2], f4, false, new Uint8Array(4)], 'shape [2] and f4 in 4 bytes'],
    ['2^60 elements', [1, [2 ** 30, 2 ** 30], f4, false, new Uint8Array(4)], 'in 4 bytes'],
    [
      'a product that overflows before a zero',
      [1, [2 ** 52, 2 ** 52, 0], f4, false, new Uint8Array(0)],
      'in 0 bytes',
    ],
    ['no bytes', [1, [1], f4, false, [1]], 'expected bytes'],
    [
      'a uint64 beyond int64',
      [1, [1], new PythonObject('numpy.dtype', ['u8']), false, new Uint8Array(8).fill(255)],
      'expected less than 2^63',
    ],
  ];
  it.each(wrong)('are refused with %s', (_, state, message) => {
    const set = (): void => {
      setArrayState(new NumpyArray(), state, machine());
    };
    expect(set).toThrow(FormatError);
    expect(set).toThrow(message);
  });
});

describe('values of numpy', () => {
  it.each(files)('become values of JavaScript, or plain objects: %s', async (file) => {
    const values = asMap(asMap(await readTorchSaveFile(fixture(file))).get('values'));
    const plain = Object.fromEntries(values) as Record<string, PickleValue>;
    expect(plain).toMatchObject({
      text: 'h\u00e9',
      bytes: new Uint8Array([97, 98]),
      bool: true,
      int8: -3,
      half: 0.5,
      small: 2 ** -24,
      infinite: -Infinity,
      big: 1.5,
      uint64: 2n ** 63n,
    });
    for (const name of ['date', 'delta', 'complex', 'long', 'record']) {
      expect(plain[name], name).toBeInstanceOf(PythonObject);
    }
  });
});
