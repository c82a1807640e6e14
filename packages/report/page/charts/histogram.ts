// Bars over a range of values, their parts on top of each other, and the same as a table.
import * as Plot from '@observablehq/plot';
import { digits, grouped } from '../format.js';
import type { TableData } from './chart.js';

/** A part of one bar. */
export interface Bin {
  readonly x1: number;
  readonly x2: number;
  readonly units: number;
  readonly colour: string;
}

/** What a colour stands for. */
export interface BinPart {
  readonly label: string;
  readonly colour: string;
}

export const stackedBars = (bins: readonly Bin[]): Plot.RenderableMark =>
  Plot.rectY(
    bins,
    Plot.stackY({
      x1: 'x1',
      x2: 'x2',
      y: 'units',
      fill: 'colour',
      insetLeft: 0.5,
      insetRight: 0.5,
    }),
  );

/** Bars with units, one a row. @param label - of the values */
export function binTable(
  bins: readonly Bin[],
  parts: readonly BinPart[],
  label: string,
): TableData {
  const rows = new Map<number, readonly [range: string, counts: Map<string, number>]>();
  for (const { x1, x2, units, colour } of bins) {
    const row = rows.get(x1) ?? [`${digits(x1)} – ${digits(x2)}`, new Map<string, number>()];
    row[1].set(colour, units);
    rows.set(x1, row);
  }
  return {
    columns: [label, ...parts.map((part) => part.label)],
    rows: [...rows.entries()]
      .sort(([a], [b]) => a - b)
      .map(([, [range, counts]]) => ({
        range,
        units: parts.map(({ colour }) => counts.get(colour) ?? 0),
      }))
      .filter(({ units }) => units.some((count) => count > 0))
      .map(({ range, units }) => [range, ...units.map(grouped)]),
  };
}
