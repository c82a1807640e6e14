// How wide texts are in the page's font.

const svg = 'http://www.w3.org/2000/svg';
let ruler: SVGTextElement | undefined;
const known = new Map<string, number>();

/** In pixels. Measured as text of the page: a canvas knows nothing of the figures of equal width that the page asks for. */
export function textWidth(text: string, size = 12, weight = 400): number {
  const key = `${size} ${weight} ${text}`;
  const found = known.get(key);
  if (found !== undefined) return found;
  ruler ??= makeRuler();
  ruler.setAttribute('font-size', String(size));
  ruler.setAttribute('font-weight', String(weight));
  ruler.textContent = text;
  const width = Math.ceil(ruler.getComputedTextLength());
  known.set(key, width);
  return width;
}

/** Of another font than the one that has come meanwhile. */
export function forgetWidths(): void {
  known.clear();
}

function makeRuler(): SVGTextElement {
  const holder = document.createElementNS(svg, 'svg');
  holder.setAttribute('class', 'ruler');
  holder.setAttribute('aria-hidden', 'true');
  const text = document.createElementNS(svg, 'text');
  holder.append(text);
  document.body.append(holder);
  return text;
}

/** What all names begin with, up to a sign between words; they differ in the rest. */
export function commonBeginning(names: readonly string[]): string {
  const [first = '', ...others] = names;
  if (others.length === 0) return '';
  let length = 0;
  while (length < first.length && others.every((name) => name[length] === first[length])) length++;
  return /^.*[-_/. ]/s.exec(first.slice(0, length))?.[0] ?? '';
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
