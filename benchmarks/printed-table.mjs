// A table as it is printed: Markdown, for pages; in a terminal that is too narrow for it a block of lines for each row.
import { markdownTable } from './markdown-table.mjs';

/**
 * @param columns - as `markdownTable` takes them; the first one names the row
 * @param terminal - `columns`, its width; none where the output goes into a file or a pipe
 */
export function printedTable(columns, rows, terminal = process.stdout) {
  const table = markdownTable(columns, rows);
  const width = table.indexOf('\n');
  if (terminal.columns === undefined || width <= terminal.columns) return table;
  const [heading, ...others] = columns;
  const widest = Math.max(...others.map(({ title }) => title.length));
  return rows
    .map((row) => {
      const known = others.filter(({ cell }) => cell(row) !== '');
      return [
        heading.cell(row),
        ...known.map(({ title, cell }) => `  ${title.padEnd(widest)}  ${cell(row)}`),
      ].join('\n');
    })
    .join('\n\n');
}
