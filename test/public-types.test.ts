// Whoever wraps a function of an entry writes the types of its arguments: every type that a signature names can be
// imported from some entry. The files in api/ say what each offers.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const folders = ['libtorch', 'mamba-prune', 'report'].map((name) =>
  join(root, 'packages', name, 'api'),
);
/** What is for this repository alone is written on it. */
const isPublic = (file: string): boolean => file !== 'internal.api.md';

/** Types that nobody outside has a use for: parts of the engine, and fields that only tests give. */
const own = new Set([
  'Handle', // of a tensor in the addon
  'RawArgument', // of an operator called by name
  'Kind', // of a reduction
  'LatencyTimer', // @internal
  'State', // of a graph that is being built
  'StorageBytes', // of a file of torch.save
  'TensorLayout', // the same
  'Failure', // makes the error of a check
  'Output', // of a graph that is being built
  'Pair', // two numbers, or one for both
  'Conv', // what the layers of convolution share
]);

/** The names that TypeScript and Node.js bring. */
const given = new Set(
  (
    'ArrayLike AsyncGenerator AsyncIterable Awaited ErrorOptions Exclude Extract Generator Iterable Iterator NodeJS ' +
    'NoInfer NonNullable Omit Parameters Partial Pick Readonly ReadonlyMap ReadonlySet Record Required ReturnType ' +
    'ArrayBufferView'
  ).split(' '),
);
const isGiven = (name: string): boolean => given.has(name) || Object.hasOwn(globalThis, name);

interface Entry {
  readonly name: string;
  readonly declared: ReadonlySet<string>;
  readonly named: ReadonlySet<string>;
}

function readEntry(path: string): Entry {
  const text = readFileSync(path, 'utf8');
  const code = /```ts\n(.*)```/s.exec(text)?.[1] ?? '';
  const source = ts.createSourceFile(path, code, ts.ScriptTarget.Latest, true);
  const declared = new Set<string>();
  const named = new Set<string>();
  const visit = (node: ts.Node): void => {
    const isDeclaration =
      ts.isInterfaceDeclaration(node) ||
      ts.isTypeAliasDeclaration(node) ||
      ts.isClassDeclaration(node) ||
      ts.isTypeParameterDeclaration(node) ||
      ts.isImportSpecifier(node);
    if (isDeclaration && node.name) declared.add(node.name.text);
    if (ts.isTypeReferenceNode(node)) named.add(node.typeName.getText().split('.')[0] ?? '');
    if (ts.isExpressionWithTypeArguments(node)) {
      named.add(node.expression.getText().split('.')[0] ?? '');
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return { name: /^## (.*)$/m.exec(text)?.[1] ?? path, declared, named };
}

const entries = folders.flatMap((folder) =>
  readdirSync(folder)
    .filter(isPublic)
    .map((file) => readEntry(join(folder, file))),
);

describe('the types of the public entries', () => {
  it('are read', () => {
    expect(entries.map(({ name }) => name)).toContain('mamba-prune/pruning');
    for (const { named } of entries) expect([...named]).not.toContain('');
    expect(entries.flatMap(({ named }) => [...named]).length).toBeGreaterThan(200);
  });

  it.each(entries.map((entry) => [entry.name, entry] as const))(
    'that %s names can be imported',
    (_, { declared, named }) => {
      const anywhere = new Set(entries.flatMap((entry) => [...entry.declared]));
      const missing = [...named].filter(
        (name) =>
          /^[A-Z]/.test(name) &&
          !declared.has(name) &&
          !anywhere.has(name) &&
          !own.has(name) &&
          !isGiven(name),
      );
      expect(missing).toEqual([]);
    },
  );
});
