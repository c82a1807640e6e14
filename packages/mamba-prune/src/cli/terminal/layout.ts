// How a table is made to fit: who gets which share of the width.
import { printableLine } from './printable.js';
import { indent, shorten, visible } from './text.js';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** May be cut with an ellipsis when the table is too wide; one column at most. */
  readonly flexible?: boolean;
}

/** Drawn as a bar as long as there is room; one column of a table at most. */
export interface Share {
  /** 0 to 1 */
  readonly share: number;
}

/** Text of a colour: none is taken from the text itself, which may come from a file. */
export interface Styled {
  readonly text: string;
  readonly style: 'bold' | 'green';
}

export const bold = (text: string): Styled => ({ text, style: 'bold' });

export type Cell = string | Share | Styled;

export interface Layout {
  /** Columns shown, by their places. */
  readonly shown: readonly number[];
  /** Length of a bar. */
  readonly bars: number;
  /** Place of the flexible column; -1 if there is none. */
  readonly name: number;
  /** What its texts are cut to. */
  readonly nameWidth: number;
  /** Each name stands on a line of its own, above its row. */
  readonly stacked: boolean;
}

/** Blanks between two columns. */
export const gap = 2;
const barWidth = { least: 8, most: 32 };
/** A name cut to less than this tells nothing. */
const leastName = 16;

/**
 * Bars take the room that the rest leaves, or are left out. Names are cut next, and where that would not do
 * (too short, or two of them alike) they get lines of their own. Numbers are never cut.
 */
export function layOut(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  width: number,
): Layout {
  const places = columns.map((_, i) => i);
  const isBar = (i: number): boolean => rows.some((row) => isShare(row[i]));
  const name = columns.findIndex(({ flexible }) => flexible === true);
  const widthOf = (i: number): number =>
    Math.max(visible(columns[i]?.title ?? ''), ...rows.map((row) => visible(textOf(row[i]))));

  const fixed = places.filter((i) => i !== name && !isBar(i));
  let left = width - indent.length + gap;
  for (const i of fixed) left -= widthOf(i) + gap;

  const longest = name < 0 ? 0 : widthOf(name);
  const beside = left - (name < 0 ? 0 : longest + gap) - gap;
  const bars = places.some(isBar) && beside >= barWidth.least ? Math.min(barWidth.most, beside) : 0;
  if (bars > 0) left -= bars + gap;

  const nameWidth = Math.min(longest, left - gap);
  const names = rows.map((row) => textOf(row[name]));
  const stacked =
    name >= 0 &&
    nameWidth < longest &&
    (nameWidth < leastName ||
      distinct(names.map((text) => shorten(text, nameWidth))) < distinct(names));
  return {
    shown: places.filter((i) => (isBar(i) ? bars > 0 : !(stacked && i === name))),
    bars,
    name,
    nameWidth,
    stacked,
  };
}

/** What a cell says, on one line and without anything that a terminal obeys. */
export function textOf(cell: Cell | undefined): string {
  if (typeof cell === 'string') return printableLine(cell);
  return cell && 'text' in cell ? printableLine(cell.text) : '';
}

const isShare = (cell: Cell | undefined): boolean => typeof cell === 'object' && 'share' in cell;

const distinct = (texts: readonly string[]): number => new Set(texts).size;
