/**
 * In which directions a vision Mamba scans the patches of an image.
 *
 *     uni    row by row from the first patch to the last, in every block
 *     bi     in every block both ways, with weights of its own for the way back (Zhu et al. 2024, arXiv 2401.09417)
 *     cross  one way in each block, as in uni, but the blocks take turns: down the rows, across the columns, and both
 *            backwards. It costs what uni costs, every patch comes to see every other, and the convolution before
 *            the scan sees neighbours in both dimensions (after ZigMa, Hu et al. 2024, arXiv 2403.13802, section 3.2,
 *            which spreads eight zigzag paths over the layers; VMamba, Liu et al. 2024, arXiv 2401.10166, takes all
 *            four ways in every block)
 */
import type { F } from '@mamba-prune/libtorch';

export const scanModes = ['uni', 'bi', 'cross'] as const;
export type ScanMode = (typeof scanModes)[number];

/**
 * What becomes of the patches' order before a block, so that it can go through them from first to last.
 * The residual stream keeps the new order: nothing else in a block mixes patches.
 *
 * For `cross` blocks 0, 1, 2, 3 see rows forward, columns forward, columns backward, rows backward, and so on
 * from block 4: a step each, never two.
 */
export function reorderBefore(block: number, scan: ScanMode): F.TokenOrder | undefined {
  if (scan !== 'cross' || block === 0) return undefined;
  return block % 2 === 1 ? 'transposed' : 'reversed';
}
