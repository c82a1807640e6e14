// Loads the addon; builds it where it is missing or does not fit libtorch any more.
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildAtFirstUse } from './build-at-first-use.js';
import { AddonError } from './errors.js';
import type { Native } from './native.js';

/** What scripts/build-addon.mjs leaves beside the addon. */
interface Stamp {
  readonly libtorch: string;
  readonly lib: string;
  readonly librarySize?: number;
}

/** scripts/build-folder.mjs says the same. */
export function addonFolder(): string {
  const chosen = process.env['MAMBA_PRUNE_BUILD'];
  return chosen ? resolve(chosen) : fileURLToPath(new URL('../build', import.meta.url));
}

let failure: AddonError | undefined;
let isLoaded = false;

/** Whether the addon is loaded, or could be without a build. */
export function isAddonThere(): boolean {
  if (isLoaded || failure !== undefined) return isLoaded;
  const folder = addonFolder();
  return existsSync(join(folder, 'addon.node')) && misfit(readStamp(folder)) === undefined;
}

/** @throws AddonError the same one at every call of a process, after one try */
export function loadAddon(): Native {
  if (failure !== undefined) throw failure;
  try {
    const addon = load();
    isLoaded = true;
    return addon;
  } catch (error) {
    failure = error instanceof AddonError ? error : new AddonError(String(error), { cause: error });
    throw failure;
  }
}

function load(): Native {
  const folder = addonFolder();
  const path = join(folder, 'addon.node');
  const stamp = readStamp(folder);
  const reason = existsSync(path) ? misfit(stamp) : 'the addon is not built';
  if (reason !== undefined) buildAtFirstUse(reason);
  // How long an idle OpenMP thread spins before it sleeps. By default it spins for long: on a shared
  // machine that starves whoever has work. Without spinning every small operator waits for a thread
  // to wake up, and one image takes nearly twice as long. Chosen by measurement (1,000 to 50,000 were
  // alike on a quiet machine, and less does least harm on a busy one). Read when libgomp is loaded.
  process.env['OMP_WAIT_POLICY'] ??= 'passive';
  process.env['GOMP_SPINCOUNT'] ??= '5000';
  const opened = open(path);
  const addon = opened instanceof Error ? rebuilt(path, stamp, opened) : opened;
  addon.setKernelFolder?.(fileURLToPath(new URL('../native/cuda/kernels', import.meta.url)));
  // Debian's libtorch starts with one thread whatever the machine has.
  if (process.env['OMP_NUM_THREADS'] === undefined) addon.numThreads(availableParallelism());
  return addon;
}

/** Why an addon that is there belongs to another libtorch; undefined if it does not, or nothing tells. */
function misfit(stamp: Stamp | undefined): string | undefined {
  if (stamp === undefined) return undefined;
  const built = `the addon was built for libtorch ${stamp.libtorch} of ${stamp.lib}`;
  const wanted = process.env['LIBTORCH'];
  if (wanted && realPath(join(wanted, 'lib')) !== realPath(stamp.lib)) {
    return `${built}, and LIBTORCH names another (${wanted})`;
  }
  // With the functions of one version and the structures of another it would load, and crash.
  const size = statSync(join(stamp.lib, 'libtorch_cpu.so'), { throwIfNoEntry: false })?.size;
  if (stamp.librarySize !== undefined && size !== undefined && size !== stamp.librarySize) {
    return `${built}, which has changed since`;
  }
  return undefined;
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // not there: what is looked for next says so
  }
}

/** Loads the addon, or says why it does not load. */
function open(path: string): Native | Error {
  try {
    return createRequire(import.meta.url)(path) as Native;
  } catch (error) {
    return error as Error;
  }
}

/** libtorch may have been updated, moved or removed since the build: then another build may help. */
function rebuilt(path: string, stamp: Stamp | undefined, error: Error): Native {
  const [line = ''] = error.message.split('\n');
  const of = stamp === undefined ? '' : `, built for libtorch ${stamp.libtorch} of ${stamp.lib},`;
  const reason = `the addon${of} does not load: ${line}`;
  buildAtFirstUse(reason);
  const addon = open(path);
  if (!(addon instanceof Error)) return addon;
  throw new AddonError(
    `@mamba-prune/libtorch: ${reason}\nBuilding it again did not help. Is libtorch whole, with the libraries that it needs ` +
      `(ldd ${path})? Reinstall it, or set LIBTORCH to another.`,
    { cause: addon },
  );
}

function readStamp(folder: string): Stamp | undefined {
  try {
    const stamp = JSON.parse(readFileSync(join(folder, 'addon.json'), 'utf8')) as Partial<Stamp>;
    const { libtorch, lib, librarySize } = stamp;
    if (typeof libtorch !== 'string' || typeof lib !== 'string') return undefined;
    return { libtorch, lib, ...(typeof librarySize === 'number' ? { librarySize } : {}) };
  } catch {
    return undefined; // none, or one that was damaged: loading tells
  }
}
