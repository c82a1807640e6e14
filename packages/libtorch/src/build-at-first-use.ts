// npm may have run no install script (npm 12 runs none unasked), or libtorch came later: the addon is built when a
// program first needs it. All of it waits meanwhile, as it would for the import of a large module.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { AddonError } from './errors.js';

/** In a clone the compiler and libtorch may be missing too; from the registry the command is there. */
const byHand =
  'Then start again, or build it by hand. In a clone: bash scripts/setup. Elsewhere: npx mamba-prune-libtorch build.';

/**
 * Builds the addon; returns at once where it is current. The script keeps processes and threads that do so at once apart,
 * and says on stderr, in a line, what there is to wait for.
 *
 * @param reason - why a build is needed, for the error's message
 * @throws AddonError with what has to be mended
 */
export function buildAtFirstUse(reason: string): void {
  const script = fileURLToPath(new URL('../scripts/build-addon.mjs', import.meta.url));
  // stdout is the program's own, and may be read by another: the script's, which says why it failed, is kept apart.
  const { status, signal, stdout, error } = spawnSync(process.execPath, [script, '--first-use'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (status === 0) return;
  const why =
    error?.message ??
    (signal === null ? stdout.trim() || `its build ended with ${status}` : `stopped by ${signal}`);
  throw new AddonError(
    `@mamba-prune/libtorch: ${reason}, and could not be built now: ${why}\n${byHand}`,
    { cause: error },
  );
}
