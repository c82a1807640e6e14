// Texts in a plot that keep clear of each other, as marks of Observable Plot.
import type { Markish } from '@observablehq/plot';
import { type Box, intersects, placeLabels } from './place-labels.js';
import { flagRoom } from './plot-style.js';
import { commonBeginning, shortened, textWidth } from './text-width.js';

const svg = 'http://www.w3.org/2000/svg';
const fontSize = 12;
/** Of a line of text. */
const lineHeight = 15;
/** From the top of a line to where its letters stand. */
const ascent = 11.5;

interface Named {
  readonly name: string;
  /** In the units of the plot. */
  readonly x: number;
  readonly y: number;
  /** What the mark is called: see `highlight.ts`. */
  readonly key: string;
}

/**
 * The names of points, those that have room. The others are in the plot, too, and are shown while their run is pointed at.
 * @param points - the most telling first
 */
export function nameLabels(points: readonly Named[], radius: number): Markish {
  return (_index, scales, _values, { width, height, marginLeft, marginRight, marginBottom }) => {
    const group = element('g', { class: 'names' });
    const widest = Math.min(260, 0.45 * (width - marginLeft - marginRight));
    const beginning = commonBeginning(points.map(({ name }) => name));
    const texts = points.map(({ name }) =>
      textWidth(name) <= widest || beginning === ''
        ? shortened(name, widest)
        : shortened(`…${name.slice(beginning.length)}`, widest),
    );
    const at = points.map(({ x, y }, i) => ({
      x: Number(scales.x?.(x)),
      y: Number(scales.y?.(y)),
      width: textWidth(texts[i] ?? ''),
      height: lineHeight,
    }));
    const bounds = {
      x: marginLeft,
      y: 0,
      width: width - marginLeft,
      height: height - marginBottom,
    };
    const boxes = new Map(
      placeLabels(at, { bounds, radius }).map((label) => [label.index, label] as const),
    );
    points.forEach(({ key, name }, i) => {
      const point = at[i];
      if (!point) return;
      const label = boxes.get(i);
      const place = label?.box ?? fallback(point, bounds, radius);
      const leader = label?.leader;
      if (leader) {
        const [from, to] = leader;
        group.append(
          element('line', {
            x1: from.x,
            y1: from.y,
            x2: to.x,
            y2: to.y,
            class: 'leader',
            'aria-label': key,
          }),
        );
      }
      const text = element('text', {
        x: place.x,
        y: place.y + ascent,
        class: label ? 'name' : 'name unplaced',
        'aria-label': key,
      });
      const whole = element('title', {});
      whole.textContent = name;
      text.append(texts[i] ?? '', whole);
      group.append(text);
    });
    return group;
  };
}

/** Above its point, within the plot. */
function fallback({ x, y, width, height }: Box, bounds: Box, radius: number): Pick<Box, 'x' | 'y'> {
  const most = bounds.x + bounds.width - width;
  return {
    x: Math.max(bounds.x, Math.min(most, x - width / 2)),
    y: Math.max(bounds.y, y - radius - 3 - height),
  };
}

interface Flag {
  readonly x: number;
  readonly text: string;
}

/** Texts over lines from top to bottom, above the frame: `plotStyle` makes room. Those without room are left out. */
export function flags(entries: readonly Flag[], colour: string): Markish {
  return (_index, scales, _values, { width, marginTop, marginLeft, marginRight }) => {
    const group = element('g', { fill: colour, class: 'flags' });
    const placed: Box[] = [];
    for (const { x, text } of entries) {
      const [line, length] = [Number(scales.x?.(x)), textWidth(text)];
      const places = [line - length / 2, line, line - length].map((left) => ({
        x: left,
        y: marginTop - flagRoom,
        width: length,
        height: lineHeight,
      }));
      const box = places.find(
        (place) =>
          place.x >= marginLeft &&
          place.x + length <= width - Math.min(4, marginRight) &&
          !placed.some((other) => intersects(place, other, 6)),
      );
      if (!box) continue;
      placed.push(box);
      const label = element('text', { x: box.x, y: box.y + ascent, class: 'flag' });
      label.textContent = text;
      group.append(label);
    }
    return group;
  };
}

function element(name: string, attributes: Readonly<Record<string, string | number>>): SVGElement {
  const made = document.createElementNS(svg, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  if (name === 'text') {
    made.setAttribute('font-size', String(fontSize));
    // Plot's own texts are centred.
    made.setAttribute('text-anchor', 'start');
  }
  return made;
}
