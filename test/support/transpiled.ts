// Tests that need a process of their own (a crash, the resident memory, a worker thread) cannot run
// TypeScript there: Node 20 has no loader for it. So the package is translated once, types removed.
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../..', import.meta.url));
const packageRoot = join(root, 'packages', 'libtorch');

/** Folder of this file, where the scripts for child processes are. */
export const support = dirname(fileURLToPath(import.meta.url));

/**
 * Translates packages/libtorch/src to JavaScript in a temporary folder; the addon is the built one.
 * @returns the folder with index.js, and a function that removes it
 */
export function transpiledLibtorch(): { src: string; folder: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'libtorch-js-'));
  const source = join(packageRoot, 'src');
  for (const name of readdirSync(source, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts') || name.endsWith('.test.ts')) continue;
    const target = join(folder, 'src', name.replace(/\.ts$/, '.js'));
    mkdirSync(dirname(target), { recursive: true });
    const { outputText } = ts.transpileModule(readFileSync(join(source, name), 'utf8'), {
      fileName: name,
      compilerOptions: {
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.ES2022,
        verbatimModuleSyntax: true,
      },
    });
    writeFileSync(target, outputText);
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  symlinkSync(join(packageRoot, 'build'), join(folder, 'build'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return {
    src: join(folder, 'src'),
    folder,
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
