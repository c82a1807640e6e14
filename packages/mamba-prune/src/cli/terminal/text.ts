// Text measured in terminal columns: colours take none, Chinese characters take two.
import cliTruncate from 'cli-truncate';
import stringWidth from 'string-width';
import { indent, wrapLine, wrapMessage as wrapPlain } from './wrap.js';

export { indent };

/** Columns that a line takes. */
export const visible = (text: string): number => stringWidth(text);

/**
 * Cuts a text that does not fit and puts an ellipsis there.
 * @param keep - which end stays: the `end` tells paths apart, the `start` names
 */
export function shorten(text: string, width: number, keep: 'start' | 'end' = 'end'): string {
  return cliTruncate(text, width, { position: keep === 'end' ? 'start' : 'end' });
}

/** Text broken at blanks into indented lines of at most `width`. */
export function wrapText(text: string, width: number): string {
  return text
    .split('\n')
    .map((line) => wrapLine(line.trim(), width, { first: indent, visible }))
    .join('\n');
}

/** The message of an error for a terminal: broken at blanks, with what follows indented. */
export const wrapMessage = (text: string, width: number): string => wrapPlain(text, width, visible);

/** Blanks behind, up to the width; `padEnd` counts characters. */
export const padEnd = (text: string, width: number): string =>
  text + ' '.repeat(Math.max(0, width - visible(text)));
