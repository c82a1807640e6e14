// The packages of this repository, packed as `npm publish` would.
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * @typedef {object} Tarball
 * @property {string} folder of the package
 * @property {any} manifest its package.json
 * @property {string} path of the .tgz
 * @property {string[]} files in it, without the leading `package/`
 * @property {number} size in bytes
 */

/** Every package that is not private, dependencies first: `packages/libtorch` comes before what needs it. */
export function publicPackages() {
  const packages = readdirSync(join(root, 'packages'))
    .map((name) => join(root, 'packages', name))
    .filter((folder) => existsSync(join(folder, 'package.json')))
    .map((folder) => ({
      folder,
      manifest: JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')),
    }));
  return packages.filter(({ manifest }) => manifest.private !== true);
}

/**
 * Packs into the folder that TARBALLS names, or takes what was packed there before; without it, into a temporary
 * folder that is removed when the process ends.
 *
 * @returns {Tarball[]}
 */
export function packAll() {
  const kept = process.env.TARBALLS;
  if (kept) {
    const list = join(kept, 'packed.json');
    if (existsSync(list)) return JSON.parse(readFileSync(list, 'utf8'));
    mkdirSync(kept, { recursive: true });
    const packed = packInto(kept);
    writeFileSync(list, JSON.stringify(packed));
    return packed;
  }
  const target = mkdtempSync(join(tmpdir(), 'mamba-prune-pack-'));
  process.on('exit', () => rmSync(target, { recursive: true, force: true }));
  return packInto(target);
}

/** @returns {Tarball[]} */
function packInto(target) {
  return publicPackages().map(({ folder, manifest }) => {
    const output = execFileSync('npm', ['pack', '--json', '--pack-destination', target], {
      cwd: folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    // What prepack prints stands before the JSON; npm 12 gives an object by name, earlier ones a list.
    const [packed] = Object.values(JSON.parse(output.slice(output.search(/^[[{]/m))));
    return {
      folder,
      manifest,
      path: join(target, packed.filename),
      files: packed.files.map((file) => file.path),
      size: packed.size,
    };
  });
}

/** Ends the process with a list of what is wrong, if anything is. */
export function report(problems) {
  for (const problem of problems) console.error(`  ${problem}`);
  if (problems.length > 0) process.exit(1);
}
