// Text broken into lines at blanks. Imports nothing, so that the last words of a program that cannot even load its
// modules are broken too.

/** What every line but titles begins with. */
export const indent = '  ';

/** Everything we print fits 80 columns; wider terminals do not make tables wider. */
const maxColumns = 80;

/** Columns that there are to print in. */
export const columnsOf = ({ columns }: { readonly columns?: number | undefined }): number =>
  Math.min(maxColumns, Math.max(40, columns ?? maxColumns));

/** Stands for a blank at which no line ends. For private use, so that no text has it, as names of files have U+00A0. */
const glue = '\ue000';

/** Names with their values: `p = 0.04`. */
const values = / ([=<]) /g;

/** What is there to be copied: what stands in quotes, and command lines up to the end of their clause. */
const copied =
  /"[^"]*"|(?<![\w/.-])(?:[A-Z_]+=\S+ )*(?:mamba-prune|npm|npx|apt-get|pip|scripts\/setup) .*?(?=[.,;:)]*(?:[.,;:)] |$)| \()/g;

export interface Lines {
  /** What the first line begins with. */
  readonly first: string;
  /** Columns that a text takes. */
  readonly visible: (text: string) => number;
}

/**
 * One line of a text as lines of at most `width`, indented from the second on. Longer words stay whole, and so do `p = 0.04` and
 * what is there to be copied, such as command lines: those the terminal itself breaks where it has to.
 */
export function wrapLine(text: string, width: number, { first, visible }: Lines): string {
  const glued = text
    .replaceAll(values, `${glue}$1${glue}`)
    .replaceAll(copied, (all) => all.replaceAll(' ', glue));
  const lines: string[] = [];
  for (const piece of glued.split(' ')) {
    const word = piece.replaceAll(glue, ' ');
    const last = lines.at(-1);
    if (last === undefined) lines.push(first + word);
    else if (visible(last) + 1 + visible(word) <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(indent + word);
  }
  return lines.join('\n');
}

/** The message of an error: lines that fit are left as they are. */
export function wrapMessage(
  text: string,
  width: number,
  visible: Lines['visible'] = (line) => line.length,
): string {
  return text
    .split('\n')
    .map((line) => (visible(line) <= width ? line : wrapLine(line, width, { first: '', visible })))
    .join('\n');
}
