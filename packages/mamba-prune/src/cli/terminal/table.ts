import Table from 'cli-table3';
import { bar } from './bars.js';
import type { Colours } from './io.js';
import { type Cell, type Column, type Layout, type Styled, gap, layOut, textOf } from './layout.js';
import { printable, printableLine } from './printable.js';
import { indent, padEnd, shorten, visible, wrapText } from './text.js';

/** No frames: columns and one rule carry a table well enough. */
const chars = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
};

/**
 * A table that fits the width: head, rule, rows.
 * @returns lines, without one at the end
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  colours: Colours,
  width: number,
): string {
  const layout = layOut(columns, rows, width);
  const { shown, bars, name, nameWidth } = layout;
  const table = new Table({
    head: shown.map((i) => colours.dim(columns[i]?.title ?? '')),
    colAligns: shown.map((i) => columns[i]?.align ?? 'left'),
    chars,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': gap, compact: true },
  });
  const show = (cell: Cell, i: number): string => {
    if (typeof cell === 'object' && 'share' in cell) return bar(cell.share, bars, colours);
    const text = i === name ? shorten(textOf(cell), nameWidth) : textOf(cell);
    return typeof cell === 'object' ? colours[cell.style](text) : text;
  };
  table.push(...rows.map((row) => shown.map((i) => show(row[i] ?? '', i))));
  const [head = '', ...body] = table
    .toString()
    .split('\n')
    .map((line) => trimEnd(indent + line));
  const title = columns[name]?.title ?? '';
  const heads = layout.stacked && title !== '' ? [colours.dim(indent + title), head] : [head];
  const lines = layout.stacked ? underNames(body, rows, layout, width) : body;
  const longest = Math.max(...[...heads, ...lines].map(visible));
  const rule = colours.dim(indent + '─'.repeat(longest - indent.length));
  return [...heads, rule, ...lines].join('\n');
}

/** Each row below its name; rows of one name below one line. */
function underNames(
  lines: readonly string[],
  rows: readonly (readonly Cell[])[],
  { name }: Layout,
  width: number,
): string[] {
  const names = rows.map((row) => textOf(row[name]));
  return lines.flatMap((line, i) => {
    const own = names[i] ?? '';
    return i > 0 && own === names[i - 1]
      ? [line]
      : [indent + shorten(own, width - indent.length), line];
  });
}

/** Trailing blanks would wrap in a narrow terminal. */
function trimEnd(line: string): string {
  return line.replace(/ +$/, '');
}

/** A label, and what it says. */
export type Fact = readonly [label: string, value: string | Styled];

/**
 * Two columns without a head: labels dim, values plain. Values that do not fit continue on the next
 * line; words, and so paths that someone may copy, stay whole.
 */
export function renderFacts(facts: readonly Fact[], colours: Colours, width: number): string {
  const labels = Math.max(...facts.map(([label]) => visible(printableLine(label))));
  const before = ' '.repeat(indent.length + labels + gap);
  return facts
    .map(([label, value]) => {
      const text =
        typeof value === 'string' ? printable(value) : colours[value.style](printable(value.text));
      const lines = wrapText(text, width - before.length + indent.length);
      const block = lines.slice(indent.length).replaceAll(`\n${indent}`, `\n${before}`);
      return indent + colours.dim(padEnd(printableLine(label), labels)) + ' '.repeat(gap) + block;
    })
    .join('\n');
}
