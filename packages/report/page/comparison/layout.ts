// Where the parts of the picture of a comparison stand, in pixels. Computes alone: no page is needed.
import type { PicturedComparison } from '../../src/page-data/comparison.js';
import { type MacsAxis, linearAxis, logAxis } from './macs-axis.js';
import { placeBands } from './place-bands.js';

/** Of a text, in pixels. */
export type Measure = (text: string, size: number, weight?: number) => number;

/** One method at one rate: its mean stands at `x`, its seeds a little beside it. */
export interface Column {
  readonly method: string;
  readonly rate: number;
  readonly macs: number;
  readonly accuracy: number;
  /** One standard deviation to each side of the mean; null for one seed. */
  readonly bar: readonly [number, number] | null;
  /** The highest of all that is drawn. */
  readonly top: number;
  /** From the left edge of the plot. */
  readonly x: number;
  readonly seeds: readonly { readonly seed: number; readonly accuracy: number }[];
}

/** The models of one rate, which are of about one size: a band behind them, with their names on top. */
export interface Size {
  readonly rate: number;
  /** Mean of its methods. */
  readonly macs: number;
  readonly middle: number;
  readonly left: number;
  readonly right: number;
}

/** From one size of a method to its next: between their bands, so that all methods' begin and end alike. */
export interface Join {
  readonly method: string;
  /** The right edge of the smaller size's band, from the left edge of the plot, and its accuracy. */
  readonly from: readonly [x: number, accuracy: number];
  /** The left edge of the larger one's. */
  readonly to: readonly [x: number, accuracy: number];
}

export interface Layout {
  readonly columns: readonly Column[];
  /** The smallest first. */
  readonly sizes: readonly Size[];
  readonly joins: readonly Join[];
  readonly axis: MacsAxis;
  /** Between the columns of one size. */
  readonly spread: number;
}

/** Methods of one size stand so far apart, or their bars would hide each other. */
const widest = 46;
const narrowest = 8;
/** Bands that were moved stand wide enough for their names, where that takes no more than this share of the width. */
const named = 14;
const namedShare = 0.6;
/** Half the width of a band with a single method. */
const single = 30;
/** Between two bands, and between a band and the edge. */
const gap = 4;
/** Closer together than this, the methods of one size are hard to tell apart. */
const roomy = 20;
/** The kind of the axis is chosen for this width, so that it does not change with that of a window. */
const usualWidth = 700;

/** @param width - of the plot without its margins, in pixels */
export function layOut({ methods, runs }: PicturedComparison, width: number): Layout {
  const groups = sizesOf(methods);
  const axis = axisOf(groups, width);
  const spread = spreadOf(groups, axis.toPixels, width);
  const middles = middlesOf(groups, axis.toPixels, spread, width);
  const columns = groups.flatMap(({ members }, group) =>
    members.map(({ method, rate, macs, accuracy, deviation }, i): Column => {
      const seeds = runs.filter((run) => run.method === method && run.rate === rate);
      const bar =
        deviation === null ? null : ([accuracy - deviation, accuracy + deviation] as const);
      return {
        method,
        rate,
        macs,
        accuracy,
        bar,
        seeds,
        top: Math.max(accuracy, bar?.[1] ?? accuracy, ...seeds.map((run) => run.accuracy)),
        x: (middles[group] ?? 0) + spread * (i - (members.length - 1) / 2),
      };
    }),
  );
  const sizes = groups.map(({ rate, macs, members }, i): Size => {
    const half = bandWidth(members.length, spread) / 2;
    const middle = middles[i] ?? 0;
    return {
      rate,
      macs,
      middle,
      left: Math.max(0, middle - half),
      right: Math.min(width, middle + half),
    };
  });
  return { columns, sizes, joins: joinsOf(columns, sizes), axis, spread };
}

/** Two dense models are no two sizes of one, so they are not joined. */
function joinsOf(columns: readonly Column[], sizes: readonly Size[]): Join[] {
  const pruned = columns.filter(({ rate }) => rate > 0);
  const edges = new Map(sizes.map(({ rate, left, right }) => [rate, { left, right }]));
  return [...new Set(pruned.map(({ method }) => method))].flatMap((method) => {
    const own = pruned.filter((column) => column.method === method);
    return own.slice(1).map((larger, i): Join => {
      const smaller = own[i] ?? larger;
      return {
        method,
        from: [edges.get(smaller.rate)?.right ?? smaller.x, smaller.accuracy],
        to: [edges.get(larger.rate)?.left ?? larger.x, larger.accuracy],
      };
    });
  });
}

interface SizeGroup {
  readonly rate: number;
  readonly macs: number;
  readonly members: PicturedComparison['methods'];
}

function sizesOf(methods: PicturedComparison['methods']): SizeGroup[] {
  const rates = [...new Set(methods.map(({ rate }) => rate))];
  return rates
    .map((rate) => {
      const members = methods.filter((result) => result.rate === rate);
      const macs = members.reduce((sum, result) => sum + result.macs, 0) / members.length;
      return { rate, macs, members };
    })
    .sort((a, b) => a.macs - b.macs || b.rate - a.rate);
}

/** Linear, unless small sizes would crowd at its beginning and a logarithmic one gives them more room. */
function axisOf(groups: readonly SizeGroup[], width: number): MacsAxis {
  const sizes = groups.flatMap(({ members }) => members.map(({ macs }) => macs));
  const [smallest, largest] = [Math.min(...sizes), Math.max(...sizes)];
  const room = (of: number): number => Math.max(single + gap, 0.074 * of);
  const linear = (of: number): MacsAxis => linearAxis(largest, of, room(of));
  if (smallest === largest) return linear(width);
  const log = (of: number): MacsAxis => logAxis(smallest, largest, of, room(of));
  const [apart, apartInLog] = [linear, log].map((axis) =>
    spreadOf(groups, axis(usualWidth).toPixels, usualWidth),
  ) as [number, number];
  return apart < roomy && apartInLog > apart ? log(width) : linear(width);
}

const bandWidth = (members: number, spread: number): number =>
  members === 1 ? 2 * single : spread * members + 2 * gap;

type ToPixels = MacsAxis['toPixels'];

const placed = (groups: readonly SizeGroup[], at: ToPixels, spread: number, width: number) =>
  placeBands(
    groups.map(({ macs, members }) => ({
      middle: at(macs),
      width: bandWidth(members.length, spread),
    })),
    gap,
    width,
  );

/** Of the bands: at their MACs, and side by side where two rates come to about the same MACs. */
const middlesOf = (groups: readonly SizeGroup[], at: ToPixels, spread: number, width: number) =>
  placed(groups, at, spread, width).flatMap(({ middles }) => middles);

/** As much as keeps bands apart that stand at different MACs, and the first one off the axis. */
function spreadOf(groups: readonly SizeGroup[], at: ToPixels, width: number): number {
  let begin = 0;
  const stands = placed(groups, at, narrowest, width).map(({ middle, middles }) => {
    const members = groups.slice(begin, (begin += middles.length)).map((group) => group.members);
    // The room that bands side by side take beside their columns.
    return { middle, columns: members.flat().length, gaps: 3 * gap * (middles.length - 1) };
  });
  const rooms = stands.map(({ middle, columns, gaps }, i) => {
    const before = stands[i - 1];
    if (!before) return (2 * (middle - gap) - gaps) / columns;
    const apart = middle - before.middle - 3 * gap - (gaps + before.gaps) / 2;
    return apart / ((columns + before.columns) / 2);
  });
  return Math.max(leastSpread(groups, stands.length, width), Math.min(widest, ...rooms));
}

function leastSpread(groups: readonly SizeGroup[], stands: number, width: number): number {
  if (stands === groups.length) return narrowest;
  const columns = groups.reduce((sum, { members }) => sum + members.length, 0);
  const room = namedShare * width - 3 * gap * groups.length;
  return Math.max(narrowest, Math.min(named, room / columns));
}

export interface NamedSize extends Size {
  /** Empty where it would stand on another one. */
  readonly name: string;
  readonly cost: string;
}

interface SizeTexts {
  /** Of a size, the longest first. */
  readonly names: (size: Size) => readonly string[];
  readonly cost: (size: Size) => string;
  readonly nameWidth: (text: string) => number;
  readonly costWidth: (text: string) => number;
  /** Of the picture, from the left edge of the plot. */
  readonly edges: readonly [number, number];
}

/** The names of the sizes: all whole where they fit, else all short, and then those that have room, the smallest size first. */
export function nameSizes(
  sizes: readonly Size[],
  { names, cost, nameWidth, costWidth, edges }: SizeTexts,
): NamedSize[] {
  const whole = sizes.map((size) => names(size)[0] ?? '');
  const short = sizes.map((size) => names(size).at(-1) ?? '');
  const placed = placeRow(sizes, whole, nameWidth, edges);
  const shown = placed.includes('') ? placeRow(sizes, short, nameWidth, edges) : placed;
  const costs = placeRow(sizes, sizes.map(cost), costWidth, edges);
  return sizes.map((size, i) => ({ ...size, name: shown[i] ?? '', cost: costs[i] ?? '' }));
}

/** Texts over the middles of the sizes; in place of one that would touch the one before it, nothing. */
function placeRow(
  sizes: readonly Size[],
  texts: readonly string[],
  widthOf: (text: string) => number,
  [start, end]: readonly [number, number],
): string[] {
  let free = start;
  return sizes.map(({ middle }, i) => {
    const text = texts[i] ?? '';
    const half = widthOf(text) / 2;
    if (middle - half < free + gap || middle + half > end) return '';
    free = middle + half;
    return text;
  });
}

export interface LegendEntry {
  readonly method: string;
  readonly name: string;
  /** Of its sign, from the left edge. */
  readonly x: number;
  /** Row, from 0. */
  readonly row: number;
}

/** Signs and names of the methods side by side, in as many rows as it takes. */
export function layOutLegend(
  methods: readonly { readonly method: string; readonly name: string }[],
  width: number,
  widthOf: (name: string) => number,
): LegendEntry[] {
  let [x, row] = [0, 0];
  return methods.map(({ method, name }) => {
    const length = legendIndent + widthOf(name);
    if (x > 0 && x + length > width) [x, row] = [0, row + 1];
    const entry = { method, name, x, row };
    x += length + 24;
    return entry;
  });
}

/** From the left edge of a sign to its name. */
export const legendIndent = 19;
