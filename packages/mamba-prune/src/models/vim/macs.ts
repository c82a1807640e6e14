// Multiply-accumulates of a Vim from its configuration alone: what `Vim.macs` counts, added up.
import { tensorMacs } from '../layers/ssm-shapes.js';
import { type VimConfig, patchCount } from './config.js';
import { vimShapes } from './shapes.js';

/** For one image. */
export function vimMacs(config: VimConfig): number {
  const patches = patchCount(config);
  let total = 0;
  for (const [name, shape] of vimShapes(config)) {
    const times = name.startsWith('head.')
      ? 1
      : name.startsWith('patch_embed.')
        ? patches
        : patches + 1;
    total += tensorMacs(name, shape, times);
  }
  return total;
}
