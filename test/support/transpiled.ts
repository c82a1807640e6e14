// Tests that need a process of their own (a crash, the resident memory, a worker thread) cannot run
// TypeScript there: Node 20 has no loader for it. So the sources are translated once, types removed;
// dist/ may be stale.
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';

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
  const libtorch = (entry = ''): string =>
    JSON.stringify(join(folder, 'packages', 'libtorch', 'src', entry, 'index.js'));
  const all = readdirSync(join(from, 'src'), { recursive: true, encoding: 'utf8' });
  const sources = all.filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'));
  // All files in one call, by what vitest itself translates with: tsc takes ten times as long.
  const { outputFiles } = buildSync({
    absWorkingDir: from,
    entryPoints: sources.map((file) => join('src', file)),
    outbase: 'src',
    outdir: join(to, 'src'),
    format: 'esm',
    target: 'es2022',
    tsconfigRaw: { compilerOptions: { verbatimModuleSyntax: true } },
    logLevel: 'warning',
    write: false,
  });
  // Its entries too (libtorch/kernels): two copies do not know each other's tensors.
  const withPaths = (text: string): string =>
    text.replaceAll(
      /(['"])@mamba-prune\/libtorch(?:\/(kernels|files))?\1/g,
      (_, _quote, entry?: string) => libtorch(entry),
    );
  for (const { path, text } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, withPaths(text));
  }
  for (const file of all.filter((name) => name.endsWith('.mjs'))) {
    const target = join(to, 'src', file);
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(join(from, 'src', file), target);
  }
}
