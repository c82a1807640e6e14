/** Globals of Python and numpy that checkpoints contain, each as a function on plain data. */
import { describe, toNumber, type Unpickler } from './unpickler.js';
import { type PickleValue, PythonObject } from './values.js';

/** Makes what calling a global with these arguments would give, or fails. */
export type Call = (args: readonly PickleValue[], machine: Unpickler) => PickleValue;

/** argparse.Namespace: its attributes. A class of its own so that setting its state fills it. */
export class NamespaceMap extends Map<PickleValue, PickleValue> {}

/** null: known and harmless, but only ever named (as a defaultdict's factory, or a dtype's type). */
const BUILTINS: Readonly<Record<string, Call | null>> = {
  set: makeSet,
  frozenset: makeSet,
  list: (args, m) => copyItems(args[0], m),
  tuple: (args, m) => copyItems(args[0], m),
  dict: (args, m) => makeMap(args[0], m),
  bytearray: makeBytes,
  bytes: makeBytes,
  int: null,
  float: null,
  bool: null,
  str: null,
  object: null,
};

export const PYTHON_GLOBALS: ReadonlyMap<string, Call | null> = new Map<string, Call | null>([
  // Protocol 2 names the module as Python 2 did.
  ...Object.entries(BUILTINS).flatMap(([name, call]): [string, Call | null][] => [
    [`builtins.${name}`, call],
    [`__builtin__.${name}`, call],
  ]),
  ['collections.OrderedDict', (args, m) => makeMap(args[0], m)],
  ['collections.Counter', (args, m) => makeMap(args[0], m)],
  ['collections.defaultdict', (args, m) => makeMap(args[1], m)], // the first is the factory
  ['argparse.Namespace', () => new NamespaceMap()],
  ['_codecs.encode', encode], // how protocol 2 writes bytes
  ['numpy.dtype', (args) => new PythonObject('numpy.dtype', [...args])],
  ['numpy.core.multiarray.scalar', numpyScalar],
  ['numpy._core.multiarray.scalar', numpyScalar], // numpy >= 2
]);

/** A list of a list's, tuple's or set's items. */
function copyItems(source: PickleValue | undefined, m: Unpickler): PickleValue[] {
  if (source === undefined) return [];
  if (!Array.isArray(source) && !(source instanceof Set)) {
    m.fail(`${describe(source)} to make a list of, expected a list, tuple or set`);
  }
  const items = [...source];
  m.charge(items.length);
  return items;
}

function makeSet(args: readonly PickleValue[], m: Unpickler): PickleValue {
  return new Set(copyItems(args[0], m));
}

/** A Map from a dict, or from a list of pairs. */
function makeMap(source: PickleValue | undefined, m: Unpickler): Map<PickleValue, PickleValue> {
  const map = new Map<PickleValue, PickleValue>();
  if (source instanceof Map) {
    m.charge(source.size);
    for (const [key, value] of source) map.set(key, value);
    return map;
  }
  for (const pair of copyItems(source, m)) {
    if (!Array.isArray(pair) || pair.length !== 2) {
      m.fail(`${describe(pair)} as an item of a dict, expected a pair`);
    }
    map.set(pair[0] ?? null, pair[1] ?? null);
  }
  return map;
}

function makeBytes(args: readonly PickleValue[], m: Unpickler): PickleValue {
  const [source] = args;
  if (source === undefined) return new Uint8Array(0);
  if (typeof source === 'string') return encode(args, m);
  if (!(source instanceof Uint8Array)) m.fail(`${describe(source)} to make bytes of`);
  m.charge(source.length);
  return source.slice();
}

function encode(args: readonly PickleValue[], m: Unpickler): Uint8Array {
  const [text, encoding] = args;
  if (typeof text !== 'string' || (encoding !== 'latin1' && encoding !== 'latin-1')) {
    m.fail('an encoding of text other than latin1, which is how bytes are written');
  }
  m.charge(text.length);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code > 0xff) m.fail('text for bytes with a character that is no byte');
    bytes[i] = code;
  }
  return bytes;
}

type ReadScalar = (view: DataView, little: boolean) => number | bigint | boolean;

/** numpy's names of element types, by kind and size. */
const NUMPY_SCALARS: Readonly<Record<string, readonly [bytes: number, read: ReadScalar]>> = {
  f8: [8, (view, little) => view.getFloat64(0, little)],
  f4: [4, (view, little) => view.getFloat32(0, little)],
  i8: [8, (view, little) => toNumber(view.getBigInt64(0, little))],
  i4: [4, (view, little) => view.getInt32(0, little)],
  i2: [2, (view, little) => view.getInt16(0, little)],
  i1: [1, (view) => view.getInt8(0)],
  u8: [8, (view, little) => toNumber(view.getBigUint64(0, little))],
  u4: [4, (view, little) => view.getUint32(0, little)],
  u2: [2, (view, little) => view.getUint16(0, little)],
  u1: [1, (view) => view.getUint8(0)],
  b1: [1, (view) => view.getUint8(0) !== 0],
};

/** numpy.core.multiarray.scalar(dtype, bytes): one number, such as a mean accuracy. */
function numpyScalar(args: readonly PickleValue[], m: Unpickler): PickleValue {
  const [dtype, bytes] = args;
  if (
    !(dtype instanceof PythonObject) ||
    dtype.global !== 'numpy.dtype' ||
    !(bytes instanceof Uint8Array)
  ) {
    m.fail('a numpy scalar without dtype and bytes');
  }
  const code = Array.isArray(dtype.args) ? (dtype.args[0] ?? null) : null;
  const found =
    typeof code === 'string' && Object.hasOwn(NUMPY_SCALARS, code)
      ? NUMPY_SCALARS[code]
      : undefined;
  if (found?.[0] !== bytes.length) {
    m.fail(`a numpy scalar of dtype ${describe(code)} in ${bytes.length} bytes, expected a number`);
  }
  // The dtype's state is (version, byte order, ...); '|' and '=' need no swap.
  const order = Array.isArray(dtype.state) ? dtype.state[1] : '<';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return found[1](view, order !== '>');
}
