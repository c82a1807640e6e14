// Prints what a clone lacks, one word a line: `packages` when node_modules is not in step with
// package-lock.json. Prints nothing when all is there.
import { existsSync, readFileSync } from 'node:fs';

/** Reads the package list of a lock file; undefined when there is none or it is broken. */
function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

const wanted = packagesOf('../package-lock.json');
// npm keeps its own list of what it put there; it has no entry for what this platform does not need.
const present = packagesOf('../node_modules/.package-lock.json');

// What the clone itself asks for is never left out, though a package of it may call the same optional.
const own = new Set(
  Object.keys(wanted?.['']?.devDependencies ?? {}).map((name) => `node_modules/${name}`),
);

/** @returns {boolean} whether an installed entry is what the lock file asks for */
function matches(name, entry) {
  const found = present[name];
  if (!found) {
    return (
      !own.has(name) &&
      (entry.optional === true || entry.devOptional === true || entry.peer === true)
    );
  }
  return (
    entry.link === true || (found.version === entry.version && found.integrity === entry.integrity)
  );
}

// Packages of a workspace that need another version than the rest have a node_modules of their own; npm's list names
// them, but a folder that was copied without them does not have them.
const isThere = (name) =>
  !present[name] ||
  name.startsWith('node_modules/') ||
  existsSync(new URL(`../${name}`, import.meta.url));

const inStep =
  wanted !== undefined &&
  present !== undefined &&
  Object.entries(wanted).every(
    ([name, entry]) => !name.includes('node_modules/') || (matches(name, entry) && isThere(name)),
  );

if (!inStep) console.log('packages');
