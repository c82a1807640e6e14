// What is in the tarballs: nothing missing, nothing needless, and entry points that resolve for every user.
//
//   node scripts/package-check/contents.mjs
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { packAll, report, root } from './tarballs.mjs';

const needless = [
  [/\.test\.[cm]?[jt]sx?$/, 'a test'],
  [/(^|\/)testing\//, 'a helper of tests'],
  [/\.tsbuildinfo$/, "the compiler's notes"],
  [/\.map$/, 'a map to sources that are not in the package'],
  [/(^|\/)(node_modules|build|coverage)\//, 'built or installed here'],
  [/(^|\/)(tsconfig[^/]*\.json|\.npmrc|\.env[^/]*)$/, 'configuration'],
  [/\.(o|node|log|tgz)$/, 'built here'],
];

/** Bytes that a tarball may have, where a package holds more than code. */
const mostBytes = new Map([['@mamba-prune/models', 25e6]]);

/** Relative paths that a part of package.json names: `exports` is a tree of conditions. */
function targets(value) {
  if (typeof value === 'string') return [value];
  return value && typeof value === 'object' ? Object.values(value).flatMap(targets) : [];
}

function problemsOf({ folder, manifest, files, size }) {
  const has = new Set(files);
  const problems = [];
  const most = mostBytes.get(manifest.name);
  if (size > most) {
    problems.push(`the tarball has ${size} bytes, expected at most ${most}`);
  }
  for (const name of ['package.json', 'README.md', 'LICENSE']) {
    if (!has.has(name)) problems.push(`${name} is missing`);
  }
  for (const field of ['description', 'license', 'engines', 'files', 'exports']) {
    if (manifest[field] === undefined) problems.push(`package.json has no '${field}'`);
  }
  for (const field of ['bin', 'exports', 'types', 'main']) {
    for (const target of targets(manifest[field])) {
      const path = target.replace(/^\.\//, '');
      if (!path.includes('*') && !has.has(path)) problems.push(`${field}: ${path} is missing`);
    }
  }
  for (const path of files) {
    const [, what] = needless.find(([pattern]) => pattern.test(path)) ?? [];
    if (what !== undefined) problems.push(`${path} is ${what}`);
    // The compiler leaves the output of sources that are gone.
    const source = path.replace(/^dist\//, 'src/').replace(/\.d\.ts$/, '');
    const stale = ['.ts', '.tsx'].every((ending) => !existsSync(join(folder, source + ending)));
    if (path.endsWith('.d.ts') && path.startsWith('dist/') && stale) {
      problems.push(`${path} has no source any more. Run: node scripts/remove-stale.mjs`);
    }
  }
  return [...problems, ...missingNatives(folder, has), ...modelProblems(folder, has)];
}

/** Sources of the addon and the kernels that are compiled at run time: without one of them nothing builds. */
function missingNatives(folder, has) {
  const native = join(folder, 'native');
  if (!existsSync(native)) return [];
  return readdirSync(native, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((path) => !has.has(path))
    .map((path) => `${path} is missing`);
}

/** The package of trained models has the files that its index lists, their pages, and no others. */
function modelProblems(folder, has) {
  if (!has.has('index.json')) return [];
  const { models } = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'));
  const listed = models.flatMap(({ file, card }) => [file, card, card.replace(/\.json$/, '.md')]);
  const there = [...has].filter((path) => path.startsWith('files/'));
  return [
    ...listed.filter((path) => !has.has(path)).map((path) => `${path} is missing`),
    ...there
      .filter((path) => !listed.includes(path))
      .map((path) => `${path} is of no model in index.json`),
  ];
}

async function publintProblems({ path, manifest }) {
  const bytes = readFileSync(path);
  const tarball = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  const { messages } = await publint({ pack: { tarball }, strict: true });
  return messages.map((message) => `publint: ${formatMessage(message, manifest) ?? message.code}`);
}

/** ES modules only: `require` and TypeScript's `node10` resolution, which knows no exports, are left out. */
function typesProblems({ path, manifest }) {
  // Weights have none.
  if (manifest.types === undefined) return [];
  const attw = join(root, 'node_modules', '@arethetypeswrong', 'cli', 'dist', 'index.js');
  const args = [attw, path, '--profile', 'esm-only', '--format', 'ascii', '--no-color'];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  return status === 0 ? [] : [`are the types wrong:\n${stdout}${stderr}`];
}

const problems = [];
for (const tarball of packAll()) {
  const { manifest, files, size } = tarball;
  console.log(`${manifest.name}: ${files.length} files, ${(size / 1024).toFixed(0)} KiB packed`);
  const found = [
    ...problemsOf(tarball),
    ...(await publintProblems(tarball)),
    ...typesProblems(tarball),
  ];
  problems.push(...found.map((problem) => `${manifest.name}: ${problem}`));
}
report(problems);
