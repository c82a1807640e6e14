// Writes src/generated/ops.ts: one typed function for every operator of operators.txt, from libtorch's
// own schemas. The result is the same for every libtorch supported (1.13 and 2.x): an operator marked
// `?` may be missing in one; then its line is kept from the file as it stands.
//
//   npm run generate:ops
import { readFileSync, writeFileSync, existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildFolder } from './build-folder.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const native = createRequire(import.meta.url)(join(buildFolder, 'addon.node'));
const target = join(root, 'src', 'generated', 'ops.ts');

const schemas = new Map(
  native.schemas('aten').map((s) => [s.name.slice(6) + (s.overload ? `.${s.overload}` : ''), s]),
);

const camel = (name) =>
  name.replace(/^_+/, '').replace(/_+([a-z0-9])/g, (_, letter) => letter.toUpperCase());
const reserved = new Map([
  ['self', 'self'],
  ['default', 'defaultValue'],
  ['function', 'fn'],
  ['var', 'variable'],
]);
const parameterName = (name) => reserved.get(camel(name)) ?? camel(name);

const simple = new Map([
  ['Tensor', 'Tensor'],
  ['bool', 'boolean'],
  ['float', 'number'],
  ['number', 'number | boolean'],
  ['str', 'string'],
  ['Device', 'string'],
  ['Generator', 'Generator'],
  ['List[Tensor]', 'readonly Tensor[]'],
  ['List[float]', 'readonly number[]'],
  ['List[bool]', 'readonly boolean[]'],
  ['List[number]', 'readonly (number | boolean)[]'],
  ['List[Optional[Tensor]]', 'readonly (Tensor | null)[]'],
]);

function typeOf(argument) {
  const optional = /^Optional\[(.*)\]$/.exec(argument.type);
  // 2.x writes SymInt where 1.13 writes int.
  const inner = (optional ? optional[1] : argument.type).replaceAll('SymInt', 'int');
  let type = simple.get(inner);
  if (inner === 'int') {
    const named = { dtype: 'DType', layout: "'strided'", memory_format: 'MemoryFormat' };
    type = named[argument.name] ?? 'number';
  }
  if (inner === 'List[int]')
    type = argument.length ? 'number | readonly number[]' : 'readonly number[]';
  if (!type) throw new Error(`no TypeScript type for ${argument.type} of ${argument.name}`);
  return optional ? `${type} | null` : type;
}

function passed(argument, name) {
  const type = argument.type.replaceAll('SymInt', 'int');
  if (type === 'Tensor') return `${name}.handle`;
  if (type === 'Optional[Tensor]' || type === 'Optional[Generator]') return `${name}?.handle`;
  if (type === 'List[Tensor]') return `handles(${name})`;
  if (type === 'List[Optional[Tensor]]') return `optionalHandles(${name})`;
  return name;
}

const results = {
  Tensor: ['Tensor', 'Tensor.wrap'],
  'List[Tensor]': ['Tensor[]', 'wrapAll'],
  bool: ['boolean', 'asBoolean'],
  int: ['number', 'asNumber'],
  float: ['number', 'asNumber'],
  number: ['number', 'asNumber'],
};

function emit(key, alias, schema) {
  const written = schema.returns.length > 0 && schema.returns.every((r) => r.written);
  const used = schema.arguments.filter((a) => !['pin_memory', 'layout', 'names'].includes(a.name));
  // What libtorch appended later than 1.13 keeps its default, so that both versions give one signature.
  const parameters = used.map((a) => {
    const name = parameterName(a.name);
    const optional = a.hasDefault || (a.keywordOnly && a.type.startsWith('Optional'));
    return {
      a,
      name,
      optional,
      text: `${name}${optional ? '?' : ''}: ${typeOf(a)}${optional ? ' | undefined' : ''}`,
    };
  });
  const firstOptional = parameters.findIndex((p) => p.optional);
  if (firstOptional >= 0 && parameters.slice(firstOptional).some((p) => !p.optional))
    throw new Error(`${key}: a required argument after an optional one`);
  const positions = schema.arguments.map((a) => {
    const p = parameters.find((q) => q.a === a);
    return p ? passed(a, p.name) : 'undefined';
  });
  while (positions.at(-1) === 'undefined') positions.pop();
  const opName = `aten::${schema.name.slice(6)}`;
  const args = `[${positions.join(', ')}]`;
  const constant = `$${alias}`;
  const lines = [`const ${constant} = operator('${opName}', '${schema.overload}');`];
  const head = (type) =>
    `export function ${alias}(${parameters.map((p) => p.text).join(', ')}): ${type} {`;
  if (written || schema.returns.length === 0) {
    const self = parameters[0].a.type === 'Tensor' && written;
    lines.push(
      head(self ? 'Tensor' : 'void'),
      `  invoke(${constant}, ${args});`,
      ...(self ? [`  return ${parameters[0].name};`] : []),
      '}',
    );
  } else if (schema.returns.length === 1) {
    const [type, convert] =
      results[schema.returns[0].type.replaceAll('SymInt', 'int')] ??
      (() => {
        throw new Error(`${key}: returns ${schema.returns[0].type}`);
      })();
    lines.push(head(type), `  return ${convert}(invoke(${constant}, ${args}));`, '}');
  } else {
    if (!schema.returns.every((r) => r.type === 'Tensor')) throw new Error(`${key}: mixed results`);
    lines.push(
      head(`[${schema.returns.map(() => 'Tensor').join(', ')}]`),
      `  return wrapAll(invoke(${constant}, ${args})) as [${schema.returns.map(() => 'Tensor').join(', ')}];`,
      '}',
    );
  }
  return [`/** \`${opName}${schema.overload ? `.${schema.overload}` : ''}\` */`, ...lines].join(
    '\n',
  );
}

const before = existsSync(target) ? readFileSync(target, 'utf8').split('\n\n') : [];
const blocks = [];
for (const line of readFileSync(join(root, 'scripts', 'operators.txt'), 'utf8').split('\n')) {
  const [written, name] = line.replace(/#.*/, '').trim().split(/\s+/);
  if (!written) continue;
  const mayMiss = written.endsWith('?');
  const key = mayMiss ? written.slice(0, -1) : written;
  const alias = name ?? camel(key.split('.')[0]);
  const schema = schemas.get(key);
  if (schema) {
    blocks.push(emit(key, alias, schema));
    continue;
  }
  if (!mayMiss) throw new Error(`libtorch ${native.version()} has no operator aten::${key}`);
  const kept = before.find((block) => block.includes(`export function ${alias}(`));
  if (kept) blocks.push(kept.trimEnd());
  else console.error(`generate-ops: aten::${key} is not in libtorch ${native.version()}; left out`);
}

const body = blocks.join('\n\n');
const helpers = [
  'asBoolean',
  'asNumber',
  'handles',
  'invoke',
  'operator',
  'optionalHandles',
  'wrapAll',
].filter((name) => body.includes(`${name}(`));
const header = `// Generated by scripts/generate-ops.mjs from libtorch's schemas; do not edit. Rebuild: npm run generate:ops
import type { DType, MemoryFormat } from '../dtype.js';
import { ${helpers.join(', ')} } from '../dispatch.js';
import type { Generator } from '../random.js';
import { Tensor } from '../tensor.js';
`;
writeFileSync(target, `${header}\n${body}\n`);
console.error(`generate-ops: ${blocks.length} operators`);
