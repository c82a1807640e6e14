// Text measured in terminal columns: colours take none, Chinese characters take two.
import cliTruncate from 'cli-truncate';
import stringWidth from 'string-width';
import wrapAnsi from 'wrap-ansi';

/** What every line but titles begins with. */
export const indent = '  ';

/** Columns that a line takes. */
export const visible = (text: string): number => stringWidth(text);

/**
 * Cuts a text that does not fit and puts an ellipsis there.
 * @param keep - which end stays: the `end` tells paths apart, the `start` names
 */
export function shorten(text: string, width: number, keep: 'start' | 'end' = 'end'): string {
  return cliTruncate(text, width, { position: keep === 'end' ? 'start' : 'end' });
}

/** Stands for a blank at which no line ends. For private use, so that no text has it, as names of files have U+00A0. */
const glue = '\ue000';

/** Text broken at blanks into indented lines of at most `width`. Longer words stay whole, and so does `p = 0.04`. */
export function wrapText(text: string, width: number): string {
  return wrapAnsi(text.replaceAll(/ ([=<]) /g, `${glue}$1${glue}`), width - indent.length)
    .replaceAll(glue, ' ')
    .split('\n')
    .map((line) => indent + line)
    .join('\n');
}

/** What is there to be copied: what stands in quotes, and command lines up to the end of their clause. */
const copied =
  /"[^"]*"|(?<![\w/.-])(?:[A-Z_]+=\S+ )*(?:mamba-prune|npm|npx|apt-get|pip|scripts\/setup) .*?(?=[.,;:)]*(?:[.,;:)] |$)| \()/g;

/**
 * The message of an error for a terminal: broken at blanks, with what follows indented. Longer words stay whole, and so do
 * command lines, which the terminal itself breaks where it has to, so that they can be copied.
 */
export function wrapMessage(text: string, width: number): string {
  return text
    .split('\n')
    .map((line) => (visible(line) <= width ? line : wrapLine(line, width)))
    .join('\n');
}

function wrapLine(text: string, width: number): string {
  const lines: string[] = [];
  for (const glued of text.replaceAll(copied, (all) => all.replaceAll(' ', glue)).split(' ')) {
    const word = glued.replaceAll(glue, ' ');
    const last = lines.at(-1);
    if (last !== undefined && visible(last) + 1 + visible(word) <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(last === undefined ? word : indent + word);
  }
  return lines.join('\n');
}

/** Blanks behind, up to the width; `padEnd` counts characters. */
export const padEnd = (text: string, width: number): string =>
  text + ' '.repeat(Math.max(0, width - visible(text)));
