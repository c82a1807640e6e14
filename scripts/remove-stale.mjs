// Removes from every dist/ what the compiler made of sources that are gone: it leaves such files, and npm would
// pack them.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const packages = fileURLToPath(new URL('../packages', import.meta.url));

for (const name of readdirSync(packages)) {
  const [dist, src] = ['dist', 'src'].map((folder) => join(packages, name, folder));
  if (!existsSync(dist)) continue;
  // Only the compiler writes declarations, so that other files of a dist/ are left alone.
  const declarations = readdirSync(dist, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.d.ts'))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
  for (const path of declarations) {
    const stem = path.slice(0, -'.d.ts'.length);
    const source = join(src, relative(dist, stem));
    if (['.ts', '.tsx'].some((ending) => existsSync(source + ending))) continue;
    for (const ending of ['.d.ts', '.d.ts.map', '.js', '.js.map']) {
      rmSync(stem + ending, { force: true });
    }
  }
}
