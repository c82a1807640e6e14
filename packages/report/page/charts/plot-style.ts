// What all pictures have in common.
import type { PlotOptions } from '@observablehq/plot';

/** Height that texts above the frame take, where no curve and no bar is. */
export const flagRoom = 18;

/**
 * Spread into the options of a plot. Colours are those of the page's style sheet.
 * @param room - above the frame: `flagRoom` where the plot has flags
 */
export function plotStyle(width: number, height: number, room = 0): PlotOptions {
  return {
    width,
    height: height + room,
    marginTop: 12 + room,
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
