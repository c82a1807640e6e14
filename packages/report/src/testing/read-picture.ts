// For tests: what the picture of a comparison says, read from its marks and the ticks of its axes.

/** One mark or text of a picture. */
export interface PictureElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly text: string;
}

export interface ReadPicture {
  /** Values of the accuracy axis, rounded to a thousandth of a percent; the order is that of the marks. */
  readonly seeds: readonly number[];
  readonly means: readonly number[];
  /** The lower and the upper end. */
  readonly deviations: readonly (readonly [number, number])[];
  /** MACs at the middle of every size, rounded to four digits. */
  readonly sizes: readonly number[];
  /** Texts of the marks of a class. */
  readonly texts: (className: string) => string[];
}

export function readPicture(svg: string): ReadPicture {
  const accuracy = axis(svg, 'y-axis tick label', 1, (text) => Number(text.replace('%', '')) / 100);
  const isLog = svg.includes('logarithmic →');
  const [onAxis, offAxis] = isLog ? [Math.log, Math.exp] : [Number, Number];
  const position = axis(svg, 'x-axis tick label', 0, (text) => onAxis(macsOf(text)));
  const macs = (pixels: number): number => offAxis(position(pixels));
  const share = (pixels: number): number => Number(accuracy(pixels).toFixed(5));
  const of = (className: string): PictureElement[] => elementsIn(svg, `class="${className}"`);
  return {
    seeds: of('seeds').map(({ attributes }) => share(Number(attributes['cy']))),
    means: of('means').map((mark) => share(placeOf(mark)[1])),
    deviations: of('deviations').map(({ attributes: { y1, y2 } }) => [
      share(Number(y1)),
      share(Number(y2)),
    ]),
    sizes: of('sizes').map(({ attributes: { x, width } }) =>
      Number(macs(Number(x) + Number(width) / 2).toPrecision(4)),
    ),
    texts: (className) => of(className).flatMap(({ text }) => (text === '' ? [] : [text])),
  };
}

/** The marks in the groups whose tag has `attribute`. */
export function elementsIn(svg: string, attribute: string): PictureElement[] {
  const groups = Array.from(svg.matchAll(/<g([^>]*)>(.*?)<\/g>/gs))
    .filter(([, tag = '']) => tag.includes(attribute))
    .map(([, , inside = '']) => inside);
  const marks = groups.flatMap((inside) =>
    Array.from(inside.matchAll(/<(circle|path|line|rect|text)\b([^>]*)>([^<]*)/g)),
  );
  return marks.map(([, name = '', tag = '', text = '']) => ({
    name,
    attributes: Object.fromEntries(
      Array.from(tag.matchAll(/([\w-]+)="([^"]*)"/g), ([, key = '', value = '']) => [key, value]),
    ),
    text,
  }));
}

/** Where a mark stands that has a place by `transform` or, as circles, by its centre. */
export function placeOf({ attributes }: PictureElement): readonly [number, number] {
  const { cx, cy, transform = '' } = attributes;
  if (cx !== undefined) return [Number(cx), Number(cy)];
  const [, x, y] = /translate\(([-\d.]+),\s*([-\d.]+)\)/.exec(transform) ?? [];
  return [Number(x), Number(y)];
}

/** From pixels to values, along the line through the outermost ticks. */
function axis(
  svg: string,
  label: string,
  side: 0 | 1,
  valueOf: (text: string) => number,
): (pixels: number) => number {
  const ticks = elementsIn(svg, `aria-label="${label}"`).map((tick) => ({
    at: placeOf(tick)[side],
    value: valueOf(tick.text),
  }));
  const [first, last] = [ticks[0], ticks.at(-1)];
  if (!first || !last || first === last) throw new Error(`picture: too few ticks of the ${label}`);
  const slope = (last.value - first.value) / (last.at - first.at);
  return (pixels) => first.value + (pixels - first.at) * slope;
}

function macsOf(text: string): number {
  const [number, unit = ''] = text.split(' ');
  const factors: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, G: 1e9 };
  return Number(number) * (factors[unit] ?? NaN);
}
