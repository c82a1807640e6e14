// What the picture of a comparison looks like, in vega's words (https://vega.github.io/vega/docs).
import type { Axis, Spec, Title } from 'vega';
import { count } from '../../format.js';
import { chartFont as font } from './chart-font.js';
import { bands, denseLine, lines, results } from './chart-marks.js';
import { chartStyles, ink, plot } from './chart-style.js';
import { mean } from './statistics.js';

/** One method at one size. */
export interface ChartPoint {
  readonly method: string;
  /** What its models have in common with those of other methods: `70% removed`. */
  readonly size: string;
  /** MACs of one image. */
  readonly macs: number;
  /** Accuracy of every seed, 0 to 1. */
  readonly accuracies: readonly number[];
  /** Sample standard deviation; NaN for a single seed, which has no bar. */
  readonly deviation: number;
}

export interface ChartText {
  readonly title: string;
  readonly subtitle: readonly string[];
}

/** Vega guesses how wide text is, so the room around the plot is given, not worked out. */
const padding = { left: 88, right: 28, top: 104, bottom: 104 };
/** With the units of all our numbers: vega writes 2.5M and 100k, and 0.0 for zero. */
const tickText =
  "datum.value === 0 ? '0' : replace(replace(datum.label, 'k', 'K'), regexp('([KMG])$'), ' $1')";
/** Room at the top of the plot for the names of the sizes. */
const headroom = 54;
/** Methods of one size stand so many pixels apart, or their bars would hide each other. */
const widest = 46;
const narrowest = 12;

export function chartSpec(points: readonly ChartPoint[], text: ChartText): Spec {
  const methods = Object.keys(chartStyles).filter((name) => points.some((p) => p.method === name));
  const spread = spreadOf(points);
  // Enough for a number over every mean.
  const roomy = spread >= widthOf('88.88', 11.5) + 3;
  const means = points.map((point) => markOf(point, points, spread));
  const seeds = points.flatMap((point) => {
    const { method, x, shift } = markOf(point, points, spread);
    return point.accuracies.map((y) => ({ method, x, shift, y }));
  });
  const lowest = Math.min(...seeds.map(({ y }) => y), ...means.map(({ low }) => low));
  const highest = Math.max(...seeds.map(({ y }) => y), ...means.map(({ high }) => high));
  // Equal values would leave the axis without extent.
  const margin = Math.max(0.08 * (highest - lowest), 1e-3);
  const colours = methods.map((name) => chartStyles[name]?.colour ?? ink.dark);
  return {
    background: 'white',
    autosize: 'none',
    padding,
    ...plot,
    title: titleOf(text),
    data: [
      { name: 'means', values: means },
      { name: 'seeds', values: seeds },
      { name: 'sizes', values: namedSizes(sizesOf(points, spread), extent(points)) },
      { name: 'dense', values: means.filter(({ method }) => method === 'dense') },
    ],
    scales: [
      {
        name: 'x',
        type: 'linear',
        domain: [0, extent(points)],
        range: 'width',
      },
      {
        name: 'y',
        type: 'linear',
        domain: [lowest - margin, highest + margin],
        zero: false,
        nice: 6,
        range: [plot.height, headroom],
      },
      { name: 'colour', type: 'ordinal', domain: methods, range: colours },
      {
        name: 'shape',
        type: 'ordinal',
        domain: methods,
        range: methods.map((name) => chartStyles[name]?.shape ?? 'circle'),
      },
      {
        name: 'label',
        type: 'ordinal',
        domain: methods,
        range: methods.map((name) => chartStyles[name]?.label ?? name),
      },
    ],
    axes: [
      axis({
        orient: 'bottom',
        scale: 'x',
        title: 'multiply-accumulates (MACs) for one image',
        tickCount: 8,
        labelOverlap: 'greedy',
        format: '~s',
        encode: { labels: { update: { text: { signal: tickText } } } },
      }),
      axis({
        orient: 'left',
        scale: 'y',
        title: 'test accuracy',
        tickCount: 6,
        format: '.1%',
        grid: true,
      }),
    ],
    marks: [...bands(), denseLine(), lines(), ...results(roomy)],
    legends: [
      {
        fill: 'colour',
        shape: 'shape',
        orient: 'none',
        direction: 'horizontal',
        legendX: 0,
        legendY: plot.height + 66,
        columnPadding: 26,
        labelFont: font,
        labelFontSize: 13,
        labelColor: ink.dark,
        symbolSize: 130,
        symbolStrokeWidth: 0,
        encode: { labels: { update: { text: { signal: "scale('label', datum.value)" } } } },
      },
    ],
  };
}

function titleOf(text: ChartText): Title {
  return {
    text: text.title,
    subtitle: [...text.subtitle],
    anchor: 'start',
    frame: 'group',
    font,
    fontSize: 18,
    fontWeight: 600,
    color: ink.dark,
    subtitleFont: font,
    subtitleFontSize: 12.5,
    subtitleColor: ink.soft,
    subtitlePadding: 6,
    offset: 20,
    // Names of data sets may be long.
    limit: plot.width + padding.right,
  };
}

/** Values a mark is drawn from; vega reads them by name. */
interface MarkData {
  readonly method: string;
  readonly x: number;
  /** Pixels beside x. */
  readonly shift: number;
  readonly y: number;
  readonly low: number;
  readonly high: number;
  readonly bar: boolean;
  /** The highest of all that is drawn, above which its value stands. */
  readonly top: number;
}

/** The largest number of MACs on the axis. */
const extent = (points: readonly ChartPoint[]): number =>
  1.08 * Math.max(...points.map(({ macs }) => macs));

/** As much as keeps the bands of neighbouring sizes apart. */
function spreadOf(points: readonly ChartPoint[]): number {
  const places = sizesOf(points, 0).sort((a, b) => a.x - b.x);
  const rooms = places.slice(1).map(({ x, members }, i) => {
    const before = places[i] as (typeof places)[number];
    const pixels = ((x - before.x) / extent(points)) * plot.width;
    return (pixels - 12) / ((members + before.members) / 2);
  });
  return Math.max(narrowest, Math.min(widest, ...rooms));
}

function markOf(point: ChartPoint, points: readonly ChartPoint[], spread: number): MarkData {
  const { method, size, macs, accuracies, deviation } = point;
  const neighbours = points.filter((other) => other.size === size);
  const place = neighbours.indexOf(point) - (neighbours.length - 1) / 2;
  const y = mean(accuracies);
  const bar = Number.isFinite(deviation);
  const reach = bar ? deviation : 0;
  const [low, high] = [y - reach, y + reach];
  const top = Math.max(high, ...accuracies);
  return { method, x: macs, shift: spread * place, y, low, high, bar, top };
}

interface SizeData {
  readonly label: string;
  readonly x: number;
  /** Half the width of its band, in pixels. */
  readonly half: number;
  /** Number of methods. */
  readonly members: number;
}

function sizesOf(points: readonly ChartPoint[], spread: number): SizeData[] {
  return [...new Set(points.map(({ size }) => size))].map((label) => {
    const macs = points.filter(({ size }) => size === label).map((point) => point.macs);
    return {
      label,
      x: mean(macs),
      half: macs.length === 1 ? 30 : (spread * macs.length) / 2 + 4,
      members: macs.length,
    };
  });
}

interface NamedSize extends SizeData {
  /** Empty, as the cost, where it would stand on another one. */
  readonly name: string;
  /** MACs of one image, as a text. */
  readonly cost: string;
}

/** The names of the sizes, from the smallest on: whole, short where the neighbours are near, or none. */
function namedSizes(sizes: readonly SizeData[], domain: number): NamedSize[] {
  const ends = { name: -Infinity, cost: -Infinity };
  const middleOf = ({ x }: SizeData): number => (x / domain) * plot.width;
  const sorted = [...sizes].sort((a, b) => a.x - b.x);
  return sorted.map((size, i) => {
    const middle = middleOf(size);
    /** Takes the place if it is free. */
    const fits = (row: keyof typeof ends, width: number): boolean => {
      if (middle - width / 2 < ends[row] + 4) return false;
      ends[row] = middle + width / 2;
      return true;
    };
    const next = sorted[i + 1];
    const cost = count(size.x);
    const room = next ? middleOf(next) - middle - 4 : Infinity;
    // `70%` of `70% removed`.
    const names = [size.label, size.label.split(' ')[0] ?? ''];
    const wide = names.map((name) => widthOf(name, 12.5));
    const isTight = (wide[0] ?? 0) / 2 + (wide[1] ?? 0) / 2 > room;
    const found = names.find((_, j) => (j > 0 || !isTight) && fits('name', wide[j] ?? 0));
    return { ...size, name: found ?? '', cost: fits('cost', widthOf(cost, 11.5)) ? cost : '' };
  });
}

/** Of a text in the picture's font; a guess on the safe side, as nothing here can measure it. */
const widthOf = (text: string, fontSize: number): number => 0.64 * fontSize * text.length;

function axis(own: Axis): Axis {
  return {
    domain: own.orient === 'bottom',
    domainColor: ink.soft,
    ticks: false,
    gridColor: ink.grid,
    labelFont: font,
    labelFontSize: 12,
    labelColor: ink.soft,
    labelPadding: 8,
    titleFont: font,
    titleFontSize: 12.5,
    titleFontWeight: 'normal',
    titleColor: ink.soft,
    titlePadding: 12,
    zindex: 0,
    ...own,
  };
}
