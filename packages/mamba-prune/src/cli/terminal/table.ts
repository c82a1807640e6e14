import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import type { Colours } from './io.js';

export interface Column {
  readonly title: string;
  readonly align?: 'left' | 'right';
  /** May be cut with an ellipsis when the table is too wide; one column at most. */
  readonly flexible?: boolean;
}

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
const gap = 2;
const indent = '  ';

/**
 * A table that fits the width: head, rule, rows.
 * @returns lines, without one at the end
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  colours: Colours,
  width: number,
): string {
  const cells = fit(columns, rows, width);
  const table = new Table({
    head: columns.map(({ title }) => colours.dim(title)),
    colAligns: columns.map(({ align = 'left' }) => align),
    chars,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': gap, compact: true },
  });
  table.push(...cells.map((row) => [...row]));
  const lines = table
    .toString()
    .split('\n')
    .map((line) => trimEnd(indent + line));
  const longest = Math.max(...lines.map(visible));
  lines.splice(1, 0, colours.dim(indent + '─'.repeat(longest - indent.length)));
  return lines.join('\n');
}

/** Trailing blanks would wrap in a narrow terminal; a reset code may stand behind them. */
function trimEnd(line: string): string {
  return line.replace(/ +$/, '');
}

export function visible(text: string): number {
  return stripVTControlCharacters(text).length;
}

function fit(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
): (readonly string[])[] {
  const widths = columns.map(({ title }, index) =>
    Math.max(visible(title), ...rows.map((row) => visible(row[index] ?? ''))),
  );
  const total = indent.length + widths.reduce((sum, w) => sum + w, 0) + gap * (columns.length - 1);
  const flexible = columns.findIndex((column) => column.flexible === true);
  if (total <= width || flexible < 0) return [...rows];
  const room = Math.max(8, (widths[flexible] ?? 0) - (total - width));
  return rows.map((row) =>
    row.map((cell, index) => (index === flexible ? shorten(cell, room) : cell)),
  );
}

/** Keeps the end, which tells paths apart. */
export function shorten(text: string, width: number): string {
  return visible(text) <= width ? text : `…${text.slice(text.length - width + 1)}`;
}

/** Two columns without a head: labels dim, values plain. */
export function renderFacts(
  facts: readonly (readonly [string, string])[],
  colours: Colours,
): string {
  const width = Math.max(...facts.map(([label]) => label.length));
  return facts
    .map(([label, value]) => `${indent}${colours.dim(label.padEnd(width))}  ${value}`)
    .join('\n');
}

/** Text broken at blanks into indented lines of at most `width`. Longer words stay whole. */
export function wrapText(text: string, width: number): string {
  const lines: string[] = [];
  for (const paragraph of text.split('\n')) {
    let line = '';
    for (const word of paragraph.split(/ +/)) {
      if (line !== '' && indent.length + line.length + 1 + word.length > width) {
        lines.push(indent + line);
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    lines.push(indent + line);
  }
  return lines.join('\n');
}
