// Text that came from a file or a folder's name may hold what a terminal obeys: colours, moves of the
// cursor, titles, text from right to left. It is shown, and not obeyed.

/**
 * Control characters but tab and line feed, separators of lines, marks that turn the direction of text
 * around, and halves of surrogate pairs.
 */
const control =
  // eslint-disable-next-line no-control-regex -- these are looked for
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\p{Cs}/gu;

/** As JSON writes it, so that JSON stays what it is. */
const escaped = (character: string): string =>
  `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Text of several lines with every control character as an escape: `\u001b[31m`. */
export const printable = (text: string): string => text.replace(control, escaped);

/** The same for what stands in one line, such as a name. */
export const printableLine = (text: string): string =>
  printable(text)
    .replaceAll('\n', String.raw`\n`)
    .replaceAll('\t', String.raw`\t`);

/** Longer than any name of a tensor. */
const longestName = 120;

/** For a message: what a file calls its tensors may be of any length too. */
export const printableName = (name: string): string =>
  printableLine(name.length > longestName ? `${name.slice(0, longestName)}...` : name);

/** Names in one line, wherever they come from; a long name is cut, and so is a long list. */
export function listed(names: readonly string[], most = 8): string {
  const shown = names.slice(0, most).map(printableName).join(', ');
  return names.length > most ? `${shown} and ${names.length - most} more` : shown;
}
