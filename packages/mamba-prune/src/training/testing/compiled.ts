/**
 * The sources as plain JavaScript, for tests that need processes of their own: those must not run
 * dist/, which may be stale, and vitest transforms within its own workers only.
 */
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transformWithOxc } from 'vite';

const ROOT = fileURLToPath(new URL('../../../../..', import.meta.url));
const PACKAGES = ['libtorch', 'mamba-prune'];

/**
 * Writes both packages into a folder laid out as the workspace is, so that relative paths hold.
 * @returns its folder `packages/mamba-prune/src`
 */
export async function compileSources(target: string): Promise<string> {
  symlinkSync(join(ROOT, 'node_modules'), join(target, 'node_modules'));
  for (const name of PACKAGES) {
    const from = join(ROOT, 'packages', name);
    const to = join(target, 'packages', name);
    mkdirSync(to, { recursive: true });
    symlinkSync(join(from, 'package.json'), join(to, 'package.json'));
    if (name === 'libtorch') symlinkSync(join(from, 'build'), join(to, 'build'));
    const files = readdirSync(join(from, 'src'), { recursive: true, encoding: 'utf8' });
    await Promise.all(
      files
        .filter((file) => /\.(ts|mjs)$/.test(file) && !file.endsWith('.test.ts'))
        .map((file) => compile(join(from, 'src', file), join(to, 'src', file), target)),
    );
  }
  return join(target, 'packages', 'mamba-prune', 'src');
}

async function compile(from: string, to: string, target: string): Promise<void> {
  const source = readFileSync(from, 'utf8');
  const code = from.endsWith('.ts')
    ? (await transformWithOxc(source, from, { sourcemap: false })).code
    : source;
  const libtorch = join(target, 'packages', 'libtorch', 'src', 'index.js');
  mkdirSync(dirname(to), { recursive: true });
  writeFileSync(
    to.replace(/\.ts$/, '.js'),
    code.replaceAll(/(['"])@mamba-prune\/libtorch\1/g, JSON.stringify(libtorch)),
  );
}
