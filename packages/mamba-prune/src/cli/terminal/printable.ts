// What the program prints: every control character of it as an escape, but for its own colours.
import { printable, printableLine } from '../../printable.js';

export { printable, printableLine };

/** A message is read by people: beyond this it is a file's content. */
const longestMessage = 8000;

/** What errors say, cut where it is longer than anybody reads. */
export function printableMessage(text: string): string {
  const shown = text.length > longestMessage ? `${text.slice(0, longestMessage)} ...` : text;
  return printable(shown);
}

/** The colours that this program uses, and their ends. */
// eslint-disable-next-line no-control-regex -- these are looked for
const ownColours = /(\u001b\[(?:0|1|2|22|3[1-6]|39|90)m)/;

/** As `printable`, with the colours of this program left as they are. */
export const printableColoured = (text: string): string =>
  text
    .split(ownColours)
    .map((part, i) => (i % 2 === 1 ? part : printable(part)))
    .join('');
