// How wide texts are about, where no page can measure them.

/** Of letters in Inter, as shares of the font's size: at least as wide as they are in the weights 400 and 600. */
const letterWidths: readonly (readonly [RegExp, number])[] = [
  [/[ijlI.,:;'|! ]/u, 0.33],
  [/[ftr()[\]/-]/u, 0.45],
  [/[mwMW%@…→]/u, 1],
  [/[A-Z]/u, 0.8],
  [/[ -~±–−]/u, 0.67],
];

/** Where no page can measure a text: in pixels, and rather too much. */
export function guessedWidth(text: string, size = 12): number {
  const shares = Array.from(
    text,
    (letter) => letterWidths.find(([letters]) => letters.test(letter))?.[1] ?? 1,
  );
  return size * shares.reduce((sum, share) => sum + share, 0);
}
