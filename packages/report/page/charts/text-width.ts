// How wide texts are in the page's font.

let context: CanvasRenderingContext2D | null | undefined;

/** In pixels; a guess where there is no canvas. */
export function textWidth(text: string, size = 12, weight = 400): number {
  context ??= document.createElement('canvas').getContext('2d');
  if (!context) return 0.62 * size * text.length;
  context.font = `${weight} ${size}px ${getComputedStyle(document.body).fontFamily}`;
  return Math.ceil(context.measureText(text).width);
}

/**
 * A name that fits, with what tells it from its neighbours: names of runs begin and end differently.
 * @param measure - the width of a text
 */
export function shortened(
  text: string,
  width: number,
  measure: (text: string) => number = textWidth,
): string {
  if (measure(text) <= width) return text;
  // Code points: half a character is none.
  const letters = Array.from(text);
  for (let left = letters.length - 1; left > 2; left--) {
    const head = Math.ceil(left / 2);
    const cut = `${letters.slice(0, head).join('')}…${letters.slice(letters.length - (left - head)).join('')}`;
    if (measure(cut) <= width) return cut;
  }
  return '…';
}
