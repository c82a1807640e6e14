// The rows measured so far as one Markdown table: means over the seeds, with the lowest and highest.
import { printedTable } from '../printed-table.mjs';

const columns = [
  { title: 'model', cell: ({ model }) => model, left: true },
  { title: 'MACs left', cell: ({ left }) => left },
  { title: 'by', cell: ({ by }) => by, left: true },
  { title: 'importance', cell: ({ label = '' }) => label, left: true },
  { title: 'after the cut', cell: ({ after }) => after },
  { title: 'BatchNorm measured again', cell: ({ measured = '' }) => measured },
  { title: 'trained', cell: ({ trained = '' }) => trained },
  { title: 'MACs (theirs)', cell: ({ macs }) => macs },
  { title: 'parameters', cell: ({ parameters = '' }) => parameters },
  { title: 'cut', cell: ({ cut = '' }) => cut },
];

/** @param results - the rows of results.json, of one or several folders */
export function table(results) {
  const lines = [];
  for (const [model, list] of grouped(results, (row) => row.model)) {
    lines.push({
      ...{ model, left: '100%', by: 'not cut', macs: millions(list[0].denseMacs) },
      after: spread(unique(list).map(({ before }) => before)),
    });
    const cuts = grouped(list, ({ row, rate }) => `${rate} ${row}`);
    for (const rows of cuts.values()) lines.push(lineOf(rows));
  }
  return printedTable(columns, lines);
}

function lineOf(rows) {
  const [first] = rows;
  const mean = (name) => average(rows.map((row) => row[name]));
  const theirs = first.theirMacs === undefined ? '' : ` (${millions(mean('theirMacs'))})`;
  return {
    model: first.model,
    left: `${(100 * (mean('macs') / first.denseMacs)).toFixed(1)}%`,
    by: first.by === 'ours' ? 'mamba-prune' : 'Torch-Pruning',
    label: first.label,
    after: spread(rows.map(({ after }) => after)),
    measured: spread(rows.map(({ measured }) => measured)),
    trained: spread(rows.map(({ trained }) => trained)),
    macs: `${millions(mean('macs'))}${theirs}`,
    parameters: thousands(mean('parameters')),
    cut: `${mean('seconds').toFixed(2)} s`,
  };
}

/** One row for each seed: the dense model is the same in all rows of a seed. */
const unique = (list) => [...new Map(list.map((row) => [row.seed, row])).values()];

function grouped(list, keyOf) {
  const groups = new Map();
  for (const entry of list) {
    const key = keyOf(entry);
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  return groups;
}

function spread(values) {
  const known = values.filter((value) => typeof value === 'number');
  if (known.length === 0) return '';
  const percent = (share) => (100 * share).toFixed(1);
  if (known.length === 1) return percent(known[0]);
  return `${percent(average(known))} (${percent(Math.min(...known))} to ${percent(Math.max(...known))})`;
}

const average = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const millions = (count) => `${(count / 1e6).toFixed(1)} M`;
const thousands = (count) => `${(count / 1e3).toFixed(0)} K`;
