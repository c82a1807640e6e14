import type { Colours } from './io.js';

const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/**
 * A bar in eighths of a character, on a dotted track as long as the whole.
 * @param share - 0 to 1; anything over 0 is seen
 */
export function bar(share: number, width: number, colours: Colours): string {
  const clipped = Math.min(1, Math.max(0, share));
  const units = Math.max(clipped > 0 ? 1 : 0, Math.round(clipped * width * 8));
  const filled = '█'.repeat(Math.floor(units / 8)) + (eighths[units % 8] ?? '');
  return colours.cyan(filled) + colours.dim('·'.repeat(width - filled.length));
}
