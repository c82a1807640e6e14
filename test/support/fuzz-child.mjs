// Calls operators with hostile arguments. Run by fuzz.test.ts in a process of its own: what it is about to do
// stands in a file, after the number of the call and of the operator, so that a crash names its operator and
// loses no count.
//
//   node fuzz-child.mjs '{"src": folder, "log": file, "seed": 1, "what": "aten" | "typed",
//                         "trials": 3, "from": 0, "skip": [names], "only": name}'
import { openSync, readFileSync, writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const options = JSON.parse(process.argv[2]);
const { native } = await import(pathToFileURL(`${options.src}/native.js`).href);
const torch = await import(pathToFileURL(`${options.src}/index.js`).href);
native.numThreads(1);

/** mulberry32: small, and the same on every machine. */
function randomFrom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
let random = randomFrom(options.seed);
const pick = (list) => list[Math.floor(random() * list.length)];
const dtypes = ['float32', 'float64', 'int64', 'int32', 'uint8', 'bool', 'bfloat16', 'int8'];
const shapes = [
  [],
  [0],
  [1],
  [3],
  [4],
  [2, 3],
  [3, 3],
  [0, 3],
  [2, 3, 4],
  [1, 2, 4, 4],
  [1, 1, 2, 3, 3],
];

let made = [];
/** A small tensor with values that are bad indices, bad sizes and bad numbers. */
function makeTensor() {
  const shape = pick(shapes);
  const count = shape.reduce((a, b) => a * b, 1);
  const wild = random() < 0.4;
  const floats = wild ? [NaN, Infinity, -1e30, 1e30, -1, 0] : [0, 1, 0.5, -1, 2];
  const integers = wild ? [-1n, 2n ** 40n, -(2n ** 62n), 7n, 100000n] : [0n, 1n, 2n];
  let dtype = pick(dtypes);
  if (random() < 0.3) dtype = 'float32';
  let handle;
  if (dtype === 'int64') {
    handle = native.fromBytes(
      BigInt64Array.from({ length: count }, () => pick(integers)),
      dtype,
      shape,
    );
  } else {
    const values = Float32Array.from({ length: count }, () => pick(floats));
    let t = torch.fromTypedArray(values, shape);
    made.push(t);
    if (dtype !== 'float32') made.push((t = t.to(dtype)));
    if (t.ndim > 1 && random() < 0.2) made.push((t = t.transpose(0, 1)));
    if (t.isFloat && random() < 0.2) t.requiresGrad = true;
    return t;
  }
  const t = torch.Tensor.wrap(handle);
  made.push(t);
  return t;
}

const sizes = [
  0,
  1,
  2,
  3,
  4,
  -1,
  -2,
  5,
  64,
  127,
  -128,
  1000,
  2 ** 31,
  -(2 ** 31),
  2 ** 40,
  2 ** 45,
  2 ** 53,
  -(2 ** 53),
];
const integer = () => (random() < 0.6 ? pick([0, 1, 2, 3, -1]) : pick(sizes));
const float = () => pick([0, 1, 0.5, -1, 2, NaN, Infinity, -Infinity, 1e308, -0, 1e-320]);
const list = (make) => Array.from({ length: pick([0, 1, 2, 2, 3, 4, 4, 6, 8]) }, make);
const nested = () => [[[[1]]], [2, [3]]];
const cyclic = [];
cyclic.push(cyclic);
const wrong = () =>
  pick([
    () => Symbol('x'),
    () => () => 1,
    () => 12345678901234567890n,
    () => nested(),
    () => cyclic,
    () => ({}),
    () => null,
    () => '',
    () => 'no such thing',
    () => NaN,
    () => 2 ** 52 + 1,
    () => 2 ** 51,
    () => new Date(0),
    () => new Float32Array(3),
    () => -0.5,
    () => true,
    () => 7,
    () => {
      const t = makeTensor();
      t.dispose();
      return t;
    },
    () =>
      new Proxy(
        {},
        {
          get() {
            throw new Error('trap');
          },
        },
      ),
    () => Array(3),
    () => new Array(2 ** 20),
    () => [undefined],
    () => new Map(),
    () => undefined,
    () => 'x'.repeat(1e5),
    () => [Symbol('y')],
  ])();

function value(type, name) {
  if (type === 'List[Optional[Tensor]]') return list(() => (random() < 0.3 ? null : makeTensor()));
  const optional = /^Optional\[(.*)\]$/.exec(type);
  if (optional) return random() < 0.4 ? null : value(optional[1], name);
  const element = /^List\[(.*)\]$/.exec(type);
  if (element) return random() < 0.1 ? integer() : list(() => value(element[1], name));
  switch (type.replace('SymInt', 'int')) {
    case 'Tensor':
      return makeTensor();
    case 'int':
      if (name === 'dtype' && random() < 0.8) return pick(dtypes);
      return integer();
    case 'bool':
      return random() < 0.5;
    case 'float':
      return float();
    case 'number':
      return random() < 0.5 ? integer() : float();
    case 'str':
      return pick([
        'mean',
        'none',
        'linear',
        'floor',
        'sum',
        'reflect',
        '',
        'é'.repeat(9),
        'ij,jk->ik',
        '...',
        'i'.repeat(200),
      ]);
    case 'Device':
      return pick(['cpu', 'cuda', 'meta', 'cuda:99', 'cpu:5', 'xla', 'nonsense', '']);
    default:
      return null;
  }
}

function unwrap(v) {
  if (v instanceof torch.Tensor) return v.disposed ? 2 ** 51 + 12345 : v.handle;
  if (Array.isArray(v) && v !== cyclic) return v.map(unwrap);
  return v;
}
function show(v) {
  if (v instanceof torch.Tensor) return v.toString();
  if (Array.isArray(v))
    return v === cyclic
      ? 'cyclic'
      : v.length > 20
        ? `[${v.length}]`
        : `[${v.map(show).join(', ')}]`;
  try {
    return String(v).slice(0, 40);
  } catch {
    return typeof v;
  }
}

const schemas = native.schemas('aten').concat(native.schemas('mamba_prune'));
schemas.sort((a, b) => (`${a.name}.${a.overload}` < `${b.name}.${b.overload}` ? -1 : 1));
const byName = new Map(schemas.map((s) => [s.overload ? `${s.name}.${s.overload}` : s.name, s]));

/** [name, schema or undefined, call] of everything to be called. */
function targets() {
  if (options.what === 'aten') {
    return [...byName].map(([name, schema]) => {
      let id = -1;
      return [
        name,
        schema,
        (args) => {
          if (id < 0) id = native.resolve(schema.name, schema.overload);
          const result = native.call(id, args.map(unwrap));
          const free = (r) => {
            if (Array.isArray(r)) r.forEach(free);
            else native.dispose(r);
          };
          free(result);
        },
      ];
    });
  }
  // The generated file says which operator a function calls; its parameters are the schema's but for
  // three that JavaScript has no use for.
  const source = readFileSync(`${options.src}/generated/ops.js`, 'utf8');
  return [
    ...source.matchAll(/const \$(\w+) = operator\(["']([^"']+)["'], ["']([^"']*)["']\)/g),
  ].map((match) => {
    const [, alias, name, overload] = match;
    const schema = byName.get(overload ? `${name}.${overload}` : name);
    const used = schema?.arguments.filter(
      (a) => !['pin_memory', 'layout', 'names'].includes(a.name),
    );
    const call = (args) => {
      const result = torch.ops[alias](...args);
      if (result instanceof torch.Tensor) result.dispose();
      else if (Array.isArray(result)) for (const r of result) r.dispose();
    };
    return [alias, used && { arguments: used }, call];
  });
}

const log = openSync(options.log, 'w');
const skip = new Set(options.skip ?? []);
let calls = 0;
let worked = 0;
const all = targets();
for (let i = options.from ?? 0; i < all.length; i++) {
  const [name, schema, call] = all[i];
  if (skip.has(name) || (options.only && name !== options.only)) continue;
  random = randomFrom(options.seed * 1000003 + i);
  for (let trial = 0; trial < options.trials; trial++) {
    let args;
    if (schema) {
      args = schema.arguments.map((a) =>
        random() < 0.04
          ? wrong()
          : random() < 0.25 && a.hasDefault
            ? undefined
            : value(a.type, a.name),
      );
      if (random() < 0.05) args.pop();
      if (random() < 0.03) args.push(wrong());
    } else
      args = list(() => (random() < 0.6 ? makeTensor() : random() < 0.5 ? integer() : wrong()));
    calls++;
    const text = `${calls} ${i} ${name}(${args.map(show).join(', ')})`.slice(0, 1000);
    writeSync(log, text.padEnd(1000) + '\n', 0);
    try {
      call(args);
      worked++;
    } catch (error) {
      // Every refusal must be an ordinary error with a text.
      if (!(error instanceof Error) || error.message === '') throw error;
    }
    for (const t of made) t.dispose();
    made = [];
  }
}
const operators = all.length;
process.stdout.write(JSON.stringify({ operators, calls, worked, live: native.stats().tensors }));
