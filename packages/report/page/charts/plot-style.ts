// What all pictures have in common.
import type { PlotOptions } from '@observablehq/plot';

/** Spread into the options of a plot. Colours are those of the page's style sheet. */
export function plotStyle(width: number, height: number): PlotOptions {
  return {
    width,
    height,
    marginTop: 12,
    marginRight: 14,
    marginBottom: 36,
    marginLeft: 48,
    style: {
      background: 'transparent',
      color: 'var(--soft)',
      fontFamily: 'inherit',
      fontSize: '12px',
      overflow: 'visible',
    },
  };
}

/** Tips sit on a card. */
export const tipStyle = { fill: 'var(--card)', stroke: 'var(--line)', fontSize: 12 } as const;

export const gridStyle = { stroke: 'var(--grid)', strokeOpacity: 1 } as const;

/** A quiet height for a width: phones get taller pictures for their width. */
export const heightFor = (width: number): number =>
  Math.round(Math.min(300, Math.max(210, width * 0.5)));
