// What a library says names its options, which the command line turns into flags (cli/flag-spelling.ts): whoever calls it from
// a program has no flags.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

const packages = fileURLToPath(new URL('../..', import.meta.url));

/** Programs, and what is there for them alone. */
const ofPrograms =
  /^mamba-prune\/src\/(?:cli\/|(?:shell|called-as)\.ts$)|\/(?:testing|fixtures)\/|\.test\.ts$/;

const files = ['libtorch', 'mamba-prune', 'report']
  .flatMap((name) =>
    readdirSync(join(packages, name, 'src'), { recursive: true, encoding: 'utf8' }).map(
      (file) => `${name}/src/${file}`,
    ),
  )
  .filter((file) => file.endsWith('.ts') && !ofPrograms.test(file));

/** Where the command line has its flags and their help from. */
const describesFlags = new Set(['flag', 'rateFlag', 'help', 'whenNew', 'whenRead']);

/** A command line as a whole can be typed by whoever reads it; these are for readers of model cards, or of flags. */
const isForReaders =
  /mamba-prune (?:\S+ )?\w|mamba-prune \$|^ --(?:resume --)?out |convmv|`(?:train )?--\w+|--plugin|flag such as --|--notest|^--first-use$/;

function flagsIn(file: string): string[] {
  const text = readFileSync(join(packages, file), 'utf8');
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAssignment(node) && describesFlags.has(node.name.getText(source))) return;
    const said = ts.isTemplateExpression(node)
      ? node.getText(source)
      : ts.isStringLiteralLike(node)
        ? node.text
        : undefined;
    if (said !== undefined && /(?:^|[^-\w])--[a-z]/.test(said) && !isForReaders.test(said)) {
      found.push(said);
    }
    ts.forEachChild(node, visit);
  };
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  visit(source);
  return found;
}

describe('messages of the libraries', () => {
  it('name no flags', () => {
    expect(files.length).toBeGreaterThan(400);
    expect(files.flatMap((file) => flagsIn(file).map((said) => `${file}: ${said}`))).toEqual([]);
  });
});
