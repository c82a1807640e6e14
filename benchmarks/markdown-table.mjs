// A Markdown table as Prettier leaves it: cells of one column are of one width.

/**
 * @param {{ title: string, cell: (row: T) => string, left?: boolean }[]} columns - aligned to the right unless `left`
 * @param {T[]} rows
 * @template T
 */
export function markdownTable(columns, rows) {
  const lines = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ cell }) => cell(row))),
  ];
  // A rule is three characters at least.
  const widths = columns.map((_, i) => Math.max(3, ...lines.map((line) => line[i].length)));
  const padded = (cell, i) => (columns[i].left ? cell.padEnd(widths[i]) : cell.padStart(widths[i]));
  const [head, ...body] = lines.map((line) => `| ${line.map(padded).join(' | ')} |`);
  const rule = widths.map((n, i) => (columns[i].left ? '-'.repeat(n) : `${'-'.repeat(n - 1)}:`));
  return [head, `| ${rule.join(' | ')} |`, ...body].join('\n');
}
