// Every entry of the packages, as `exports` of their package.json name them: what tests, the reference and the check of
// the public surface go by, so that an entry is added in one place.
import { join } from 'node:path';
import { publicPackages } from './package-check/tarballs.mjs';

/**
 * @typedef {object} EntryPoint
 * @property {string} name as it is imported, such as `mamba-prune/models`
 * @property {string} folder of the package
 * @property {string} source the TypeScript file
 * @property {string} declarations what the compiler makes of it
 */

/**
 * Entries with code, dependencies first; within a package in the order of its `exports`.
 *
 * @returns {EntryPoint[]}
 */
export function entryPoints() {
  return publicPackages().flatMap(({ folder, manifest }) =>
    Object.entries(manifest.exports)
      .filter(([, target]) => typeof target === 'object')
      .map(([path, { types, default: code }]) => ({
        name: manifest.name + path.slice(1),
        folder,
        source: join(folder, code.replace(/^\.\/dist\//, 'src/').replace(/\.js$/, '.ts')),
        declarations: join(folder, types),
      })),
  );
}
