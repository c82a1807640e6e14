// Globals of Python's own modules that checkpoints contain, each as a function on plain data.
import { describe, type Unpickler } from './unpickler.js';
import { type PickleValue, PythonGlobal, PythonObject } from './values.js';

/** Makes what calling a global with these arguments would give, or fails. */
export type Call = (args: readonly PickleValue[], machine: Unpickler) => PickleValue;

/** argparse.Namespace: its attributes. A class of its own so that setting its state fills it. */
export class NamespaceMap extends Map<PickleValue, PickleValue> {}

/** null: known and harmless, but only ever named (as a defaultdict's factory, or a dtype's type). */
const builtins: Readonly<Record<string, Call | null>> = {
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

export const pythonGlobals: ReadonlyMap<string, Call | null> = new Map<string, Call | null>([
  // Protocol 2 names the module as Python 2 did.
  ...Object.entries(builtins).flatMap(([name, call]): [string, Call | null][] => [
    [`builtins.${name}`, call],
    [`__builtin__.${name}`, call],
  ]),
  ['collections.OrderedDict', (args, m) => makeMap(args[0], m)],
  ['collections.Counter', (args, m) => makeMap(args[0], m)],
  ['collections.defaultdict', (args, m) => makeMap(args[1], m)], // the first is the factory
  ['argparse.Namespace', () => new NamespaceMap()],
  ['_codecs.encode', encode], // how protocol 2 writes bytes
  // How classes of Python 2 and protocol 2 are made: (class, base, state of the base).
  ['copy_reg._reconstructor', reconstruct],
  ['copyreg._reconstructor', reconstruct],
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
  // eslint-disable-next-line no-control-regex -- all that bytes can be
  if (/[^\x00-\xff]/.test(text)) m.fail('text for bytes with a character that is no byte');
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

/** Only a name is known of the class: the object is a placeholder, as one that NEWOBJ makes. */
function reconstruct(args: readonly PickleValue[], m: Unpickler): PickleValue {
  const [type] = args;
  if (!(type instanceof PythonGlobal)) m.fail(`an object of ${describe(type ?? null)}`);
  return new PythonObject(type.name, []);
}
