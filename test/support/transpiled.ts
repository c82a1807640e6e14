// Tests that need a process of their own (a crash, the resident memory, a worker thread) cannot run
// TypeScript there: Node 20 has no loader for it. So the sources are translated once, types removed;
// dist/ may be stale.
import {
  copyFileSync,
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

/** Folder of this file, where the scripts for child processes are. */
export const support = dirname(fileURLToPath(import.meta.url));

export interface Transpiled {
  /** src/ of the package asked for: index.js and all the others. */
  readonly src: string;
  /** Temporary, laid out as the workspace is. */
  readonly folder: string;
  readonly remove: () => void;
}

/** Translates packages/libtorch to JavaScript in a temporary folder; the addon is the built one. */
export function transpiledLibtorch(): Transpiled {
  return transpiled(['libtorch']);
}

/** Translates both packages; the scripts (.mjs) beside the sources are copied. */
export function transpiledMambaPrune(): Transpiled {
  return transpiled(['libtorch', 'mamba-prune']);
}

function transpiled(names: readonly string[]): Transpiled {
  const folder = mkdtempSync(join(tmpdir(), 'mamba-prune-js-'));
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  for (const name of names) transpilePackage(name, folder);
  return {
    src: join(folder, 'packages', names.at(-1) ?? '', 'src'),
    folder,
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function transpilePackage(name: string, folder: string): void {
  const from = join(root, 'packages', name);
  const to = join(folder, 'packages', name);
  mkdirSync(to, { recursive: true });
  symlinkSync(join(from, 'package.json'), join(to, 'package.json'));
  if (name === 'libtorch') {
    // The addon, and what builds it.
    for (const part of ['build', 'scripts']) symlinkSync(join(from, part), join(to, part));
  }
  // The workspace's own link leads to dist/.
  const libtorch = JSON.stringify(join(folder, 'packages', 'libtorch', 'src', 'index.js'));
  for (const file of readdirSync(join(from, 'src'), { recursive: true, encoding: 'utf8' })) {
    if (!/\.(ts|mjs)$/.test(file) || file.endsWith('.test.ts')) continue;
    const [source, target] = [join(from, 'src', file), join(to, 'src', file)];
    mkdirSync(dirname(target), { recursive: true });
    if (file.endsWith('.mjs')) {
      copyFileSync(source, target);
      continue;
    }
    const { outputText } = ts.transpileModule(readFileSync(source, 'utf8'), {
      fileName: file,
      compilerOptions: {
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.ES2022,
        verbatimModuleSyntax: true,
      },
    });
    writeFileSync(
      target.replace(/\.ts$/, '.js'),
      outputText.replaceAll(/(['"])@mamba-prune\/libtorch\1/g, libtorch),
    );
  }
}
