// The work of scripts/gpu-pack, which says what a pack is:
//
//   scripts/gpu-pack OUT.tar.gz [--with PACKAGE]... [PATH...]
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readFlags, refuse } from './script-flags.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const limitBytes = 60e6;
// Large packages that training on data of one's own does not touch: the image decoder.
const leftOut = new Set(['sharp']);
// Those asked for that nothing needs at run time: fashion-mnist, 149 MB of images.
const added = new Set();
const packages = ['libtorch', 'mamba-prune'];

/** Data sets are archives of the same kind, and take long to download again. */
function isPack(path) {
  if (!statSync(path).isFile()) return false;
  const members = ['./gpu-run.sh', './bin/node.xz'];
  return spawnSync('tar', ['-tzf', path, ...members], { stdio: 'ignore' }).status === 0;
}

function parse() {
  const { values, positionals } = readFlags(
    { with: { type: 'string', multiple: true, default: [] } },
    { least: 1, most: Infinity, what: 'the name of a .tar.gz file to write' },
  );
  for (const name of values.with) if (!leftOut.delete(name)) added.add(name);
  const [out, ...extra] = positionals;
  if (!out?.endsWith('.tar.gz'))
    refuse(`got '${out ?? ''}', expected the name of a .tar.gz file to write`);
  if (existsSync(out) && !isPack(out))
    refuse(`${out} exists and is no pack, expected a new file or an earlier pack`);
  for (const path of extra) {
    const inside = relative(root, resolve(path));
    if (isAbsolute(inside) || inside.startsWith('..')) refuse(`${path} is outside of the project`);
    if (!existsSync(path)) refuse(`${path} does not exist`);
  }
  return { out: resolve(out), extra };
}

/** Folders under node_modules that the packages use at run time, by walking the lock file as Node resolves. */
function runtimeFolders() {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const found = new Set();
  const visit = (from, name) => {
    if (leftOut.has(name)) return;
    for (let folder = from; ; folder = folder.replace(/(^|\/)[^/]*$/, '')) {
      const path = join(folder, 'node_modules', name);
      if (lock[path]) {
        if (lock[path].link || found.has(path) || !existsSync(join(root, path))) return;
        found.add(path);
        const { dependencies = {}, optionalDependencies = {} } = lock[path];
        for (const next of Object.keys({ ...dependencies, ...optionalDependencies }))
          visit(path, next);
        return;
      }
      if (folder === '') return; // an optional package of another platform
    }
  };
  for (const name of packages) {
    const { dependencies = {} } = lock[`packages/${name}`];
    for (const next of Object.keys(dependencies)) visit(`packages/${name}`, next);
  }
  for (const name of added) {
    const count = found.size;
    visit('', name);
    if (found.size === count && !found.has(`node_modules/${name}`))
      refuse(`--with ${name}: there is no such package in node_modules`);
  }
  return [...found];
}

const { out, extra } = parse();
const stage = mkdtempSync(join(tmpdir(), 'gpu-pack-'));
try {
  const copy = (path) => {
    mkdirSync(dirname(join(stage, path)), { recursive: true });
    cpSync(join(root, path), join(stage, path), { recursive: true });
  };
  const folders = runtimeFolders();
  folders.forEach(copy);
  for (const name of packages) {
    const base = `packages/${name}`;
    [`${base}/package.json`, `${base}/dist`, `${base}/native`, `${base}/scripts`]
      .filter((path) => existsSync(join(root, path)))
      .forEach(copy);
    const published = JSON.parse(readFileSync(join(root, base, 'package.json'), 'utf8')).name;
    const link = join(stage, 'node_modules', published);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(relative(dirname(link), join(stage, base)), link);
  }
  // Benchmarks and the tests for GPUs read their flags with it.
  copy('scripts/script-flags.mjs');
  extra.map((path) => relative(root, resolve(path))).forEach(copy);
  cpSync(join(root, 'package.json'), join(stage, 'package.json'));
  cpSync(join(root, 'scripts/gpu-run'), join(stage, 'gpu-run.sh'));
  mkdirSync(join(stage, 'bin'));
  writeFileSync(
    join(stage, 'bin/mamba-prune'),
    '#!/bin/sh\nexec node "$(dirname "$0")/../packages/mamba-prune/dist/cli/main.js" "$@"\n',
    { mode: 0o755 },
  );
  // The Node that runs this very script, so that the server runs the version that the tests ran.
  const node = execFileSync('xz', ['-2', '-T0', '-c', process.execPath], { maxBuffer: 512 << 20 });
  writeFileSync(join(stage, 'bin/node.xz'), node);

  mkdirSync(dirname(out), { recursive: true });
  const temporary = `${out}.${process.pid}.tmp`;
  execFileSync('tar', ['-czf', temporary, '--owner=0', '--group=0', '-C', stage, '.']);
  const size = statSync(temporary).size;
  if (size > limitBytes) {
    rmSync(temporary);
    console.error(
      `gpu-pack: the pack would be ${(size / 1e6).toFixed(1)} MB, expected at most ${limitBytes / 1e6}. Name fewer paths or packages.`,
    );
    process.exitCode = 1;
  } else {
    renameSync(temporary, out);
    console.error(
      `gpu-pack: ${out}, ${(size / 1e6).toFixed(1)} MB, Node ${process.version}, ${folders.length} npm packages (without ${[...leftOut].join(', ')})`,
    );
  }
} finally {
  rmSync(stage, { recursive: true, force: true });
}
