// The picture of a comparison: accuracy against MACs, of every method at every size. The page shows it, and `mamba-prune compare`
// writes it beside its results (`file.ts`).
import * as Plot from '@observablehq/plot';
import type { PictureHeading, PicturedComparison } from '../../src/page-data/comparison.js';
import { gridStyle, tipStyle } from '../charts/plot-style.js';
import { shortened } from '../charts/text-width.js';
import { methodColour } from '../colours.js';
import { count, percent, tick } from '../format.js';
import type { Translate } from '../i18n/index.js';
import { methodSymbol } from '../run-mark.js';
import { methodName, rateName } from '../words.js';
import {
  type Column,
  type Join,
  type Measure,
  type NamedSize,
  layOut,
  layOutLegend,
  legendIndent,
  nameSizes,
} from './layout.js';
import { logTicks } from './macs-axis.js';

interface PictureOptions {
  readonly width: number;
  /** Of the plot between the axes. */
  readonly plotHeight: number;
  readonly t: Translate;
  readonly measure: Measure;
  /** That the picture is drawn in. By default the page's. */
  readonly document?: Document;
  readonly heading?: PictureHeading;
  /** Shows what a mark is when it is pointed at. */
  readonly hasTips?: boolean;
}

const fontSize = 12;
const headingSizes = { title: 18, line: 12.5 };
/** From one line of a heading, or row of a legend, to the next. */
const lineHeight = 20;
/** Room at the top of the plot for the names of the sizes. */
const headroom = 52;
/** Marks have the area of a disc of this radius. */
const meanRadius = 6.5;
const legendRadius = 5.5;
/** A mean's seeds stand so far to its left. */
const seedsShift = 10;
const margin = { left: 56, right: 14, top: 28, axis: 44 };

export function drawComparison(compared: PicturedComparison, options: PictureOptions): Element {
  const { width, plotHeight, t, measure, document, heading, hasTips = false } = options;
  const inner = width - margin.left - margin.right;
  const { columns, sizes, joins, axis, spread } = layOut(compared, inner);
  const methods = [...new Set(compared.methods.map(({ method }) => method))];
  const legend = layOutLegend(
    methods.map((method) => ({ method, name: methodName(method, t) })),
    inner,
    (name) => measure(name, fontSize),
  );
  const legendHeight = 12 + lineHeight * (1 + (legend.at(-1)?.row ?? 0));
  const headHeight = heading ? 30 + lineHeight * heading.lines.length : 0;
  const marginTop = margin.top + headHeight;
  const marginBottom = margin.axis + legendHeight;
  const height = marginTop + plotHeight + marginBottom;
  const named = nameSizes(sizes, {
    names: ({ rate }) =>
      rate === 0
        ? [t('dense')]
        : [t('rateRemoved', { rate: rateName(rate, compared) }), `−${rateName(rate, compared)}`],
    cost: ({ macs }) => count(macs),
    nameWidth: (text) => measure(text, fontSize, 600),
    costWidth: (text) => measure(text, fontSize),
    edges: [-margin.left, inner + margin.right],
  });
  // Where there are many sizes, marks must not stand on those beside them.
  const radius = Math.min(meanRadius, 0.4 * spread);
  const shift = Math.min(seedsShift, spread / 2);
  const { y, toPixels, toAccuracy } = accuracyScale(
    columns,
    marginTop + plotHeight,
    marginTop + headroom,
  );
  const macsAt = axis.toMacs;
  const isLog = axis.type === 'log';
  const x = ({ x: pixels }: Column): number => macsAt(pixels);
  const colour = ({ method }: Column): string => methodColour(method);
  const seeds = columns.flatMap((column) =>
    column.seeds.map((run) => ({ ...run, column, x: macsAt(column.x - shift) })),
  );
  const withBar = columns.filter(({ bar }) => bar !== null);
  // Room for a number over every mean.
  const isRoomy = spread >= measure('88.88', fontSize, 600) + 3;
  return Plot.plot({
    ...(document && { document }),
    width,
    height,
    marginTop,
    marginBottom,
    marginLeft: margin.left,
    marginRight: margin.right,
    style: {
      background: 'transparent',
      color: 'var(--soft)',
      fontFamily: 'inherit',
      fontSize: `${fontSize}px`,
      overflow: 'visible',
    },
    x: { type: axis.type, domain: axis.domain },
    y,
    marks: [
      Plot.rectX(named, {
        className: 'sizes',
        x1: ({ left }: NamedSize) => macsAt(left),
        x2: ({ right }: NamedSize) => macsAt(right),
        fill: 'var(--track)',
        fillOpacity: 0.5,
        rx: 6,
      }),
      Plot.gridY({ ...gridStyle, ticks: 6 }),
      Plot.axisX({
        label: `${t(isLog ? 'macsLogarithmic' : 'macsLong')} →`,
        labelOffset: margin.axis - 6,
        tickSize: 0,
        ticks: isLog ? logTicks(axis.domain) : Math.max(2, inner / 90),
        tickFormat: (macs: number) => tick(count(macs)),
      }),
      Plot.axisY({
        label: null,
        tickSize: 0,
        ticks: 6,
        // Room above the best values is no accuracy.
        tickFormat: (share: number) =>
          share > 1 + 1e-9 ? '' : `${Number((100 * share).toFixed(2))}%`,
      }),
      Plot.ruleY(
        columns.filter(({ rate }) => rate === 0),
        {
          className: 'dense',
          y: 'accuracy',
          stroke: colour,
          strokeOpacity: 0.7,
          strokeDasharray: '2 4',
        },
      ),
      // From band to band: joined from mean to mean, methods of one accuracy would be lines of their own, the left one on top.
      Plot.link(joins, {
        className: 'sizes-of-method',
        x1: ({ from }: Join) => macsAt(from[0]),
        y1: ({ from }: Join) => from[1],
        x2: ({ to }: Join) => macsAt(to[0]),
        y2: ({ to }: Join) => to[1],
        stroke: ({ method }: Join) => methodColour(method),
        strokeWidth: 1.5,
        strokeOpacity: 0.5,
      }),
      Plot.ruleX(withBar, {
        className: 'deviations',
        x,
        y1: ({ bar }: Column) => bar?.[0],
        y2: ({ bar }: Column) => bar?.[1],
        stroke: colour,
        strokeWidth: 2.5,
        strokeLinecap: 'round',
      }),
      Plot.dot(seeds, {
        className: 'seeds',
        x: 'x',
        y: 'accuracy',
        r: 2.6,
        fillOpacity: 0.5,
        fill: ({ column }: (typeof seeds)[number]) => colour(column),
      }),
      Plot.dot(columns, {
        className: 'means',
        x,
        y: 'accuracy',
        r: radius,
        fill: colour,
        stroke: 'var(--card)',
        strokeWidth: 1.5,
        symbol: ({ method }: Column) => methodSymbol(method),
      }),
      isRoomy
        ? Plot.text(columns, {
            className: 'values',
            x,
            text: ({ accuracy }: Column) => (100 * accuracy).toFixed(2),
            y: ({ accuracy, top }: Column) =>
              toAccuracy(Math.min(toPixels(top), toPixels(accuracy) - radius) - 10),
            fill: colour,
            fontWeight: 600,
            fontVariant: 'tabular-nums',
          })
        : null,
      ...sizeNames(named, macsAt),
      Plot.text([`↑ ${t('accuracy')}`], {
        className: 'axis',
        frameAnchor: 'top-left',
        dx: 4 - margin.left,
        dy: -12,
        lineAnchor: 'middle',
      }),
      ...legend.flatMap(({ method, name, x: left, row }) => {
        const place = {
          frameAnchor: 'bottom-left' as const,
          dy: margin.axis + 18 + lineHeight * row,
        };
        return [
          Plot.dot([method], {
            className: 'methods',
            ...place,
            dx: left + legendRadius,
            r: legendRadius,
            fill: methodColour(method),
            symbol: methodSymbol(method),
          }),
          Plot.text([name], {
            className: 'methods',
            ...place,
            dx: left + legendIndent,
            lineAnchor: 'middle',
            fill: 'var(--ink)',
          }),
        ];
      }),
      ...(heading ? headingMarks(heading, headHeight, inner, measure) : []),
      hasTips
        ? Plot.tip(
            seeds,
            Plot.pointer({
              x: 'x',
              y: 'accuracy',
              ...tipStyle,
              title: ({ column, seed, accuracy }: (typeof seeds)[number]) =>
                `${methodName(column.method, t)} ${rateName(column.rate, compared)}`.trim() +
                `\n${t('labelled', { name: `${t('seed')} ${seed}`, value: percent(accuracy) })}` +
                `\n${t('labelled', { name: t('macs'), value: count(column.macs) })}`,
            }),
          )
        : null,
    ],
  });
}

interface AccuracyScale {
  /** As an option of a plot. */
  readonly y: Plot.ScaleOptions;
  readonly toPixels: (accuracy: number) => number;
  readonly toAccuracy: (pixels: number) => number;
}

/** With room for all seeds and bars, and some even where all values are equal. */
function accuracyScale(columns: readonly Column[], bottom: number, top: number): AccuracyScale {
  const all = columns.flatMap(({ accuracy, bar, seeds }) => [
    accuracy,
    ...(bar ?? []),
    ...seeds.map((run) => run.accuracy),
  ]);
  const [lowest, highest] = [Math.min(...all), Math.max(...all)];
  const room = Math.max(0.08 * (highest - lowest), 1e-3);
  const scale = Plot.scale({
    y: { domain: [lowest - room, highest + room], nice: 6, range: [bottom, top] },
  });
  return {
    y: { ...scale },
    toPixels: (accuracy) => Number(scale.apply(accuracy)),
    toAccuracy: (pixels) => Number(scale.invert?.(pixels)),
  };
}

/** On top of the bands: what was removed, and what a model costs then. */
const sizeNames = (named: readonly NamedSize[], macsAt: (pixels: number) => number) =>
  (
    [
      ['name', 16, { fill: 'var(--ink)', fontWeight: 600 }],
      ['cost', 33, { fill: 'var(--soft)' }],
    ] as const
  ).map(([text, dy, style]) =>
    Plot.text(
      named.filter((size) => size[text] !== ''),
      {
        className: `${text}s`,
        x: ({ middle }: NamedSize) => macsAt(middle),
        frameAnchor: 'top',
        dy,
        text,
        ...style,
      },
    ),
  );

function headingMarks(
  { title, lines }: PictureHeading,
  height: number,
  width: number,
  measure: Measure,
): Plot.Markish[] {
  const mark = (text: string, size: number, weight: number, y: number, fill: string) =>
    Plot.text([shortened(text, width, (part) => measure(part, size, weight))], {
      className: 'heading',
      frameAnchor: 'top-left',
      dy: y - height - margin.top,
      lineAnchor: 'top',

      fill,
      fontSize: size,
      fontWeight: weight,
    });
  return [
    mark(title, headingSizes.title, 600, 6, 'var(--ink)'),
    ...lines.map((line, i) =>
      mark(line, headingSizes.line, 400, 34 + lineHeight * i, 'var(--soft)'),
    ),
  ];
}
