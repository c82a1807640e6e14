// Where the addon is. src/load-addon.ts says the same for the compiled code.
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of addon.node: the one that MAMBA_PRUNE_BUILD names, else build/ of this package. */
export const buildFolder = process.env.MAMBA_PRUNE_BUILD
  ? resolve(process.env.MAMBA_PRUNE_BUILD)
  : join(dirname(fileURLToPath(import.meta.url)), '..', 'build');
